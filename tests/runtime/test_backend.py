"""Loading of a backend's module: by several threads, and where it fails."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from types import SimpleNamespace

import pytest

from elir_edge.errors import ResourceError, UnavailableError
from elir_edge.runtime.backend import Backend, get_backend
from elir_edge.runtime.hardware import devices_of
from tests.helpers import child_environment, refusal

LOG_OF_TORCH = """
import logging
from elir_edge.runtime.backend import get_backend
get_backend("torch").load()
logging.getLogger("torch.onnx").warning("a word of torch")
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A function that makes a backend of the text of its module."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, text: str) -> Backend:
        (tmp_path / f"{name}.py").write_text(text)
        return Backend("theirs", (".x",), "numpy", "theirs", name)

    return make


def test_a_second_thread_waits_for_the_import_of_the_first(theirs, monkeypatch):
    gate = SimpleNamespace(began=threading.Event(), may_end=threading.Event())
    monkeypatch.setitem(sys.modules, "gate_of_the_import", gate)
    lines = "import gate_of_the_import as gate", "gate.began.set()", "gate.may_end.wait(20)", "whole = True"
    backend = theirs("slow_to_import", "\n".join(lines))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(backend.load)
        gate.began.wait(20)
        second = pool.submit(lambda: hasattr(backend.load(), "whole"))
        wait([second], timeout=0.3)
        gate.may_end.set()
        assert second.result(20)
        assert first.result(20).whole


@pytest.mark.parametrize("raised", ["ImportError('no libtheirs.so')", "RuntimeError('no libtheirs.so')"])
def test_a_module_that_fails_is_told_with_its_reason(theirs, raised):
    backend = theirs(f"fails_with_{raised[:6]}", f"raise {raised}")
    refusal(UnavailableError, backend.load, raised.partition("(")[0], "no libtheirs.so", "pip install")


def test_memory_that_runs_out_is_told_as_that(theirs):
    refusal(ResourceError, theirs("has_no_memory", "raise RuntimeError('std::bad_alloc')").load, "not enough memory")


def test_a_place_without_temporary_files_is_no_reason_to_install_again(theirs, monkeypatch):
    def fail():
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    assert theirs("needs_no_temporary_file", "whole = True").load().whole


def test_devices_that_cannot_be_listed_are_told(theirs):
    text = "def devices():\n    raise RuntimeError('clGetDeviceInfo failed\\nat line 3')"
    (device,) = devices_of(theirs("fails_to_list", text))
    assert not device.available
    assert device.detail == "cannot be listed: RuntimeError: clGetDeviceInfo failed"


@pytest.mark.slow
def test_the_log_of_torch_works_after_its_import():
    if not get_backend("torch").is_installed():
        pytest.skip("needs torch")
    done = subprocess.run(
        [sys.executable, "-c", LOG_OF_TORCH], env=child_environment(), capture_output=True, text=True, check=True
    )
    assert "a word of torch" in done.stderr
    assert "Logging error" not in done.stderr
