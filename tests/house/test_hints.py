"""Errors say what to do next: those raised without a ``hint`` are found."""

from __future__ import annotations

import ast
from pathlib import Path

from elir_edge import errors
from elir_edge.errors import ElirEdgeError

ROOT = Path(__file__).parents[2]
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ElirEdgeError)} | {
    "ChildError"
}


def raised_without_hint() -> dict[str, str]:
    """Place -> class of each error of ours that is made with a message and without a hint."""
    found = {}
    for folder in ("elir_edge", "exporters"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                    given = len(node.args) > 1 or any(keyword.arg in ("hint", None) for keyword in node.keywords)
                    if node.args and not given:
                        found[f"{path.relative_to(ROOT)}:{node.lineno}"] = node.func.id
    return found


def test_errors_say_what_to_do_next():
    found = raised_without_hint()
    assert found == {}
