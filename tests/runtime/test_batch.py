"""Many pictures: which ones, in which order, and what fails."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from elir_edge.errors import DataError, MissingInputError, ResourceError, UsageError
from elir_edge.imaging.file_formats import kind_of
from elir_edge.runtime.batch import locked_journal, run_pictures
from elir_edge.runtime.in_order import run_in_order
from elir_edge.runtime.plan import plan_pictures
from elir_edge.runtime.restore import check_overlap
from elir_edge.runtime.session import open_session
from elir_edge.runtime.settings import Settings
from elir_edge.runtime.work import Work
from tests.helpers import refusal, save_picture
from tests.runtime.folders import make_folder, run_folder
from tests.sessions import IdentitySession


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path)


@pytest.mark.slow
def test_openvino_does_not_put_the_threads_of_several_sessions_onto_one_core(tiny_artifact):
    with open_session(tiny_artifact("openvino").path, threads=1) as session:
        assert session._compiled.get_property("ENABLE_CPU_PINNING") is False


@pytest.mark.slow
def test_openvino_is_not_started_without_room_for_its_device(tiny_artifact, monkeypatch):
    monkeypatch.setattr("elir_edge.runtime.openvino_backend.address_limit", lambda: 10**9)
    monkeypatch.setattr("elir_edge.runtime.openvino_backend.address_room", lambda: 119_999_999)
    refusal(ResourceError, lambda: open_session(tiny_artifact("openvino").path), "not enough memory for OpenVINO")


# ---- which pictures, and where to -----------------------------------------------------------------------------------


def names(pairs, out):
    return [str(target.relative_to(out)) for _, target in pairs]


def test_folders_keep_their_tree_and_hidden_files_are_left_out(folder, tmp_path):
    out = tmp_path / "out"
    assert names(plan_pictures([folder], out, None, False, False).pairs, out) == ["a.png", "b.png"]
    found = names(plan_pictures([folder], out, "webp", True, False).pairs, out)
    assert found == ["a.webp", "b.webp", "inner/c.webp", "inner/most/d.webp"]


def test_globs_and_an_output_folder_inside_the_input_s(folder):
    out = folder / "out"
    plan = plan_pictures([folder / "**" / "[cd].png"], out, None, False, False)
    assert names(plan.pairs, out) == ["c.png", "d.png"]
    run_folder(folder, out, recursive=True)
    again = plan_pictures([folder], out, None, True, False)
    assert names(again.pairs, out) == ["a.png", "b.png", "inner/c.png", "inner/most/d.png"]


@pytest.mark.parametrize(
    ("given", "format", "expected"),
    [("a.JPG", None, "a.JPG"), ("a.nef", None, "a.tif"), ("a.ppm", None, "a.png"), ("a.jpeg", "jpg", "a.jpeg"),
     ("a.png", "tiff", "a.tif"), ("a.heic", "jpeg", "a.jpg"), ("a", None, "a.png")],
)  # fmt: skip
def test_the_format_is_the_picture_s_own_or_the_one_asked_for(given, format, expected, tmp_path):
    (tmp_path / given).write_bytes(b"x")
    [(_, target)] = plan_pictures([tmp_path / given], tmp_path / "out", format, False, False).pairs
    assert target.name == expected


def test_what_cannot_be_planned_is_refused(folder, tmp_path):
    refusal(MissingInputError, lambda: plan_pictures([tmp_path / "no*.png"], tmp_path / "o", None, False, False), "no*")
    refusal(UsageError, lambda: plan_pictures([folder], tmp_path / "o", "jepg", False, False), "did you mean 'jpg'?")
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    refusal(DataError, lambda: plan_pictures([tmp_path / "outer"], tmp_path / "o", None, False, False), "--recursive")


# ---- several at a time, and what fails ------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_in_order_whatever_takes_longest(jobs, tmp_path):
    sizes = [(70, 90), (10, 10), (33, 64), (5, 200), (64, 64)]
    arrays = [np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8) for i, size in enumerate(sizes)]
    sessions = [IdentitySession() for _ in range(jobs)]
    shares: list[float] = []
    pairs = [(array, None) for array in arrays]
    results = list(run_pictures(pairs, sessions, "", Settings(), advance=shares.append))
    assert [result.source for result in results] == [f"[{i}]" for i in range(len(sizes))]
    assert all(np.array_equal(result.pixels, array) for result, array in zip(results, arrays, strict=True))
    assert sum(shares) == pytest.approx(len(sizes))


def test_sessions_run_at_the_same_time():
    """Two sessions meet at a barrier, which one alone would wait at for ever."""
    barrier = threading.Barrier(2, timeout=20)

    def meet(session, item):
        barrier.wait()
        return item * 2

    assert [result for _, result in run_in_order(meet, range(6), [IdentitySession(), IdentitySession()])] == [
        0, 2, 4, 6, 8, 10,
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 1), (40, 30, 2), (40, 30, 3), (40, 30, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_of_any_form(shape, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    [result] = run_pictures(
        [(pixels if pixels.ndim > 2 else pixels[..., None], None)], [IdentitySession()], "", Settings()
    )
    assert result.pixels.dtype == dtype
    assert np.array_equal(result.pixels.squeeze(), pixels.squeeze())


def test_one_bad_picture_stops_no_other(folder, tmp_path):
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:600])
    save_picture(folder / "z.png", seed=7)
    good, bad, last = run_folder(folder, tmp_path / "out")
    assert (good.error, last.error) == (None, None)
    assert "b.png: damaged or cut short" in bad.error and isinstance(bad.failure, DataError)
    assert not (tmp_path / "out" / "b.png").exists()


def test_a_picture_that_goes_meanwhile_stops_no_other(folder, tmp_path):
    plan = plan_pictures([folder], tmp_path / "out", None, False, False)
    (folder / "a.png").unlink()
    with locked_journal(tmp_path / "out") as journal:
        gone, there = run_pictures([*plan.pairs], [IdentitySession()], "identity", Settings(), journal)
    assert (gone.exit_code, there.error) == (66, None)


def test_a_file_that_cannot_be_read_stops_no_other(folder, tmp_path, monkeypatch):
    """For want of permission, which the superuser always has, or as a link to nothing."""
    (folder / "link.png").symlink_to("nothing.png")

    def refuse(path):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied", str(path))
        return kind_of(path)

    monkeypatch.setattr("elir_edge.imaging.opening.kind_of", refuse)
    good, unreadable, link = run_folder(folder, tmp_path / "out")
    assert good.error is None
    assert (unreadable.exit_code, link.exit_code) == (66, 66)
    assert "b.png: cannot be read (Permission denied)" in unreadable.error and "permissions" in unreadable.hint


def test_names_that_the_system_refuses_stop_no_other(folder, tmp_path):
    pairs = [
        (folder / ("n" * 300 + ".png"), tmp_path / "out" / "n.png"),
        (folder / "a.png", tmp_path / "out" / "a.png"),
    ]
    with locked_journal(tmp_path / "out") as journal:
        bad, good = run_pictures(pairs, [IdentitySession()], "identity", Settings(), journal)
    assert bad.exit_code == 66 and good.error is None
    refusal(MissingInputError, lambda: plan_pictures([pairs[0][0]], tmp_path / "o.png", None, False, False), "nnn")


def test_what_failed_does_not_stay_in_memory(folder, tmp_path, monkeypatch):
    """Errors are kept, the pictures that their tracebacks would hold are not."""
    begin, kept = Work.__init__, []

    def remember(work, *arguments):
        kept.append(weakref.ref(work))
        begin(work, *arguments)

    monkeypatch.setattr(Work, "__init__", remember)
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:600])
    _, bad = run_folder(folder, tmp_path / "out")
    assert isinstance(bad.failure, DataError) and bad.failure.__cause__ is not None
    assert "in read" in "".join(bad.failure.__notes__)  # where it came from stays as text
    gc.collect()
    assert len(kept) == 2 and [work() for work in kept] == [None, None]


def test_progress_counts_pictures_that_were_done_or_failed(folder, tmp_path):
    (folder / "b.png").write_bytes(b"no picture")
    for _ in range(2):
        plan, shares = plan_pictures([folder], tmp_path / "out", None, False, False), []
        with locked_journal(tmp_path / "out") as journal:
            results = list(run_pictures([*plan.pairs], [IdentitySession()], "", Settings(), journal, shares.append))
        assert sum(shares) == pytest.approx(len(results))
    assert results[0].skipped and results[1].error


def test_errors_of_a_runtime_s_own_fail_the_picture(folder, tmp_path):
    class Refused(Exception):
        """As ONNX Runtime's InvalidArgument, which is no RuntimeError."""

    def refuse(image):
        raise Refused("index out of bounds")

    results = run_folder(folder, tmp_path / "out", [IdentitySession(function=refuse)])
    assert all("index out of bounds" in result.error for result in results)


def test_an_artifact_that_fails_on_one_tile_fails_that_picture(folder, tmp_path):
    dark = folder / "b.png"
    from PIL import Image

    Image.new("RGB", (20, 24)).save(dark)
    nan_if_dark = IdentitySession(function=lambda image: image if image.any() else np.full_like(image, np.nan))
    first, second = run_folder(folder, tmp_path / "out", [nan_if_dark])
    assert first.error is None and "NaN" in second.error


def test_a_full_disk_ends_the_run(folder, tmp_path, monkeypatch):
    from elir_edge.errors import StorageError

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("elir_edge.imaging.saving.sync", full)
    with pytest.raises(StorageError, match="No space left"):
        run_folder(folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == []


@pytest.mark.parametrize("overlap", [-1, 17, 1000])
def test_an_overlap_of_more_than_half_a_tile_is_refused(overlap):
    refusal(UsageError, lambda: check_overlap(overlap, (32, 48)), str(overlap), "0 to 16")
