"""A headless browser, driven by the few WebDriver commands that a test needs."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

DRIVER = "chromedriver"
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1366,1000"]
START_SECONDS = 30


class Browser:
    """One window. ``run`` executes JavaScript in the page and gives what it returns."""

    def __init__(self, address: str) -> None:
        options = {"args": ARGUMENTS}
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = _post(f"{address}/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"{address}/session/{answer['sessionId']}"

    def open(self, url: str) -> None:
        """Load a page, and wait for it."""
        _post(f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that the body of a function, ``script``, returns."""
        return _post(f"{self._session}/execute/sync", {"script": script, "args": arguments})

    def errors(self) -> list[str]:
        """What the page logged as errors."""
        entries = _post(f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def dark(self, dark: bool) -> None:
        """Pretend that the reader prefers a dark page."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        parameters = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": [feature]}}
        _post(f"{self._session}/goog/cdp/execute", parameters)

    def screenshot(self) -> bytes:
        """What is seen, as PNG."""
        with urllib.request.urlopen(f"{self._session}/screenshot") as answer:
            return base64.b64decode(json.load(answer)["value"])


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser for the length of the block; skips the test where none is installed."""
    if shutil.which(DRIVER) is None:
        pytest.skip(f"no {DRIVER} on the path: apt-get install chromium chromium-driver")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address)
        browser = Browser(address)
        yield browser
        urllib.request.urlopen(urllib.request.Request(browser._session, method="DELETE")).close()
    finally:
        driver.terminate()
        driver.wait()


def _wait(address: str) -> None:
    for _ in range(START_SECONDS * 10):
        try:
            urllib.request.urlopen(f"{address}/status").close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"{DRIVER} did not start")


def _post(url: str, data: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["value"]
