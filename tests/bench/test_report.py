"""The report: one page that stands alone, opened in a real browser."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from elir_edge.bench.report import html_report
from tests.bench.browser import open_browser
from tests.bench.samples import gallery, results, usual

LOADS = re.compile(r"""(?:src|href)\s*=\s*["'](?!data:)|url\(\s*["']?(?!data:)|@import|fetch\(|XMLHttpRequest""")


@pytest.fixture(scope="module")
def page():
    found = usual()
    return html_report(found, [gallery(found)])


def test_the_page_needs_nothing_from_outside(page):
    assert not LOADS.search(page)
    assert "<!--" not in page.replace("<!doctype", "")
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


@pytest.mark.slow
def test_in_a_browser_the_slider_moves_and_both_themes_show(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page)
    with open_browser() as browser:
        browser.open(file.as_uri())
        assert browser.run("return document.documentElement.dataset.ready") == "yes"
        assert browser.run("return document.querySelectorAll('tbody tr').length") == 6
        assert browser.run("return document.querySelectorAll('figure svg').length") == 4
        _check_slider(browser)
        _check_sorting(browser)
        light = _brightness(browser, dark=False)
        assert light > 180 > 90 > _brightness(browser, dark=True)
        assert browser.run("return document.body.scrollWidth <= window.innerWidth")
        assert browser.errors() == []


def _check_slider(browser):
    """Three different pictures, real pixels, and handles that the keyboard moves but not past each other."""
    images = browser.run(
        "return [...document.querySelectorAll('.layer img')].map(i => [i.src.length, i.complete && i.naturalWidth])"
    )
    assert len(images) == 3
    assert all(length > 1000 and width == 48 for length, width in images)
    press = """
        const handle = document.querySelectorAll('.handle')[arguments[0]];
        for (let i = 0; i < arguments[2]; i++)
            handle.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[1]}));
        return [...document.querySelectorAll('.handle')].map(h => Number(h.getAttribute('aria-valuenow')));
    """
    left, right = browser.run(press, 0, "ArrowRight", 5)
    assert (left, right) == (43, 67)
    assert browser.run(press, 0, "ArrowRight", 50) == [67, 67]
    clip = browser.run("return document.querySelectorAll('.layer')[0].style.clipPath")
    assert clip.startswith("inset(0") and "33.3%" in clip


def _check_sorting(browser):
    names = browser.run("""
        const head = [...document.querySelectorAll('th')].find(h => h.textContent === 'FPS');
        head.click();
        return [...document.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent);
    """)
    assert names[0].startswith("c-wrong")


def _brightness(browser, dark):
    browser.dark(dark)
    with Image.open(io.BytesIO(browser.screenshot())) as image:
        return float(np.median(np.asarray(image.convert("L"))))
