"""The process that runs one artifact in one backend: it says what loading took, then runs as often as it is told.

Speaks JSON lines: a greeting with ``load_s`` and ``first_s``, then for each number read from stdin the ``samples`` of
so many runs. Ends when stdin does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from elir_edge.errors import ElirEdgeError

Run = Callable[[], object]


def main(request: dict[str, Any], answers: Any) -> None:
    """Serve ``request`` (path, backend, threads; or a spec and weights for PyTorch) on ``answers``, a text stream."""
    for message in serve(request, (int(line) for line in sys.stdin)):
        answers.write(json.dumps(message) + "\n")
        answers.flush()


def serve(request: dict[str, Any], counts: Iterator[int]) -> Iterator[dict[str, Any]]:
    """The messages of one worker; the last is an ``error`` where loading or running fails."""
    try:
        start = time.perf_counter()
        run = _open(request)
        load_s = time.perf_counter() - start
        yield {"load_s": load_s, "first_s": _seconds(run), "peak_bytes": peak_bytes()}
        for count in counts:
            yield {"samples": [_seconds(run) for _ in range(count)], "peak_bytes": peak_bytes()}
    except ElirEdgeError as error:
        yield {"error": str(error)}
    except Exception as error:  # a runtime raises anything; the reason must reach the table
        yield {"error": f"{type(error).__name__}: {error}"}


def peak_bytes() -> int:
    """The most memory this process ever had resident.

    Linux tells it in /proc; there, getrusage would count the parent's from before the child's program was loaded.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _open(request: dict[str, Any]) -> Run:
    return _open_eager(request) if request["backend"] == "torch" else _open_artifact(request)


def _open_artifact(request: dict[str, Any]) -> Run:
    import numpy as np

    from elir_edge.images import builtin_photograph, fit_picture
    from elir_edge.restore import graph_size, image_input, noise_feeds, to_graph
    from elir_edge.runtime import open_session

    session = open_session(Path(request["path"]), request["backend"], request["threads"])
    image = image_input(session)
    pixels = fit_picture(builtin_photograph("astronaut"), *graph_size(image)).astype(np.float32)
    feeds = {"image": to_graph(pixels, image), **noise_feeds(session, 0)}
    return lambda: session.run(feeds)


def _open_eager(request: dict[str, Any]) -> Run:
    """The reference: the PyTorch model as it is, fp32, NCHW, not lowered."""
    import torch

    from elir_edge.spec import ModelSpec
    from elir_edge.weights import load_restorer

    if request["threads"]:
        torch.set_num_threads(request["threads"])
    restorer = load_restorer(ModelSpec.from_dict(request["spec"]), request["weights"])
    height, width = request["size"]
    image = torch.rand(1, 3, height, width)
    return lambda: _inference(restorer, image)


def _inference(restorer: Any, image: Any) -> None:
    import torch

    with torch.inference_mode():
        restorer(image)


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a runtime prints must not get between the answers
    main(json.loads(sys.argv[1]), channel)
