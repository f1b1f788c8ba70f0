"""The page for trying artifacts, in a real browser: an upload, a click, the same picture as from Python."""

from __future__ import annotations

import http.client
import os
import time
from pathlib import Path
from unittest.mock import MagicMock
from urllib.parse import urlsplit

import numpy as np
import pytest

from elir_edge import open_session, restore_picture
from elir_edge.errors import OutputError, UnavailableError, UsageError
from elir_edge.imaging.pictures import read_picture
from elir_edge.runtime import demo
from elir_edge.runtime.backend import Backend
from elir_edge.runtime.demo import KEPT_SECONDS, Trial, demo_page, open_demo
from tests.helpers import refusal, save_picture

pytestmark = pytest.mark.slow
MINUTES = 180_000  # milliseconds; only a page that hangs takes so long


@pytest.fixture(scope="module")
def artifact(tiny_artifact) -> Path:
    return tiny_artifact("onnx").path


@pytest.fixture(scope="module")
def address(artifact):
    pytest.importorskip("gradio", reason="the extra 'demo' is not installed")
    with open_demo([artifact]) as served:
        yield served


def test_an_upload_and_a_click_restore_a_picture(browser, address, artifact, tmp_path):
    pixels = save_picture(tmp_path / "photo.png", 90, 70)
    page = browser.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address, timeout=MINUTES)
    page.set_input_files("input[type=file]", str(tmp_path / "photo.png"), timeout=MINUTES)
    page.locator("img[src*='photo.png']").first.wait_for(timeout=MINUTES)
    page.get_by_role("button", name="Restore").click(timeout=MINUTES)
    page.locator("img[src*='restored.png']").first.wait_for(timeout=MINUTES)
    page.locator("img[src*='before.png']").first.wait_for(timeout=MINUTES)
    assert float(page.get_by_label("Milliseconds").input_value()) > 0
    with page.expect_download(timeout=MINUTES) as download:
        page.get_by_role("button", name="Download").click(timeout=MINUTES)
    download.value.save_as(tmp_path / "restored.png")
    page.screenshot(path=str(tmp_path / "page.png"))
    page.close()
    with open_session(artifact) as session:
        assert np.array_equal(read_picture(tmp_path / "restored.png"), restore_picture(session, pixels))
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not wrong and not outside


def test_the_page_answers_this_machine_only(address):
    place = urlsplit(address)
    assert place.hostname == "127.0.0.1"
    for name, status in (("127.0.0.1", 200), ("elsewhere.example", 400)):
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
        connection.request("GET", "/", headers={"Host": name})
        answer = connection.getresponse()
        assert answer.status == status
        if status == 200:
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        connection.close()


def test_a_port_that_is_taken_is_said(address, artifact):
    with pytest.raises(OutputError, match="port"), open_demo([artifact], urlsplit(address).port):
        pass


def test_backends_are_those_that_open_the_artifact(artifact):
    trial = Trial([artifact])
    assert "onnxruntime" in trial.backends_of(str(artifact))
    trial.close()
    with pytest.raises(UsageError, match="no artifacts"):
        Trial([])


def test_an_artifact_without_a_runtime_says_what_to_install(artifact, monkeypatch):
    monkeypatch.setattr(Backend, "is_installed", lambda backend: False)
    refusal(UnavailableError, lambda: Trial([artifact]), artifact.name, "pip install")


def test_gradio_leaves_the_picture_as_it_is(artifact, monkeypatch):
    """Alpha and 16 bits come to ``read_picture``: only without a mode does Gradio give the file that was uploaded."""
    gradio, trial = MagicMock(), Trial([artifact])
    monkeypatch.setattr(demo, "_load_gradio", lambda: gradio)
    demo_page(trial)
    trial.close()
    given = gradio.Image.call_args.kwargs
    assert (given["type"], given["image_mode"]) == ("filepath", None)


def test_results_are_deleted_after_a_while(artifact, tmp_path):
    save_picture(tmp_path / "photo.png", 90, 70)
    trial = Trial([artifact])
    old, recent = (
        trial.restore(tmp_path / "photo.png", str(artifact), "onnxruntime")[0].parent for _ in ("old", "recent")
    )
    os.utime(old, (time.time() - KEPT_SECONDS - 60,) * 2)
    files = trial.restore(tmp_path / "photo.png", str(artifact), "onnxruntime")[:2]
    assert recent.is_dir() and all(file.is_file() for file in files)
    assert not old.exists()
    trial.close()
