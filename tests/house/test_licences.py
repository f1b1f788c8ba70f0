"""LICENSE and NOTICE: their content, and that the package contains both."""

import hashlib
import tomllib
from pathlib import Path

import pytest

from elir_edge.imaging.photographs import EVALUATION, TRAINING

ROOT = Path(__file__).parents[2]
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # as apache.org publishes the text
NOTICE = (ROOT / "NOTICE").read_text()


def test_the_licence_is_the_unmodified_text():
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_the_package_carries_every_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert {"LICENSE", "NOTICE"} < set(project["license-files"])
    assert all((ROOT / name).is_file() for name in project["license-files"])


@pytest.mark.parametrize("photograph", [*TRAINING, *EVALUATION], ids=lambda photograph: photograph.name)
def test_every_photograph_is_in_the_notice(photograph):
    assert photograph.name in NOTICE


def test_every_packaged_picture_is_in_the_notice():
    pictures = [path.name for path in (ROOT / "elir_edge/imaging/data").iterdir() if path.suffix == ".jpg"]
    assert pictures
    assert [name for name in pictures if name not in NOTICE] == []
