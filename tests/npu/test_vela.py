"""What is made of Vela's summary and of a board's options; a stand-in takes the place of Vela itself."""

import importlib.util
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from elir_edge.artifacts.artifact import Artifact
from elir_edge.core.progress import Silent
from elir_edge.errors import ConfigError
from elir_edge.npu.compile import run_compiler
from elir_edge.npu.compiler import Compilation
from elir_edge.npu.compilers import vela
from elir_edge.npu.device import get_device
from tests.artifacts.samples import manifest
from tests.helpers import refusal
from tests.robustness.faults import write_tflite

BOARD = """
family: board
compiler: vela
figures: estimated
about: a test
types: [int8, float32]
ops: [ADD]
devices:
  - name: board
    memory: {%s}
    options: [accelerator-config=ethos-u55-128, %s]
"""
SUMMARY = {
    "inferences_per_second": "1",
    "sram_memory_used": "112",
    "dram_memory_used": "0",
    "on_chip_flash_memory_used": "0",
    "off_chip_flash_memory_used": "0",
    "cycles_total": "1",
    "core_clock": "5e8",
    "nn_macs": "1",
}


class StandIn:
    """Runs as Vela does. ``told``: columns of its summary; ``overruns``: how often it fails for want of cache.

    ``left``: names of the ops that stay on the CPU; ``facts``: of the artifact's manifest.
    """

    left: tuple[str, ...] = ()

    def __init__(self, overruns: int = 0, **told: str) -> None:
        self.facts: dict[str, object] = {}
        self.summary, self.overruns = SUMMARY | told, overruns
        self.calls: list[dict[str, str]] = []

    def __call__(self, arguments: list[str], source: Path) -> tuple[bool, str]:
        given = dict(zip((name.removeprefix("--") for name in arguments[1::2]), arguments[2::2], strict=True))
        self.calls.append(given)
        if len(self.calls) <= self.overruns:
            return True, "Failed to allocate tensors"
        folder = Path(given["output-dir"])
        folder.mkdir(exist_ok=True)
        shutil.copyfile(source, folder / f"{source.stem}_vela.tflite")
        rows = (",".join(self.summary), ",".join(self.summary.values()))
        (folder / "a_summary_x.csv").write_text("\n".join(rows) + "\n")
        return False, ""


@pytest.fixture
def compile_for(tmp_path, monkeypatch):
    """A function from a stand-in, a board's memory and its options to the compilation."""

    def compile_for(stand_in: StandIn, memory: str, *options: str) -> Compilation:
        board = tmp_path / "board.yaml"
        board.write_text(BOARD % (memory, ", ".join(options)))
        artifact = Artifact(write_tflite(tmp_path / "a.tflite"), manifest(**stand_in.facts))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
        monkeypatch.setattr(vela, "_run", stand_in)
        monkeypatch.setattr(vela, "_cpu_ops", lambda path: stand_in.left)
        return run_compiler(artifact, get_device(str(board)), tmp_path, "out", False, Silent())

    return compile_for


def test_constants_in_on_chip_memory_count(compile_for):
    """Vela calls SRAM that holds the constants too "on-chip flash": it is the board's SRAM."""
    stand_in = StandIn(on_chip_flash_memory_used="1264.5")
    result = compile_for(stand_in, "sram_kib: 512, arena: sram, weights: sram", "memory-mode=Sram_Only")
    assert result.memory_kib == {"sram": 1376.5}
    assert "1376 KiB of sram are used, the device has 512: take a smaller --size" in result.problems[0]
    stand_in = StandIn(on_chip_flash_memory_used="1264.5")
    result = compile_for(stand_in, "sram_kib: 512, flash_kib: 2048, arena: sram, weights: flash")
    assert result.memory_kib == {"sram": 112.0, "flash": 1264.5}
    assert not result.problems


