"""elir-edge package."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path

import click

from elir_edge.cli.shared import PATH, Shown, echo_json, json_option, open_artifact

RUNTIME = "libLiteRt.so"


@click.command("package")
@click.argument("artifact", type=PATH)
@click.option("--lang", "-l", required=True, help="Language of the program to drop it into: c, cpp or kotlin.")
@click.option("--out", "-o", required=True, type=PATH, help="Folder to write.")
@click.option("--embed", is_flag=True, help="Link the model into the program (c, cpp) instead of loading a file.")
@click.option("--name", help="What the model is called in files and sources; two forms of one model need two names.")
@click.option("--force", is_flag=True, help="Replace a package that is there.")
@json_option
def command(artifact: Path, lang: str, out: Path, embed: bool, name: str | None, force: bool, as_json: bool) -> None:
    """Write a folder that runs a TFLite ARTIFACT in a C, C++ or Android program, and tests itself."""
    from elir_edge.core.publish import check_place
    from elir_edge.packaging.package import RECORD, get_language, package

    get_language(lang, embed)
    check_place(out)
    shown = Shown()
    folder = package(open_artifact(artifact, shown), lang, out, embed, force, shown, name)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if as_json:
        echo_json({"path": str(folder), "lang": lang, "embed": embed, "files": files, "record": RECORD})
        return
    click.echo(f"{folder}  {len(files)} files")
    click.echo(f"  read {folder / 'README.md'}, then: {_next_step(folder, lang)}")


def _next_step(folder: Path, lang: str) -> str:
    if lang == "kotlin":
        return "include the folder as a module of an Android project"
    source, build, library = (shlex.quote(str(path)) for path in (folder, folder / "build", _runtime()))
    return f"cmake -S {source} -B {build} -DLITERT_LIBRARY={library} && cmake --build {build}"


def _runtime() -> Path:
    """The LiteRT library that is installed here, for this machine's programs; else its name."""
    package = importlib.util.find_spec("ai_edge_litert")
    found = Path(package.origin).with_name(RUNTIME) if package and package.origin else Path(RUNTIME)
    return found if found.is_file() else Path(RUNTIME)
