"""A page on this machine for trying artifacts by hand: drop a picture, see it before and after."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import load_artifact, require_runnable
from elir_edge.artifacts.split import runtime_suffix
from elir_edge.errors import ElirEdgeError, OutputError, UnavailableError, UsageError, missing_package
from elir_edge.imaging.pictures import read_picture, write_picture
from elir_edge.runtime.backend import backends
from elir_edge.runtime.base import Session
from elir_edge.runtime.restore import restore_picture
from elir_edge.runtime.session import open_session

HOST = "127.0.0.1"
KEPT_SECONDS = 3600  # how long pictures stay in the page's temporary folder
PATIENCE = 60  # seconds until the page has to answer
# The browser itself refuses whatever would leave this machine.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:"
)


class Trial:
    """Restores single pictures, and keeps the session that it used last."""

    def __init__(self, artifacts: Sequence[str | Path]) -> None:
        """Raises UsageError without artifacts, UnavailableError where no runtime for one is installed, and what
        ``load_artifact`` raises for one that cannot be run.
        """
        if not artifacts:
            raise UsageError("no artifacts were given", hint="name at least one; elir-edge export writes them")
        self.paths = {str(path): Path(path) for path in artifacts}
        for path in self.paths.values():
            require_runnable(load_artifact(path))
            if not self.backends_of(str(path)):
                raise UnavailableError(
                    f"{path}: no runtime that opens it is installed", hint="pip install 'elir-edge[all]'"
                )
        self._opened: tuple[tuple[str, str], Session] | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="elir-edge-demo-")

    def backends_of(self, artifact: str) -> list[str]:
        """Names of the installed backends that open ``artifact``."""
        suffix = runtime_suffix(self.paths[artifact])
        return [name for name, known in backends().items() if suffix in known.suffixes and known.is_installed()]

    def restore(self, picture: str | Path, artifact: str, backend: str) -> tuple[Path, Path, float]:
        """Files with ``picture`` before and after, and the milliseconds that restoring took.

        Results that are older than ``KEPT_SECONDS`` are deleted.
        """
        before, session = read_picture(Path(picture)), self._session(artifact, backend)
        began = time.perf_counter()
        after = restore_picture(session, before)
        took = (time.perf_counter() - began) * 1000
        self._drop_old()
        place = Path(tempfile.mkdtemp(dir=self.folder.name))
        files = place / "before.png", place / "restored.png"
        for file, pixels in zip(files, (before, after), strict=True):
            write_picture(file, pixels)
        return *files, took

    def close(self) -> None:
        """Close the session, and delete the pictures."""
        if self._opened is not None:
            self._opened[1].close()
        self._opened = None
        self.folder.cleanup()

    def _drop_old(self) -> None:
        for place in Path(self.folder.name).iterdir():
            if place.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(place, ignore_errors=True)

    def _session(self, artifact: str, backend: str) -> Session:
        wanted = (artifact, backend)
        if self._opened is None or self._opened[0] != wanted:
            if self._opened is not None:
                self._opened[1].close()
                self._opened = None
            self._opened = (wanted, open_session(self.paths[artifact], backend))
        return self._opened[1]


def demo_page(trial: Trial) -> Any:
    """The page, as Gradio's Blocks. Raises UnavailableError without the extra ``demo``."""
    gradio = _load_gradio()
    first, *_ = names = list(trial.paths)

    def restore(picture: str | None, artifact: str, backend: str) -> tuple[Any, str, str]:
        if picture is None:
            raise gradio.Error("drop a picture first")
        try:
            before, after, took = trial.restore(picture, artifact, backend)
        except ElirEdgeError as error:
            raise gradio.Error(f"{error}" + (f" - {error.hint}" if error.hint else "")) from error
        return (before, after), f"{took:.1f}", str(after)

    def change(artifact: str) -> Any:
        usable = trial.backends_of(artifact)
        return gradio.Dropdown(usable, value=usable[0])

    with gradio.Blocks(title="elir-edge", analytics_enabled=False, delete_cache=(KEPT_SECONDS,) * 2) as page:
        with gradio.Row():
            with gradio.Column():
                # With a mode, Gradio converts what has another one: alpha and 16 bits would be lost.
                picture = gradio.Image(
                    type="filepath", image_mode=None, sources=["upload", "clipboard"], label="Picture"
                )
                artifact = gradio.Dropdown(names, value=first, label="Artifact")
                backend = gradio.Dropdown(trial.backends_of(first), value=trial.backends_of(first)[0], label="Backend")
                button = gradio.Button("Restore", variant="primary")
            with gradio.Column():
                slider = gradio.ImageSlider(type="filepath", format="png", label="Before and after")
                took = gradio.Textbox(label="Milliseconds", interactive=False)
                download = gradio.DownloadButton("Download")
        artifact.change(change, artifact, backend)
        button.click(restore, [picture, artifact, backend], [slider, took, download], concurrency_limit=1)
    return page


@contextmanager
def open_demo(artifacts: Sequence[str | Path], port: int = 0) -> Iterator[str]:
    """Serve the page to this machine only, on ``port`` (0: any free one); gives its address.

    Raises what ``Trial`` and ``demo_page`` do, and OutputError where the port is taken.
    """
    gradio, trial = _load_gradio(), Trial(artifacts)
    try:
        listening = _listen(port)
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        server = _server(gradio, demo_page(trial), trial.folder.name)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise UnavailableError("the page did not start", hint="run it again with --debug")
            time.sleep(0.05)
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
    finally:
        trial.close()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise OutputError(f"port {port} cannot be used: {error}", hint="choose another one with --port") from error


def _server(gradio: Any, page: Any, folder: str) -> Any:
    """Uvicorn with the page, for requests to this machine's own names, and with a policy against all others."""
    import uvicorn
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    @app.middleware("http")
    async def add_policy(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    plain = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    gradio.mount_gradio_app(app, page, "/", allowed_paths=[folder], ssr_mode=False, theme=plain)
    return uvicorn.Server(uvicorn.Config(app, log_level="warning"))


def _load_gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise missing_package("gradio", "demo") from error
    return gradio