@pytest.mark.parametrize(
    ("memory", "used", "said"),
    [
        ("sram_kib: 64, dram_kib: 9000, arena: dram, weights: dram", {}, "112 KiB of sram are used, the device has 64"),
        ("sram_kib: 512, flash_kib: 900, arena: sram, weights: flash", {"dram_memory_used": "106"}, "106 KiB of dram"),
        ("sram_kib: 64, dram_kib: 9000, arena: dram", {}, "112 KiB of sram are used, the device has 64"),
    ],
)
def test_a_memory_mode_that_the_board_cannot_have_is_a_problem(compile_for, memory, used, said):
    (problem,) = compile_for(StandIn(**used), memory).problems
    assert said in problem and "memory mode" in problem


def test_constants_lie_with_the_activations_where_the_board_does_not_say(compile_for):
    stand_in = StandIn(on_chip_flash_memory_used="100")
    result = compile_for(stand_in, "sram_kib: 200, arena: sram", "memory-mode=Sram_Only")
    assert result.memory_kib == {"sram": 212.0}
    assert "212 KiB of sram are used, the device has 200" in result.problems[0]


@pytest.mark.parametrize("memory", ["sram_kib: 16", "sram_kib: 512, arena: sram"])
def test_what_the_board_does_not_state_has_no_limit(compile_for, memory):
    assert not compile_for(StandIn(off_chip_flash_memory_used="900"), memory).problems


@pytest.mark.parametrize(
    ("facts", "said", "unsaid"),
    [
        ({"precision": "fp16"}, "--precision int8", "--allow-degraded"),
        ({"precision": "int8", "format": {"float_parts": True}}, "--allow-degraded: integers only", "--precision"),
        ({"precision": "int8"}, "board lacks these ops", "elir-edge export"),
    ],
)
def test_what_to_do_about_ops_left_to_the_cpu(compile_for, facts, said, unsaid):
    stand_in = StandIn()
    stand_in.left, stand_in.facts = ("ADD",), facts
    (problem,) = compile_for(stand_in, "sram_kib: 512, arena: sram").problems
    assert "1 ADD" in problem and said in problem and unsaid not in problem


def test_what_the_board_optimises_is_kept_and_recorded(compile_for):
    """Without it: first for speed, then, where the SRAM is too small, for size."""
    large = {"sram_memory_used": "600"}
    stand_in = StandIn(**large)
    result = compile_for(stand_in, "sram_kib: 512, arena: sram", "optimise=Performance")
    assert [call["optimise"] for call in stand_in.calls] == ["Performance"]
    stand_in = StandIn(**large)
    result = compile_for(stand_in, "sram_kib: 512, arena: sram")
    assert [call["optimise"] for call in stand_in.calls] == ["Performance", "Size"]
    assert result.options["optimise"] == "Size"
    assert result.figures["optimised_for"] == "size"


def test_smaller_caches_are_shares_of_the_boards_own(compile_for):
    stand_in = StandIn(overruns=2)
    options = ("memory-mode=Dedicated_Sram", "arena-cache-size=65536")
    result = compile_for(stand_in, "sram_kib: 384, dram_kib: 9000, arena: dram, weights: dram", *options)
    sizes = [int(call["arena-cache-size"]) for call in stand_in.calls]
    assert sizes == [64 * 1024, 61 * 1024, 58 * 1024]
    assert result.options["arena-cache-size"] == str(sizes[-1])
    stand_in = StandIn()
    compile_for(stand_in, "sram_kib: 384, dram_kib: 9000, arena: dram", "memory-mode=Dedicated_Sram_384KB")
    assert [call["arena-cache-size"] for call in stand_in.calls] == [str(384 * 1024)]


@pytest.mark.parametrize("option", ["output-dir=there", "arena-cache-size=much"])
def test_options_that_cannot_be(compile_for, option):
    name = option.partition("=")[0]
    refusal(ConfigError, lambda: compile_for(StandIn(), "sram_kib: 512, arena: sram", option), "board", name)
