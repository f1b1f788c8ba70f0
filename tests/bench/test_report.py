"""The report: a self-contained page, opened in a real browser."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from elir_edge.bench.report import html_report
from tests.bench.samples import gallery, results, usual

LOADS = re.compile(r"""(?:src|href)\s*=\s*["'](?!data:)|url\(\s*["']?(?!data:)|@import|fetch\(|XMLHttpRequest""")


@pytest.fixture(scope="module")
def page():
    found = usual()
    return html_report(found, [gallery(found)])


def test_the_page_needs_nothing_from_outside(page):
    assert not LOADS.search(page)
    assert "<!--" not in page.replace("<!doctype", "")
    assert "@{" not in page
    assert "/*" not in page.split("</style>")[0]


def test_the_page_says_what_the_table_says_and_escapes_names(page):
    for text in ("a-fp32.onnx in onnxruntime", "WRONG", "ops: 800 on GPU, 1 on CPU", "quiet machine", "a processor"):
        assert text in page
    assert "a model of a &lt;test&gt;" in page
    assert "<test>" not in page


def test_without_pictures_there_is_no_slider():
    page = html_report(results())
    assert 'id="pictures">[]<' in page
    assert "class='compare'" not in page


@pytest.fixture
def window(browser, page, tmp_path):
    """The page in a browser window; the test fails if the page logs errors."""
    file = tmp_path / "report.html"
    file.write_text(page)
    opened = browser.new_page(viewport={"width": 1366, "height": 1000})
    opened.wrong = []
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("console", lambda message: opened.wrong.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: opened.wrong.append(request.url) if is_outside(request.url) else None)
    opened.goto(file.as_uri())
    yield opened
    assert opened.wrong == []
    opened.close()


def is_outside(url):
    return not url.startswith(("file:", "data:"))


@pytest.mark.slow
def test_the_page_opens_whole_in_a_browser(window):
    assert window.locator("tbody tr").count() == 6
    assert window.locator("figure svg").count() == 4
    assert window.evaluate("document.body.scrollWidth <= window.innerWidth")
    window.set_viewport_size({"width": 390, "height": 844})
    assert window.evaluate("document.body.scrollWidth <= window.innerWidth")


@pytest.mark.slow
def test_the_slider_shows_three_pictures_and_its_handles_keep_their_order(window):
    widths = window.locator(".layer img").evaluate_all("images => images.map(i => i.complete && i.naturalWidth)")
    assert widths == [48, 48, 48]
    sources = window.locator(".layer img").evaluate_all("images => images.map(i => i.src)")
    assert len(set(sources)) == 3
    left, right = window.get_by_role("slider").all()
    for _ in range(5):
        left.press("ArrowRight")
    assert left.get_attribute("aria-valuenow") == "43"
    left.press("End")
    assert left.get_attribute("aria-valuenow") == right.get_attribute("aria-valuenow") == "67"
    stage = window.locator(".stage").bounding_box()
    right.drag_to(window.locator(".stage"), target_position={"x": 0.9 * stage["width"], "y": 20}, force=True)
    assert 88 <= int(right.get_attribute("aria-valuenow")) <= 92
    assert window.locator(".layer").first.evaluate("layer => layer.style.clipPath").startswith("inset(0")


@pytest.mark.slow
def test_pictures_are_chosen_compared_and_subtracted(window):
    right = window.locator(".layer img").nth(2)
    before = right.get_attribute("src")
    window.locator(".thumbs button").nth(1).click()
    other = right.get_attribute("src")
    assert other != before
    window.locator(".controls select").nth(2).select_option("original")
    assert right.get_attribute("src") not in (before, other)
    window.get_by_role("checkbox").check()
    window.wait_for_function("document.querySelectorAll('.tag')[2].textContent.startsWith('difference')")


@pytest.mark.slow
def test_the_table_sorts_and_both_themes_show(window):
    window.get_by_role("columnheader", name="FPS").first.click()
    assert window.locator("tbody tr td").first.text_content().startswith("c-wrong")
    window.emulate_media(color_scheme="light")
    light = _brightness(window)
    window.emulate_media(color_scheme="dark")
    assert light > 180 > 90 > _brightness(window)


def _brightness(window):
    with Image.open(io.BytesIO(window.screenshot())) as image:
        return float(np.median(np.asarray(image.convert("L"))))
