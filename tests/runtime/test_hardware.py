"""Devices of backends: which are listed, and what is imported for it."""

import json
import subprocess
import sys

import pytest

from elir_edge.runtime.backend import Backend
from elir_edge.runtime.hardware import devices_of
from tests.helpers import child_environment

LIST_DEVICES = """
import sys
from elir_edge.cli import run
status = run(["devices", "--json"])
print(sorted({"tensorflow", "coremltools"} & set(sys.modules)), file=sys.stderr)
sys.exit(status)
"""


def test_a_backend_for_the_cpu_alone_is_listed_without_an_import():
    backend = Backend("theirs", (".x",), "numpy", "theirs", "not.to.be.found", cpu_only=True)
    (device,) = devices_of(backend)
    assert (device.name, device.available) == ("CPU", True)
    assert "numpy" in device.detail


def test_a_backend_that_cannot_be_loaded_says_what_to_install():
    (device,) = devices_of(Backend("theirs", (".x",), "not_installed_anywhere", "their-package", "not.to.be.found"))
    assert not device.available
    assert "pip install 'their-package'" in device.detail
    (device,) = devices_of(Backend("theirs", (".x",), "not_installed", "theirs", "not.to.be.found", cpu_only=True))
    assert not device.available


@pytest.mark.slow
def test_the_largest_framework_is_not_imported_for_the_list():
    done = subprocess.run(
        [sys.executable, "-c", LIST_DEVICES], env=child_environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
    listed = {device["backend"] for device in json.loads(done.stdout)}
    assert {"onnxruntime", "openvino", "litert", "tensorflow", "executorch", "coreml", "torch"} <= listed
