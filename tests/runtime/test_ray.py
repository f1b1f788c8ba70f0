"""Pictures through a local Ray of two workers: the same bytes, again, and what fails."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elir_edge.artifacts.artifact import model_sha256
from elir_edge.core.files import sha256_of
from elir_edge.core.journal import NAME, PARTS, Journal
from elir_edge.errors import DataError, UsageError
from elir_edge.runtime.ray_engine import FAILURES, QUIET, restore_on_ray, start_ray
from elir_edge.runtime.ray_worker import Job, RayWorker, place_of
from elir_edge.runtime.settings import Settings
from tests.helpers import refusal, save_picture, snapshot
from tests.sessions import IdentitySession

WORKERS = 2


@pytest.fixture(scope="module")
def cluster():
    """A Ray of this machine, with two processors for sessions and one for reading lists."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    before = dict(os.environ)
    os.environ.update(QUIET)
    start_ray(address="local", num_cpus=WORKERS + 1, include_dashboard=False)
    yield ray
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def job(tiny_artifact, tmp_path) -> Job:
    path = tiny_artifact("onnx").path
    return Job(path, tmp_path / "out", sha256_of(path))


def make_pictures(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{i:02}.png" for i in range(count)]
    for i, path in enumerate(paths):
        save_picture(path, seed=i)
    return paths


# ---- without a cluster ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "named", "format", "expected"),
    [("/data/a/b.jpg", "", None, "data/a/b.jpg"), ("../a.nef", None, None, "a.tif"),
     ("a.png", "x/y.webp", None, "x/y.webp"), ("a.png", "", "jpeg", "a.jpg")],
)  # fmt: skip
def test_pictures_of_a_list_keep_their_place(source, named, format, expected):
    assert place_of(Path(source), named, format) == Path(expected)


@pytest.mark.parametrize("line", [".", "..", "/", "../.."])
def test_lines_that_name_no_picture_are_refused(line):
    refusal(UsageError, lambda: place_of(Path(line), None, None), "names no picture")


@pytest.mark.parametrize("named", ["/etc/a.png", "../a.png", "x/../../a.png", "a.doc"])
def test_no_target_is_outside_of_the_folder(named):
    refusal(UsageError, lambda: place_of(Path("a.png"), named, None), named)


def test_journals_of_several_writers_are_one(tmp_path):
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        digests.append(sha256_of(tmp_path / name))
    first, second = Journal(tmp_path, "one"), Journal(tmp_path, "two")
    first.add(tmp_path / "a", "key", digests[0])
    second.add(tmp_path / "b", "key", digests[1])
    with second.path.open("ab") as file:
        file.write(b'{"name": "c", "ke')  # killed while it wrote
    whole = Journal(tmp_path)
    assert whole.is_done(tmp_path / "a", "key") and whole.is_done(tmp_path / "b", "key")
    whole.gather()
    whole.add(tmp_path / "d", "key", "x")
    assert [*tmp_path.glob(PARTS)] == []
    again = Journal(tmp_path)
    assert again.is_done(tmp_path / "a", "key") and again.is_done(tmp_path / "b", "key")
    assert again.lists(tmp_path / "d") and not again.lists(tmp_path / "c")


def test_another_artifact_on_another_machine_is_refused(job):
    job.out.mkdir()
    refusal(DataError, lambda: RayWorker(replace(job, key="0" * 64)), "another file")


def test_another_second_file_of_an_artifact_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<net/>")
    path.with_suffix(".bin").write_bytes(b"one")
    key = model_sha256(path)
    path.with_suffix(".bin").write_bytes(b"two")
    refusal(DataError, lambda: RayWorker(Job(path, tmp_path / "out", key)), "another file")
    path.with_suffix(".bin").unlink()
    refusal(DataError, lambda: RayWorker(Job(path, tmp_path / "out", key)), "a.bin is missing")


