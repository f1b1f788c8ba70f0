"""Whether two checkouts export the same bytes: sha256 of every file of every export, side by side.

python -m benchmarks.equal_exports OLD NEW        checkouts of this repository, or .json files of earlier runs
python -m benchmarks.equal_exports OLD -o old.json

Each export runs in a process of its own, with the checkout first on the path and an empty cache, in this environment.
Exit status 1 where a file differs, or is written by one checkout only.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from elir_edge.pipeline.target import INTEGER_PRECISIONS

CASES = {"nano": [], "sr": ["--weights", "random:0"]}
MIXED = "mixed"  # needs trained weights
Hashes = dict[str, str]


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--preset", "presets", multiple=True, default=tuple(CASES), show_default=True)
@click.option("--target", "only", multiple=True, help="Some of the targets.  [default: all]")
@click.option("--size", default=64, show_default=True)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Keep the first checkout's hashes as JSON.")
def main(sources: tuple[Path, ...], presets: tuple[str, ...], only: tuple[str, ...], size: int, out: Path) -> None:
    """Export every preset in every format and precision from each checkout, and compare the files."""
    found = [json.loads(s.read_text()) if s.suffix == ".json" else _hashes(s, presets, only, size) for s in sources]
    if out is not None:
        out.write_text(json.dumps(found[0], indent=1) + "\n")
    names = sorted({name for hashes in found for name in hashes})
    differing = 0
    for name in names:
        values = [hashes.get(name, "absent") for hashes in found]
        same = len(set(values)) == 1
        differing += not same
        click.echo(f"{'equal  ' if same else 'DIFFERS'}  {name}  {'  '.join(value[:16] for value in values)}")
    click.echo(f"{len(names)} files, {differing} differ")
    sys.exit(1 if differing else 0)


def _hashes(checkout: Path, presets: tuple[str, ...], only: tuple[str, ...], size: int) -> Hashes:
    hashes: Hashes = {}
    for target in json.loads(_run(checkout, "targets", "--json")):
        if only and target["target"] not in only:
            continue
        for precision in target["precisions"]:
            for preset in presets:
                if precision == MIXED and "random:0" in CASES[preset]:
                    continue
                hashes |= _export(checkout, preset, target["target"], precision, size)
    return hashes


def _export(checkout: Path, preset: str, target: str, precision: str, size: int) -> Hashes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "artifact"
        out.mkdir()
        options = ["-p", preset, *CASES[preset], "-t", target, "--precision", precision, "--size", str(size)]
        if precision in INTEGER_PRECISIONS:
            options.append("--allow-degraded")
        click.echo(f"{checkout.name}: {' '.join(options)}", err=True)
        _run(checkout, "export", *options, "-o", str(out), cache=Path(folder) / "cache")
        return {
            f"{preset}/{target}/{precision}/{path.relative_to(out)}": _sha256(path)
            for path in _files(out)
            if not path.name.endswith(".pareto.png")  # draws latencies, which differ between runs
        }


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _sha256(path: Path) -> str:
    if path.name.endswith(".json") and f"{MIXED}" in path.name:  # its table holds latencies
        manifest = json.loads(path.read_text())
        for row in ((manifest.get("quantization") or {}).get(MIXED) or {}).get("table", []):
            row.pop("latency_ms", None)
        return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(checkout: Path, *arguments: str, cache: Path | None = None) -> str:
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
    if cache is not None:
        environment["ELIR_EDGE_CACHE"] = str(cache)
    command = [sys.executable, "-m", "elir_edge", *arguments]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{checkout}: {' '.join(arguments)} ended with {done.returncode}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
