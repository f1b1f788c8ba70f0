"""The script of the web page in a real browser, beside a worker that gives each picture back at once."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

import elir_edge
from elir_edge.imaging.pictures import write_picture
from tests.robustness.faults import manifest

pytestmark = pytest.mark.slow

WEB = Path(elir_edge.__file__).parent / "web"
ADDRESS = "http://localhost/"  # none is asked: every request is answered here
ECHO = """
onmessage = ({ data }) => {
  if (data.open) postMessage({ ready: true });
  if (!data.restore) return;
  postMessage({ restored: { ...data.restore, tiles: 1, seconds: 0 } }, [data.restore.rgba.buffer]);
};
"""
FAILS_LATE = """
let fail = null;
export async function openGraph() {
  const restore = async (rgb) => {
    if (!fail) return new Promise((resume, reject) => { fail = reject; });
    fail(new Error("of the first picture"));
    return rgb;
  };
  return { size: [64, 64], restore };
}
"""  # the first picture fails when the second one comes
SHOWN = "(() => { const { width, height } = document.getElementById('after'); return [width, height]; })()"


@pytest.fixture
def page(browser):
    """The page in a window of a phone's size."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    context.route("**/*", answer)
    opened = context.new_page()
    opened.wrong = []
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.goto(ADDRESS)
    opened.select_option("#size", "full")
    yield opened
    assert opened.wrong == []
    context.close()


def answer(route):
    name = urlsplit(route.request.url).path.removeprefix("/") or "index.html"
    if name == "manifest.json":
        route.fulfill(body=manifest().to_json())
    elif name == "worker.js":
        route.fulfill(body=ECHO, content_type="text/javascript")
    else:
        route.fulfill(path=WEB / name)


def choose(page, folder, width, height, name="photo.png"):
    write_picture(folder / "photo.png", np.full((height, width, 3), 200, np.uint8))
    page.set_input_files(
        "#file", {"name": name, "mimeType": "image/png", "buffer": (folder / "photo.png").read_bytes()}
    )


def wait_for(page, width, height):
    page.wait_for_function(f"document.body.dataset.done && {SHOWN} == '{width},{height}'", timeout=20_000)


@pytest.mark.parametrize(("given", "shown"), [((1, 17_000), (1, 16_384)), ((66_000, 1), (16_384, 1))])
def test_sides_beyond_those_of_a_canvas_are_reduced_and_it_is_told(given, shown, page, tmp_path):
    choose(page, tmp_path, *given)
    wait_for(page, *shown)
    told = "reduced from {} \N{MULTIPLICATION SIGN} {} to {} \N{MULTIPLICATION SIGN} {} pixels".format(*given, *shown)
    assert told in page.inner_text("#took")
    pixel = "document.getElementById('after').getContext('2d').getImageData(0, 0, 1, 1).data[0]"
    assert page.evaluate(pixel) == 200


def test_a_picture_that_the_browser_cannot_save_is_told(page, tmp_path):
    choose(page, tmp_path, 30, 20)
    wait_for(page, 30, 20)
    page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = (done) => done(null); }")
    page.click("#save")
    assert "choose a smaller size" in page.inner_text("#error")


def test_of_two_pictures_the_one_chosen_last_is_shown(page, tmp_path):
    """Also where the browser takes longer to read the first."""
    page.evaluate(
        """() => {
          const read = createImageBitmap;
          const wait = [1000, 0];
          window.createImageBitmap = async (blob) => {
            await new Promise((resume) => setTimeout(resume, wait.shift()));
            window.unread = wait.length;
            return read(blob);
          };
        }"""
    )
    choose(page, tmp_path, 30, 20)
    choose(page, tmp_path, 50, 40)
    wait_for(page, 50, 40)
    page.wait_for_timeout(1500)
    assert page.evaluate(SHOWN) == [50, 40]


def test_an_error_of_an_old_picture_leaves_the_newer_one(page, tmp_path):
    script = {"content_type": "text/javascript"}
    page.context.route("**/worker.js", lambda route: route.fulfill(path=WEB / "worker.js", **script))
    page.context.route("**/graph.js", lambda route: route.fulfill(body=FAILS_LATE, **script))
    page.reload()
    page.select_option("#size", "full")
    choose(page, tmp_path, 30, 20)
    page.wait_for_selector("#progress:visible")
    choose(page, tmp_path, 50, 40)
    wait_for(page, 50, 40)
    assert not page.is_visible("#error")


def test_the_page_ignores_an_error_of_another_picture(page, tmp_path):
    late = ECHO.replace(
        "  postMessage({ restored", "  postMessage({ error: 'late', id: 0 });\n  postMessage({ restored"
    )
    page.context.route("**/worker.js", lambda route: route.fulfill(body=late, content_type="text/javascript"))
    page.reload(wait_until="networkidle")
    page.select_option("#size", "full")
    choose(page, tmp_path, 30, 20)
    wait_for(page, 30, 20)
    assert not page.is_visible("#error")


@pytest.mark.parametrize(("width", "labelled"), [(30, False), (400, True)])
def test_labels_do_not_cross_on_narrow_pictures(width, labelled, page, tmp_path):
    choose(page, tmp_path, width, 400)
    wait_for(page, width, 400)
    assert page.locator(".label").count() == 2
    assert [label.is_visible() for label in page.locator(".label").all()] == [labelled, labelled]
    assert page.locator("#compare").bounding_box()["height"] > 300


def test_take_waits_for_the_first_frame_of_the_camera(page):
    page.evaluate(
        """() => {
          window.lens = document.createElement("canvas");
          navigator.mediaDevices.getUserMedia = async () => lens.captureStream();
        }"""
    )
    page.click("#camera")
    page.wait_for_selector("#viewfinder[open]")
    page.wait_for_timeout(300)
    assert page.is_disabled("#shutter")
    page.evaluate("() => { setInterval(() => lens.getContext('2d').fillRect(0, 0, 300, 150), 50); }")
    page.click("#shutter", timeout=20_000)
    wait_for(page, 300, 150)


def test_the_camera_is_off_after_cancel_also_where_it_was_pressed_twice(page):
    page.evaluate(
        """() => {
          window.streams = [];
          const asked = new Promise((resume) => { window.allow = resume; });
          navigator.mediaDevices.getUserMedia = async () => {
            await asked;
            streams.push(document.createElement("canvas").captureStream());
            return streams.at(-1);
          };
        }"""
    )
    page.evaluate("() => { for (let i = 0; i < 2; i++) document.getElementById('camera').click(); allow(); }")
    page.wait_for_selector("#viewfinder[open]")
    page.click("#cancel")
    page.wait_for_selector("#viewfinder", state="hidden")
    assert page.evaluate("streams.length") == 1
    page.wait_for_function("streams[0].getTracks().every((track) => track.readyState === 'ended')")
    assert page.is_enabled("#camera")


@pytest.mark.parametrize(("name", "saved"), [("a.b.png", "a.b"), (".hidden", "hidden"), ("none", "none")])
def test_what_is_saved_has_the_name_of_the_picture(name, saved, page, tmp_path):
    choose(page, tmp_path, 30, 20, name)
    wait_for(page, 30, 20)
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename.lstrip("._") == f"{saved}-restored.png"  # browsers drop a leading dot
