"""The web page in a real browser: it shows the same pictures as ONNX Runtime, also from several tiles."""

import functools
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from elir_edge import export, load_restorer, open_session, restore_picture
from elir_edge.errors import UnavailableError
from elir_edge.imaging.pictures import builtin_photograph, write_picture
from elir_edge.imaging.tiling import tile_count
from elir_edge.pipeline.target import get_target
from exporters.web import RUNTIME, find_runtime
from tests.helpers import refusal
from tests.quantized import convert, lower_for, noisy_feeds
from tests.robustness.faults import identity_model, manifest
from tests.tiny import why_no_export

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PIXELS = """
() => {
  const canvas = document.getElementById("after");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const text = Array.from(data, (byte) => String.fromCharCode(byte)).join("");
  return { height: canvas.height, width: canvas.width, data: btoa(text) };
}
"""


@pytest.fixture(scope="module", params=["nano", "bytes"])
def artifact(request, tiny_artifact, tmp_path_factory):
    reason = why_no_export(get_target("web"))
    if reason:
        pytest.skip(reason)
    if request.param == "nano":
        return export(load_restorer("nano"), "web", out=tmp_path_factory.mktemp("nano"))
    return tiny_artifact("web", io="uint8")


def test_the_versions_of_a_page_are_those_of_its_graph():
    page, graph = get_target("web"), get_target("onnx")
    assert (page.packages, page.quantizers) == (graph.packages, graph.quantizers)


@pytest.mark.slow
def test_the_finer_form_is_written_in_the_place_of_the_plain_one(light_restorer, tmp_path):
    reason = why_no_export(get_target("web"))
    if reason:
        pytest.skip(reason)
    graph, options = lower_for(light_restorer, "web"), {"calibration": noisy_feeds(64)}
    plain = (convert(graph, "web", tmp_path, "int8", **options) / "model.onnx").read_bytes()
    finer = convert(graph, "web", tmp_path, "int8", **options, unrounded=graph) / "model.onnx"
    assert len(finer.read_bytes()) > len(plain)


