"""Gates: what counts as lost."""

import pytest

from elir_edge.validation.gates import VISIBLE_DB
from elir_edge.validation.result import Truth


@pytest.mark.parametrize(
    ("reference", "artifact", "lost"), [(30.0, 29.5, 0.5), (29.5, 30.0, -0.5), (50.0, 41.0, 0.0), (50.0, 39.0, 1.0)]
)
def test_what_cannot_be_seen_is_not_lost(reference, artifact, lost):
    assert VISIBLE_DB == 40.0
    assert Truth(reference, artifact).drop_db == pytest.approx(lost)
