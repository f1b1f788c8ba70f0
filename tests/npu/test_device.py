"""Device files: those of the package are whole, and of another one it is told what is wrong."""

from elir_edge.cli import run
from elir_edge.errors import ConfigError, MissingInputError, UsageError
from elir_edge.families.spec import preset_names
from elir_edge.npu.compiler import compilers
from elir_edge.npu.device import get_device, known_devices
from elir_edge.npu.fit import judge
from tests.helpers import refusal
from tests.npu.test_fit import BOARD, LONG_LIVED, model


def test_known_devices_are_whole(capsys):
    found, known = known_devices(), compilers()
    assert {device.shared.compiler for device in found.values()} == set(known)
    for device in found.values():
        assert device.shared.ops and device.shared.about and device.options is not None
        same_format = known[device.shared.compiler].takes == ".tflite"  # LONG_LIVED has the operators of a .tflite
        assert judge(model(LONG_LIVED), device).verdict == ("yes" if same_format else "no")
    assert run(["devices", "--known"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in found)
    rows = {line.split()[0]: line for line in listed.splitlines() if line.strip()}
    assert "w8a16" in rows["htp-v75"] and "int8" in rows["ethos-u85-256"]


def test_a_device_that_is_none(tmp_path):
    refusal(UsageError, lambda: get_device("ethos-u85-2084"), "ethos-u85-2048")
    refusal(MissingInputError, lambda: get_device(str(tmp_path / "no.yaml")), "no.yaml", "devices --known")
    for text, *said in (
        ("family: x", "missing"),
        (BOARD % 100 + "ram: 3\n", "unknown key 'ram'"),
        ((BOARD % 0), "memory.arena is 'sram'", "give sram_kib"),
        ((BOARD % 100).replace("arena: sram", "arena: ram"), "memory.arena is 'ram'", "known: sram, dram, flash"),
        ((BOARD % 100).replace("name: board", "name: ../board"), "name is '../board'"),
        ((BOARD % 100).replace("estimated", "guessed"), "guessed"),
        ((BOARD % 100) + "recommended: int7\n", "recommended is 'int7'"),
        ((BOARD % 100).replace("accelerator-config=", "accelerator-config "), "key=value"),
        ((BOARD % 100).replace("accelerator-config=", "="), "key=value"),
        ((BOARD % 100).replace("[int8, uint8]", "int8"), "types: expected a list of names", "[a, b]"),
        ((BOARD % 100).replace("sram_kib: 100", "sram_kib: all"), "expected int", "write a whole number"),
        ((BOARD % 100) + "  - name: board\n", "two of its devices have one name"),
    ):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        refusal(ConfigError, lambda: get_device(str(path)), "bad.yaml", *said)  # noqa: B023
    assert not set(preset_names()) & set(known_devices())