@pytest.fixture
def page(browser, artifact):
    """The page from Python's web server, in a window of a phone's size."""
    handler = functools.partial(Quiet, directory=str(artifact.path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context(**PHONE)
        opened = context.new_page()
        opened.wrong = []
        opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
        opened.on("requestfailed", lambda request: opened.wrong.append(request.url))
        opened.on("request", lambda request: opened.wrong.append(request.url) if not ours(request, server) else None)
        opened.goto(f"http://127.0.0.1:{server.server_port}/")
        yield opened
        context.close()
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def ours(request, server):
    return request.url.startswith((f"http://127.0.0.1:{server.server_port}/", "data:", "blob:"))


def restored_picture(page):
    import base64

    page.wait_for_function("document.body.dataset.done", timeout=120_000)
    shown = page.evaluate(PIXELS)
    data = np.frombuffer(base64.b64decode(shown["data"]), np.uint8)
    return data.reshape(shown["height"], shown["width"], 4)[..., :3]


@pytest.mark.slow
def test_the_page_shows_what_onnxruntime_gives(page, artifact, tmp_path):
    side = artifact.manifest.size[0]
    pixels = builtin_photograph("coffee")[: side + 30, : side + 60]
    write_picture(tmp_path / "photo.png", pixels)
    with open_session(artifact.path) as session:
        expected = restore_picture(session, pixels).astype(int)
    page.set_input_files("#file", tmp_path / "photo.png")
    shown = restored_picture(page).astype(int)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() <= 1
    assert (shown != expected).mean() < 0.01
    assert np.abs(shown - pixels).max() > 10
    assert int(page.evaluate("document.body.dataset.tiles")) == tile_count(*pixels.shape[:2], (side, side)) > 1
    assert page.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("artifact", ["bytes"], indirect=True)
def test_camera_slider_save_and_size(page, artifact, tmp_path):
    page.select_option("#size", "model")
    page.click("#camera")
    page.wait_for_function("document.getElementById('video').videoWidth > 0")
    page.click("#shutter")
    assert restored_picture(page).shape == (64, 64, 3)
    page.fill("#slider", "250")
    assert page.evaluate("document.getElementById('compare').style.getPropertyValue('--split')") == "25%"
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "camera-restored.png"
    page.click("#again")
    assert page.is_visible("#start")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    (tmp_path / "none.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "none.png")
    page.wait_for_selector("#error:visible")
    assert page.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("artifact", ["bytes"], indirect=True)
def test_what_is_wrong_stays_in_sight(page, artifact, browser, tmp_path):
    """A model that cannot be loaded, weights that mean nothing, and a page that is opened as a file."""
    write_picture(tmp_path / "photo.png", builtin_photograph("coffee")[:70, :90])
    page.set_input_files("#file", tmp_path / "photo.png")
    restored_picture(page)
    assert page.is_visible("#stand-in")
    page.context.route("**/model.onnx", lambda route: route.fulfill(status=404))
    page.reload()
    page.wait_for_selector("#error:visible")
    page.set_input_files("#file", tmp_path / "photo.png")
    page.wait_for_timeout(300)
    assert page.is_visible("#error") and "404" in page.inner_text("#error")
    assert not page.is_visible("#progress")
    page.context.route("**/manifest.json", lambda route: route.fulfill(body=manifest().to_json()))
    page.context.route("**/model.onnx", lambda route: route.fulfill(body=model_without_numbers()))
    page.reload()
    page.set_input_files("#file", tmp_path / "photo.png")
    page.wait_for_selector("#error:visible")
    assert "no numbers" in page.inner_text("#error")
    assert page.is_visible("#start") and not page.is_visible("#progress")
    page.context.route("**/manifest.json", lambda route: route.fulfill(status=404))
    page.reload()
    page.wait_for_selector("#error:visible")
    page.set_input_files("#file", tmp_path / "photo.png")
    page.wait_for_timeout(300)
    assert "manifest.json" in page.inner_text("#error")
    assert [said for said in page.wrong if not said.startswith("http")] == []  # of the script itself
    alone = browser.new_page()
    alone.goto((artifact.path / "index.html").as_uri())
    assert "web server" in alone.inner_text("#error")
    alone.close()


def model_without_numbers() -> bytes:
    """A graph that adds NaN to its picture."""
    import onnx

    model = identity_model(None)
    (constant,) = model.graph.initializer
    none = np.full(tuple(constant.dims), np.nan, np.float32)
    constant.CopyFrom(onnx.numpy_helper.from_array(none, constant.name))
    return model.SerializeToString()


def test_without_the_npm_package_the_command_is_named(private_cache, monkeypatch, tmp_path):
    monkeypatch.delenv("ELIR_EDGE_ONNXRUNTIME_WEB", raising=False)
    monkeypatch.chdir(tmp_path)
    refusal(UnavailableError, find_runtime, "npm install --prefix", "onnxruntime-web@", str(private_cache))


def test_the_npm_package_is_found_above_in_the_cache_and_where_it_is_said_to_be(private_cache, monkeypatch, tmp_path):
    monkeypatch.delenv("ELIR_EDGE_ONNXRUNTIME_WEB", raising=False)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    above = pretend(tmp_path / "node_modules" / "onnxruntime-web")
    assert find_runtime() == above
    cached = pretend(private_cache / "npm" / "node_modules" / "onnxruntime-web")
    assert find_runtime() == cached
    monkeypatch.setenv("ELIR_EDGE_ONNXRUNTIME_WEB", str(tmp_path / "elsewhere"))
    refusal(UnavailableError, find_runtime, "elsewhere", "npm install")
    given = pretend(tmp_path / "elsewhere")
    assert find_runtime() == given
    (given / "package.json").unlink()
    refusal(UnavailableError, find_runtime, "elsewhere", "package.json", "npm install")


def pretend(place: Path) -> Path:
    (place / "dist").mkdir(parents=True)
    for name in RUNTIME:
        (place / "dist" / name).write_text("")
    (place / "package.json").write_text(json.dumps({"version": "0"}))
    return place
