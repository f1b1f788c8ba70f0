"""A web page: a static folder with the ONNX graph and onnxruntime-web, which runs it in a browser."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elir_edge.core.cache import cache_folder
from elir_edge.errors import UnavailableError
from elir_edge.formats.names import WEB_MODEL
from elir_edge.pipeline.target import Conversion, Target, finer_form_left, get_target
from elir_edge.quantize.levels import LEVELS_WITHOUT_VNNI

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer

PACKAGE = "onnxruntime-web"
PACKAGE_FILE = "package.json"
PLACE = "ELIR_EDGE_ONNXRUNTIME_WEB"
TESTED = "1.30.0"
MANIFEST, LICENCE = "manifest.json", "LICENSE.txt"
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def convert(graph: StaticRestorer, conversion: Conversion) -> dict[str, Any]:
    """Write the folder ``stem.web``: the page, the runtime, and the graph from the onnx target."""
    package = find_runtime()
    folder = conversion.folder / f"{conversion.stem}.web"
    if folder.exists():  # the plain form, in whose place the finer one is written
        shutil.rmtree(folder)
    folder.mkdir()
    facts = get_target("onnx").convert(graph, dataclasses.replace(conversion, folder=folder, stem=Path(WEB_MODEL).stem))
    for file in files("elir_edge").joinpath("web").iterdir():
        if file.name != LICENCE:
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "ort").mkdir()
    for name in RUNTIME:
        shutil.copyfile(package / "dist" / name, folder / "ort" / name)
    (folder / "ort" / LICENCE).write_text(files("elir_edge").joinpath("web", LICENCE).read_text())
    return {**facts, PACKAGE: _version(package)}


def embed(path: Path, text: str) -> None:
    """Write the manifest into the graph, and beside it for the page."""
    get_target("onnx").embed(path / WEB_MODEL, text)
    (path / MANIFEST).write_text(text)


def find_runtime() -> Path:
    """Folder of the npm package: ``ELIR_EDGE_ONNXRUNTIME_WEB`` if set, else in the cache, this folder or its parents.

    Raises UnavailableError, with the npm command, where it is not found.
    """
    cache = cache_folder("npm")
    given = os.environ.get(PLACE)
    above = [parent / "node_modules" / PACKAGE for parent in (Path.cwd(), *Path.cwd().parents)]
    places = [Path(given)] if given else [cache / "node_modules" / PACKAGE, *above]
    for place in places:
        if all((place / name).is_file() for name in (PACKAGE_FILE, *(f"dist/{name}" for name in RUNTIME))):
            return place
    said = f"{given} ({PLACE}) is not" if given else "this needs"
    npm = "" if shutil.which("npm") else "install Node.js, which brings npm, then "
    raise UnavailableError(
        f"{said} the npm package '{PACKAGE}' with its {PACKAGE_FILE} and dist folder",
        hint=f"{npm}npm install --prefix '{cache}' {PACKAGE}@{TESTED}, or set {PLACE} to where it is",
    )


def _version(package: Path) -> str:
    return str(json.loads((package / PACKAGE_FILE).read_text())["version"])


TARGET = Target(
    name="web",
    description="a web page that runs the ONNX graph, .web folder",
    suffixes=(".web",),
    precisions=("fp32", "fp16", "int8"),
    layouts={"float": "NCHW", "uint8": "NHWC"},
    latent_layout="NCHW",
    norm="native",
    backends=("onnxruntime",),
    packages=("torch", "onnx", "onnxscript", "onnxsim"),
    extra="web",
    convert=convert,
    embed=embed,
    try_it="python3 -m http.server -d {path}, then http://localhost:8000",
    quantizers=("onnxruntime",),
    kernel_levels=LEVELS_WITHOUT_VNNI,
    has_finer=finer_form_left,
)
