"""Imports go one way: who may import whom, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What each part may not import at module level, nor anywhere inside its functions.
FORBIDDEN = {
    "elir_edge/spec.py": ("torch", "exporters", "elir_edge.model", "elir_edge.lowering", "elir_edge.cli"),
    "elir_edge/errors.py": ("torch", "elir_edge"),
    "elir_edge/artifact.py": ("torch", "exporters", "elir_edge.model", "elir_edge.lowering", "elir_edge.cli"),
    "elir_edge/restore.py": ("torch", "exporters", "elir_edge.model", "elir_edge.lowering", "elir_edge.cli"),
    "elir_edge/images.py": ("torch", "exporters", "elir_edge.model", "elir_edge.lowering", "elir_edge.cli"),
    "elir_edge/model": ("exporters", "elir_edge.lowering", "elir_edge.runtime", "elir_edge.cli", "elir_edge.target"),
    "elir_edge/lowering": ("exporters", "elir_edge.runtime", "elir_edge.cli", "elir_edge.exporting"),
    "elir_edge/packaging": ("torch", "exporters", "elir_edge.model", "elir_edge.lowering", "elir_edge.cli"),
    "elir_edge/runtime": ("torch", "exporters", "elir_edge.model", "elir_edge.lowering", "elir_edge.cli"),
    "exporters": ("elir_edge.cli", "benchmarks", "exporters"),
    "elir_edge": ("benchmarks", "tests"),
}
EXCEPT = {"elir_edge/runtime/torch_backend.py", "elir_edge/runtime/executorch_backend.py"}


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


def files_under(part):
    path = ROOT / part
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_go_one_way(part):
    found = []
    for path in files_under(part):
        name = path.relative_to(ROOT).as_posix()
        if name in EXCEPT:
            continue
        for module in set(imports_of(path)):
            if any(module == bad or module.startswith(f"{bad}.") for bad in FORBIDDEN[part]):
                found.append(f"{name} imports {module}")
    assert not found


def test_nothing_but_the_entry_points_imports_the_command_line():
    for path in files_under("elir_edge"):
        if path.parent.name != "cli" and path.name != "__main__.py":
            assert not any(name.startswith("elir_edge.cli") for name in imports_of(path)), path


def test_no_print_and_no_process_wide_warning_filter_in_the_library():
    for path in (*files_under("elir_edge"), *files_under("exporters")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") != "print", path
                assert getattr(node.func, "attr", "") != "filterwarnings", path
