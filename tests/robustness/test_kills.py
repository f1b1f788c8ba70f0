"""Writers killed with SIGKILL at random moments of a real run."""

from __future__ import annotations

import dataclasses
import shutil
import sys

import pytest

from tests.robustness.kills import WRITERS, kill_often

TIMES = {"restore": 10, "export": 3, "export openvino": 3, "package": 6}

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(sys.platform != "linux", reason="only there a worker dies with what watches it at once"),
]


@pytest.mark.parametrize("name", WRITERS)
def test_killed_writers_leave_all_or_nothing(name, place, tiny_artifact):
    writer = WRITERS[name]
    if name == "package":
        source = tiny_artifact("tflite", io="uint8").path
        shutil.copytree(source.parent, place, dirs_exist_ok=True)
        writer = dataclasses.replace(writer, arguments=("package", source.name, *writer.arguments[2:]))
    found = kill_often(writer, place, TIMES[name])
    assert found.total() == TIMES[name]
