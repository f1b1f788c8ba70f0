"""What packages announce: taken under its name, refused where it is something else or the name is in use."""

from dataclasses import dataclass

from elir_edge.core.plugins import add_named
from elir_edge.errors import ElirEdgeError
from tests.helpers import refusal


@dataclass(frozen=True)
class Tool:
    name: str


def test_an_item_is_found_by_its_name():
    found = {"a": Tool("a")}
    add_named(found, Tool("b"), Tool, "their package")
    assert list(found) == ["a", "b"]


def test_another_kind_and_a_name_in_use_are_refused():
    found = {"a": Tool("a")}
    refusal(ElirEdgeError, lambda: add_named(found, "b", Tool, "their package"), "their package", "str, not a Tool")
    refusal(ElirEdgeError, lambda: add_named(found, Tool("a"), Tool, "their package"), "'a' is taken by another tool")
    assert list(found) == ["a"]
