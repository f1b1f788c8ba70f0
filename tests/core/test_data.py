"""Dataclasses from plain data: every type of field that is read, and what is said of others."""

import dataclasses
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Literal

import pytest

from elir_edge.core.data import build_dataclass, to_plain
from elir_edge.errors import ConfigError
from tests.families.toy import ToySpec
from tests.helpers import refusal


class Kind(StrEnum):
    PLAIN = "plain"
    DEEP = "deep"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Part:
    width: int = 8
    kind: Kind = Kind.PLAIN


@dataclass(frozen=True)
class Whole:
    act: Literal["relu", "gelu"] = "relu"
    power: Literal[1, 2] | None = 1
    level: Level = Level.LOW
    widths: list[int] = field(default_factory=lambda: [1, 2])
    kinds: tuple[Kind, ...] = (Kind.DEEP, Kind.PLAIN)
    parts: list[Part] = field(default_factory=list)


WHOLE = [
    Whole(),
    Whole("gelu", 2, Level.HIGH, [], (), [Part(3, Kind.DEEP), Part()]),
    Whole(power=None),
]


@pytest.mark.parametrize("whole", WHOLE)
def test_plain_data_is_read_back(whole):
    plain = to_plain(dataclasses.asdict(whole))
    assert {type(value) for value in plain.values()} <= {str, int, list, type(None)}
    assert type(plain["level"]) is int
    assert build_dataclass(Whole, plain, "here") == whole


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("act", "rely", ("'rely' is none of relu, gelu", "did you mean 'relu'")),
        ("act", 1, ("1 is none of relu, gelu",)),
        ("power", "1", ("'1' is none of 1, 2",)),
        ("level", 3, ("3 is none of 1, 2",)),
        ("widths", ["a"], ("expected int, got 'a'",)),
        ("widths", 3, ("expected a list of whole numbers",)),
        ("parts", [{"kind": "flat"}], ("here.parts[0].kind", "none of plain, deep")),
    ],
)
def test_other_values_are_refused(key, value, said):
    refusal(ConfigError, lambda: build_dataclass(Whole, {key: value}, "here"), f"here.{key}", *said)


@dataclass(frozen=True)
class WithTable(ToySpec):
    table: Any = field(default_factory=lambda: {1: 2.0})


@dataclass(frozen=True)
class WithType(ToySpec):
    kind: type = int


@pytest.mark.parametrize("kind, said", [(WithTable, "table"), (WithType, "type")])
def test_specifications_that_cannot_be_read_back_are_not_written(kind, said):
    """An artifact of such a model could not be opened again."""
    refusal(ConfigError, lambda: kind().to_dict(), "cannot be read back", said, "CONTRIBUTING.md")
    assert ToySpec(sigma_s=0, size=64).to_dict()["family"] == "toy"
