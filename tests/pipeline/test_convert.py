"""What a converter raises becomes one line: the rest is for --debug."""

from types import SimpleNamespace
from typing import Any

import pytest

from elir_edge.errors import ElirEdgeError
from elir_edge.pipeline.convert import convert_and_embed
from tests.helpers import refusal


@pytest.mark.parametrize("said", ["type promotion\n\n## Stack\nmore", "\ntype promotion\n"])
def test_the_first_line_of_a_converter_s_error_is_shown(said):
    def fail(*given: Any) -> None:
        raise RuntimeError(said)

    request: Any = SimpleNamespace(target=SimpleNamespace(name="onnx", convert=fail))
    graph: Any = None
    error = refusal(ElirEdgeError, lambda: convert_and_embed(graph, request, {}, graph), "--debug")
    assert str(error) == "the onnx converter failed: RuntimeError: type promotion"
    assert str(error.__cause__) == said
