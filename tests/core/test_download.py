"""Downloads from a server on this machine: fetched once, cached by content, never trusted when cut short or changed."""

from __future__ import annotations

import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from elir_edge.core.download import download
from elir_edge.core.lock import Beside
from elir_edge.core.progress import Silent
from elir_edge.errors import DataError, UnavailableError, UsageError
from elir_edge.families import weights
from tests.helpers import refusal, snapshot

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves ``files``, and remembers what was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {"/model.pth": CONTENT}
        self.missing = 0
        self.asked: list[str] = []


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            if self.path.startswith("/chunked"):
                self._start("Transfer-Encoding", "chunked")
                self.wfile.write(b"40\r\nonly a part of it")
            elif self.path.startswith("/garbage"):
                self.wfile.write(b"this is not HTTP\r\n\r\n")
            elif self.path in server.files:
                content = server.files[self.path]
                self._start("Content-Length", str(len(content) + server.missing))
                self.wfile.write(content)
            else:
                self.send_error(404)

        def _start(self, header: str, value: str) -> None:
            self.protocol_version = "HTTP/1.1"
            self.send_response(200)
            self.send_header(header, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def serving():
    server = Server("")
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server))
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def server():
    with serving() as running:
        yield running


class Recorder(Silent):
    def __init__(self) -> None:
        self.stages: list[tuple[str, float | None]] = []
        self.done = 0.0

    @contextmanager
    def stage(self, text, total=None):
        self.stages.append((text, total))
        yield self._advance

    def _advance(self, amount):
        self.done += amount


def no_leftovers(cache) -> None:
    assert [name for name in snapshot(cache) if name.endswith(".part")] == []


def test_fetched_once_with_progress(server, private_cache):
    told = Recorder()
    path = download(f"{server.url}/model.pth", told)
    assert path.read_bytes() == CONTENT
    assert told.stages == [("downloading model.pth", len(CONTENT))]
    assert told.done == len(CONTENT)
    assert path.name == SHA256 and path.is_relative_to(private_cache)
    assert download(f"{server.url}/model.pth", told) == path
    assert server.asked == ["/model.pth"]
    no_leftovers(private_cache)


def test_two_runs_at_once_fetch_once(server):
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: download(f"{server.url}/model.pth", Silent()), range(4)))
    assert len(paths) == 1 and server.asked == ["/model.pth"]


def test_what_a_killed_run_left_is_replaced(server, private_cache):
    blobs = private_cache / "blobs"
    blobs.mkdir()
    address = f"{server.url}/model.pth"
    left = Beside(blobs / hashlib.sha256(address.encode()).hexdigest())
    left.part.write_bytes(b"longer" * len(CONTENT))
    left.lock.write_bytes(b"")
    assert download(address, Silent()).read_bytes() == CONTENT
    assert list(snapshot(blobs)) == [SHA256]


def test_the_same_content_from_two_addresses_is_one_file(server):
    server.files["/copy.pth"] = CONTENT
    assert download(f"{server.url}/model.pth", Silent()) == download(f"{server.url}/copy.pth", Silent())


@pytest.mark.parametrize("pin", [SHA256, SHA256.upper()])
def test_pinned(pin, server):
    path = download(f"{server.url}/model.pth#sha256={pin}", Silent())
    assert path.read_bytes() == CONTENT
    assert download(f"{server.url}/elsewhere.pth#sha256={pin}", Silent()) == path, (
        "content that is known is not fetched"
    )
    assert server.asked == ["/model.pth"]


def test_pinned_to_something_else(server, private_cache):
    wrong = "0" * 64
    refusal(
        DataError, lambda: download(f"{server.url}/model.pth#sha256={wrong}", Silent()), "/model.pth", SHA256, wrong
    )
    assert snapshot(private_cache / "blobs") == {}


@pytest.mark.parametrize("fragment", ["sha256=12", "sha265=" + SHA256, "sha256=../../etc/passwd", "other"])
def test_a_pin_that_is_none(fragment, server):
    refusal(UsageError, lambda: download(f"{server.url}/model.pth#{fragment}", Silent()), fragment, "#sha256=")
    assert server.asked == []


def test_a_known_address_is_still_held_to_its_pin(server):
    download(f"{server.url}/model.pth", Silent())
    refusal(DataError, lambda: download(f"{server.url}/model.pth#sha256={'1' * 64}", Silent()), SHA256)


