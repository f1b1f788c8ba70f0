"""Numbers that people write: of more digits than int() takes they are refused as any other text is."""

import pytest

from elir_edge.artifacts.signature import parse_size
from elir_edge.core.plain import whole_number
from elir_edge.errors import UsageError
from elir_edge.families.elir.spec import ElirSpec
from elir_edge.families.weights import load_restorer
from elir_edge.imaging.noise import NoiseContract
from tests.helpers import refusal
from tests.tiny import BARE

LONG = "9" * 5000


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), (str(2**63 - 1), 2**63 - 1), ("", None), ("-1", None), ("1.5", None), (LONG, None)],
)
def test_whole_numbers(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "ask",
    [
        lambda: parse_size(LONG, ElirSpec()),
        lambda: parse_size(f"256x{LONG}", ElirSpec()),
        lambda: NoiseContract.parse(f"baked:{LONG}"),
        lambda: load_restorer(BARE, f"random:{LONG}"),
    ],
)
def test_numbers_of_thousands_of_digits_are_refused(ask):
    error = refusal(UsageError, ask, "999")
    assert len(str(error)) < 200
