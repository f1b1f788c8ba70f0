"""Imports go one way: who may import whom, read from the source."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "elir_edge"
# Each room may import itself and those before it; "errors" is a module, the others are packages.
ORDER = (
    "errors",
    "core",
    "imaging",
    "families",
    "artifacts",
    "lowering",
    "formats",
    "runtime",
    "quantize",
    "validation",
    "pipeline",
    "npu",
    "packaging",
    "bench",
    "training",
    "cli",
)
WITHOUT_CODE = {"web"}  # what the page target copies
TORCH_FREE = ("errors", "core", "imaging", "artifacts", "formats", "runtime", "packaging")
NEEDS_TORCH = {"runtime/executorch_backend.py", "runtime/torch_backend.py", "runtime/hardware.py"}
MAX_ROOT_MODULES = 8
MAX_LINES, MAX_FUNCTION_LINES, MAX_LONG_FILES = 250, 40, 3
LONG_FILES = {"tests/cli/test_failures.py", "tests/packaging/test_package.py"}
DATA_TABLES = {"elir_edge/cli/export.py:quantization_options"}  # a list of options, each with its help


def imports_of(path):
    """Modules imported anywhere in a file, and names imported from them; not those under ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(room):
    path = PACKAGE / room
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def test_every_room_has_its_place_in_the_order():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms - WITHOUT_CODE == set(ORDER) - {"errors"}


def test_few_modules_stand_at_the_root():
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_ROOT_MODULES


@functools.cache
def sources():
    """Every Python file of the project: its path from the root, its number of lines, and its tree."""
    folders = ("elir_edge", "exporters", "benchmarks", "tests")
    texts = {path: path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))}
    return [(path.relative_to(ROOT).as_posix(), text.count("\n"), ast.parse(text)) for path, text in texts.items()]


def test_files_are_of_one_subject_and_few_are_long():
    found = {name for name, lines, _ in sources() if lines > MAX_LINES}
    assert found <= LONG_FILES
    assert len(LONG_FILES) <= MAX_LONG_FILES


def line_count(function):
    """Lines of a function; of a command only its body, since each of its options is a parameter."""
    decorators = " ".join(ast.unparse(decorator) for decorator in function.decorator_list)
    first = function.body[0].lineno if "click.command" in decorators else function.lineno
    return function.end_lineno - first + 1


def test_functions_are_short():
    found = {
        f"{name}:{node.name}"
        for name, _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and line_count(node) > MAX_FUNCTION_LINES
    }
    assert found <= DATA_TABLES


@pytest.mark.parametrize("room", ORDER)
def test_imports_go_one_way(room):
    allowed = ORDER[: ORDER.index(room) + 1]
    for path in files_of(room):
        for module in set(imports_of(path)):
            name, *rest = module.split(".")
            assert name not in ("exporters", "benchmarks", "tests"), f"{path.relative_to(ROOT)} imports {module}"
            if name == "elir_edge" and rest and (PACKAGE / rest[0]).with_suffix("").name in (*ORDER, *WITHOUT_CODE):
                assert rest[0] in allowed, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("room", TORCH_FREE)
def test_running_an_artifact_needs_no_torch(room):
    for path in files_of(room):
        if path.relative_to(PACKAGE).as_posix() not in NEEDS_TORCH:
            assert not {module.partition(".")[0] for module in imports_of(path)} & {"torch", "lightning"}, path


def test_exporters_import_neither_the_command_line_nor_each_other():
    for path in sorted((ROOT / "exporters").glob("*.py")):
        for module in set(imports_of(path)):
            assert not module.startswith(("elir_edge.cli", "benchmarks", "exporters")), f"{path} imports {module}"


def test_no_print_and_no_process_wide_warning_filter_in_the_library():
    for path in (*sorted(PACKAGE.rglob("*.py")), *sorted((ROOT / "exporters").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") != "print", path
                assert getattr(node.func, "attr", "") != "filterwarnings", path
