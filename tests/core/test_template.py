"""Templates: every place has its value, every value its place."""

from __future__ import annotations

import pytest

from elir_edge.core.template import fill, fill_all


def test_places_are_filled_and_all_else_stays():
    text = "@{a} ${b} {c} %d @d @{A} @{a}@{long_name}"
    assert fill(text, {"a": 1, "long_name": "@{a}"}) == "1 ${b} {c} %d @d @{A} 1@{a}"


def test_a_place_without_a_value_is_an_error():
    with pytest.raises(ValueError, match=r"two\.c: no value for b, c"):
        fill_all({"one.c": "@{a}", "two.c": "@{a} @{c} @{b}"}, {"a": 1})


def test_a_value_without_a_place_is_an_error():
    with pytest.raises(ValueError, match=r"one\.c, two\.c: no place for c, d"):
        fill_all({"one.c": "@{a}", "two.c": "@{b}"}, {"a": 1, "b": 2, "d": 3, "c": 4})


def test_templates_share_their_values():
    assert fill_all({"one": "@{a}", "two": "@{b}"}, {"a": 1, "b": 2}) == {"one": "1", "two": "2"}
