"""The child that runs one contestant: what its greeting counts. Runs no model."""

from typing import ClassVar

from elir_edge.artifacts.signature import TensorSpec
from elir_edge.bench.worker import open_worker


def test_the_cold_start_ends_with_one_picture_also_where_eight_run_at_once(monkeypatch):
    class Counting:
        inputs: ClassVar = [TensorSpec("image", (1, 3, 32, 32), "float32", "NCHW", "RGB 0..1")]
        pictures: ClassVar[list[int]] = []

        def run(self, feeds):
            self.pictures.append(1)

        def run_many(self, feeds, count):
            self.pictures.append(count)

        def placement(self):
            return {}

    monkeypatch.setattr("elir_edge.runtime.session.open_session", lambda *arguments, **more: Counting())
    mode = {"hint": "throughput"}
    request = {"kind": "artifact", "path": "a.xml", "backend": "none", "mode": mode, "size": [32, 32], "threads": 1}
    greeting, answer = open_worker(request)
    assert (Counting.pictures, greeting["pictures"]) == ([1], 8)
    answer({"run": 2})
    assert Counting.pictures == [1, 8, 8]
