"""A process that has run a model heeds its signals, whichever thread dropped the session."""

import signal
import subprocess
import sys

import pytest

from elir_edge.runtime.backend import backends_for
from tests.helpers import child_environment, heed_signals

SCRIPT = """
import gc, os, signal, sys, threading
from elir_edge import open_session
kept = [open_session(sys.argv[1], sys.argv[2])]

def drop():
    kept.clear()
    gc.collect()

thread = threading.Thread(target=drop)
thread.start()
thread.join()
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_ctrl_c_reaches_a_program_whose_session_another_thread_dropped(target, light_artifact):
    path = light_artifact(target, io="uint8", noise="input").path
    for backend in (backend.name for backend in backends_for(path) if backend.is_installed()):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path), backend], env=child_environment(), capture_output=True, text=True,
            timeout=300, preexec_fn=heed_signals,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "interrupted\n"), (backend, done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it set")
def test_handlers_keep_their_stack():
    import ctypes

    from elir_edge.core.signal_stack import _Stack, keep_signal_stack

    set_stack, before, after = ctypes.CDLL(None).sigaltstack, _Stack(), _Stack()
    memory = ctypes.create_string_buffer(1 << 20)
    set_stack(None, ctypes.byref(before))
    with keep_signal_stack():
        own = _Stack(ctypes.addressof(memory), 0, 1 << 20)
        assert set_stack(ctypes.byref(own), None) == 0
    set_stack(None, ctypes.byref(after))
    assert (after.place, after.flags) == (before.place, before.flags)
    assert signal.getsignal(signal.SIGINT) is not None