def test_cut_short(server, private_cache):
    server.missing = 1000
    error = refusal(DataError, lambda: download(f"{server.url}/model.pth", Silent()), "/model.pth", "cut short")
    assert f"{len(CONTENT)} of {len(CONTENT) + 1000}" in str(error)
    assert snapshot(private_cache / "blobs") == {}
    server.missing = 0
    assert download(f"{server.url}/model.pth", Silent()).read_bytes() == CONTENT


UNAVAILABLE = {
    "no such file": ("/missing.pth", "404"),
    "an answer that ends in the middle of a chunk": ("/chunked.pth", "cannot be fetched"),
    "an answer that is not HTTP": ("/garbage.pth", "cannot be fetched"),
}


@pytest.mark.parametrize("case", UNAVAILABLE)
def test_unavailable(case, server, private_cache):
    path, reason = UNAVAILABLE[case]
    error = refusal(UnavailableError, lambda: download(server.url + path, Silent()), path, reason, "check the network")
    assert error.exit_code == 69
    no_leftovers(private_cache)


def test_server_gone(private_cache):
    with serving() as gone:
        known = download(f"{gone.url}/model.pth", Silent())
    refusal(UnavailableError, lambda: download(f"{gone.url}/other.pth", Silent()), "/other.pth", "cannot be fetched")
    assert download(f"{gone.url}/model.pth", Silent()) == known, "what is cached needs no server"
    no_leftovers(private_cache)


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:port/a", "http:///a", "http://a b/c"])
def test_an_address_that_is_none(url):
    refusal(UnavailableError, lambda: download(url, Silent()), "cannot be fetched")


def test_a_password_is_not_repeated():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://me:secret@127.0.0.1:{taken.getsockname()[1]}/model.pth?token=hidden"
        error = refusal(UnavailableError, lambda: download(url, Silent()), "model.pth")
    assert "secret" not in str(error) and "hidden" not in str(error)


@pytest.mark.parametrize("damage", [b"", b"something else", CONTENT[:-1]])
def test_a_changed_blob_is_fetched_again(damage, server):
    path = download(f"{server.url}/model.pth", Silent())
    path.write_bytes(damage)
    assert download(f"{server.url}/model.pth", Silent()).read_bytes() == CONTENT
    assert server.asked == ["/model.pth"] * 2


@pytest.mark.parametrize("index", [b"", b"[]", b'{"sha256": "../../../etc/passwd"}', b'{"sha256": 3}', b"\xff"])
def test_a_changed_index_is_not_trusted(index, server, private_cache):
    download(f"{server.url}/model.pth", Silent())
    (entry,) = (private_cache / "urls").iterdir()
    entry.write_bytes(index)
    assert download(f"{server.url}/model.pth", Silent()).read_bytes() == CONTENT


@pytest.fixture
def checkpoint(tiny_restorer, tmp_path) -> bytes:
    torch.save(tiny_restorer.state_dict(), tmp_path / "served.pth")
    return (tmp_path / "served.pth").read_bytes()


def test_weights_from_an_address(server, checkpoint, tiny_spec, tiny_restorer):
    server.files["/tiny.pth"] = checkpoint
    loaded = weights.load_restorer(tiny_spec, f"{server.url}/tiny.pth#sha256={hashlib.sha256(checkpoint).hexdigest()}")
    assert weights.tensors_sha256(loaded.state_dict()) == weights.tensors_sha256(tiny_restorer.state_dict())
    assert (loaded.source.name, loaded.source.kind, loaded.trained) == ("tiny.pth", "url", True)


def test_published_weights_are_those_of_the_release(monkeypatch, checkpoint, tiny_spec, tmp_path):
    asked = []
    monkeypatch.setattr(weights, "download", lambda url, progress: (asked.append(url), tmp_path / "served.pth")[1])
    loaded = weights.load_restorer(tiny_spec, "elir:bfr")
    assert asked == ["https://github.com/eladc-git/ELIR/releases/download/v1.0/elir_bfr.pth"]
    assert (loaded.source.name, loaded.source.kind) == ("elir:bfr", "published")
    refusal(UsageError, lambda: weights.load_restorer(tiny_spec, "elir:bfrr"), "elir:bfrr", "did you mean 'bfr'?")
