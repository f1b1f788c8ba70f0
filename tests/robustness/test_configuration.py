"""Configuration: files that describe no model, in every way."""

from __future__ import annotations

import time

import pytest

from tests.robustness.faults import TINY, Fault, assert_refused

EXPORT = ("export", "-p", "bad.yaml", "-o", "old.onnx", "--force")


def with_line(old: str, new: str) -> str:
    assert old in TINY
    return TINY.replace(old, new)


ALIASES = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
)

LINES = {
    "bad YAML": ("steps: [", "bad.yaml", "not usable YAML"),
    "not a mapping": ("- 1\n- 2\n", "bad.yaml", "expected a mapping"),
    "empty": ("", "bad.yaml", "expected a mapping"),
    "a python object": ("!!python/object/apply:os.system ['touch canary']", "bad.yaml", "not usable YAML"),
    "a python name": ("steps: !!python/name:os.system", "bad.yaml", "not usable YAML"),
    "an alias bomb": (ALIASES, "bad.yaml", "aliases are not allowed"),
    "nested deeply": ("[" * 5000, "bad.yaml"),
    "larger than any": ("# " + "x" * 100_000, "bad.yaml"),
    "bytes that are no text": (b"\xff\xfe\x00\x01", "bad.yaml"),
    "an unknown key": (with_line("steps: 2", "stpes: 2"), "bad.yaml", "stpes", "did you mean 'steps'?"),
    "an unknown key inside": (with_line("width: 8", "witdh: 8"), "autoencoder", "witdh", "did you mean 'width'?"),
    "a key given twice": (TINY + "steps: 3\n", "bad.yaml", "given twice", "steps"),
    "K = 0": (with_line("steps: 2", "steps: 0"), "bad.yaml", "steps is 0", "1 to 100"),
    "K = -1": (with_line("steps: 2", "steps: -1"), "bad.yaml", "steps is -1", "1 to 100"),
    "K = 10^9": (with_line("steps: 2", "steps: 1000000000"), "bad.yaml", "steps is 1000000000", "1 to 100"),
    "K as text": (with_line("steps: 2", "steps: two"), "bad.yaml", "steps", "expected int"),
    "K as a list": (with_line("steps: 2", "steps: [2]"), "bad.yaml", "steps", "expected int"),
    "K of 200 digits": (with_line("steps: 2", "steps: " + "9" * 200), "bad.yaml", "steps", "64 bits"),
    "sigma NaN": (TINY + "sigma_s: .nan\n", "bad.yaml", "sigma_s", "0 to 10"),
    "a size that is no multiple": (with_line("size: 64", "size: 102"), "bad.yaml", "102", "nearest allowed is 104"),
    "a size of 10^6": (with_line("size: 64", "size: 1000000"), "bad.yaml", "1000000", "16384"),
    "a width of 10^9": (with_line("width: 8", "width: 1000000000"), "bad.yaml", "width"),
    "a name that is a path": (with_line("name: tiny", "name: ../tiny"), "bad.yaml", "../tiny", "letters, digits"),
    "an unknown family": (TINY + "family: elri\n", "bad.yaml", "elri"),
    "a family that is a number": (TINY + "family: -1\n", "bad.yaml", "family is -1", "elir"),
    "a family that is a list": (TINY + "family: []\n", "bad.yaml", "family is []", "elir"),
    "a kind that is a list": (with_line("width: 8", "kind: []"), "bad.yaml", "there is no kind '[]'"),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_refused(line, place, run):
    content, *named = LINES[line]
    data = content if isinstance(content, bytes) else content.encode()
    began = time.perf_counter()
    assert_refused(Fault(78, EXPORT, tuple(named), lambda folder: (folder / "bad.yaml").write_bytes(data)), place, run)
    assert time.perf_counter() - began < 20


def test_a_configuration_that_is_not_there(place, run):
    assert_refused(Fault(66, ("export", "-p", "no.yaml"), ("no.yaml",)), place, run)


def test_a_preset_that_is_none(place, run):
    assert_refused(Fault(78, ("export", "-p", "nanno"), ("nanno", "did you mean 'nano'?")), place, run)