def test_no_source_is_overwritten_and_no_result_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr("elir_edge.runtime.ray_worker.open_session", lambda *given, **more: IdentitySession())
    path = tmp_path / "a.onnx"
    path.write_bytes(b"")
    [itself] = make_pictures(tmp_path / "in", 1)
    before = itself.read_bytes()
    save_picture(tmp_path / "in" / "00.bmp", seed=1)
    for out, sources, said in (("in", ["00.png"], "itself"), ("out", ["00.png", "00.bmp"], "is the target of")):
        (tmp_path / out).mkdir(exist_ok=True)
        job = Job(path, tmp_path / out, sha256_of(path), tmp_path / "in", format="png", settings=Settings(force=True))
        errors = RayWorker(job)({"path": np.array(sources, object)})["error"]
        assert [said in error for error in errors if error] == [True], errors
    assert itself.read_bytes() == before


def test_what_the_engine_does_not_do_is_refused(run, job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_picture(tmp_path / "a.png")
    assert "runs artifacts" in run("restore", "a.png", "-o", "out", "--engine", "ray").err
    into_file = run("restore", "a.png", "-o", "b.png", "--engine", "ray", "-a", job.artifact)
    assert into_file.code == 2 and "into a folder" in into_file.err


# ---- on a cluster ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("error:.*ray_remote_args_fn")
def test_a_folder_gives_the_same_bytes_and_is_gone_on_with(cluster, run, job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = make_pictures(tmp_path / "in", 40)
    paths[7].write_bytes(paths[7].read_bytes()[:300])
    on_ray = ("restore", "in", "-a", job.artifact, "-o", "out", "--engine", "ray", "--jobs", WORKERS)
    outcome = run(*on_ray)
    assert (outcome.code, outcome.out) == (65, "39 of 40 restored\n"), outcome.err
    [failure] = [json.loads(line) for line in (tmp_path / "out" / FAILURES).read_text().splitlines()]
    assert failure["exit_code"] == 65 and "07.png" in failure["picture"]
    run("restore", "in", "-a", job.artifact, "-o", "alone")
    assert pictures_of(tmp_path / "out") == pictures_of(tmp_path / "alone")
    save_picture(paths[7], seed=7)
    (tmp_path / "out" / "11.png").unlink()
    assert run(*on_ray).out == "2 of 40 restored, 38 done before\n"
    assert not (tmp_path / "out" / FAILURES).exists()
    alone = run("restore", "in", "-a", job.artifact, "-o", "out")
    assert alone.out == "0 of 40 restored, 40 done before\n", "one process goes on where Ray stopped"
    names = {path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")}
    assert NAME in names and len(names) <= 1 + int(WORKERS), "at most the parts that living workers hold are left"


def pictures_of(folder: Path) -> dict[str, str]:
    return {name: content for name, content in snapshot(folder).items() if name.endswith(".png")}


@pytest.mark.slow
def test_a_parquet_list_with_targets(cluster, job, tmp_path):
    from pyarrow import Table, parquet

    first, second, third = make_pictures(tmp_path / "in", 3)
    paths = [str(first), "in/01.png", str(third), str(tmp_path / "none.png")]
    targets = ["x/first.webp", "", "../third.png", None]
    parquet.write_table(Table.from_pydict({"path": paths, "target": targets}), tmp_path / "list.parquet")
    results = {Path(result.source).name: result for result in restore_on_ray(tmp_path / "list.parquet", job, WORKERS)}
    assert (job.out / "x" / "first.webp").is_file() and (job.out / "in" / "01.png").is_file()
    assert results["00.png"].error is None and results["01.png"].error is None
    assert "outside of the output folder" in results["02.png"].error
    assert results["none.png"].exit_code == 66
    assert not (tmp_path / "third.png").exists()
    assert second.is_file()


@pytest.mark.slow
def test_a_list_that_cannot_be_read_and_a_cluster_that_is_too_small(cluster, job, tmp_path):
    [picture] = make_pictures(tmp_path / "in", 1)
    (tmp_path / "list.parquet").write_text("no table")
    refusal(DataError, lambda: list(restore_on_ray(tmp_path / "list.parquet", job, 1)), "list.parquet")
    (tmp_path / "list.txt").write_text(f"{picture}\n")
    refusal(UsageError, lambda: list(restore_on_ray(tmp_path / "list.txt", job, 50)), "50 workers", "3")


@pytest.mark.slow
def test_nothing_is_reported_to_anybody(cluster):
    from ray._common.usage import usage_lib

    assert usage_lib.usage_stats_enabled() is False
