"""Builds the wheel: setuptools does, then the bill of materials is added and what differs between builds is removed.

The bill is CycloneDX JSON in ``.dist-info/sboms`` (PEP 770). Equal sources give equal bytes: entries are sorted, and
have one date and one mode.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setuptools.build_meta import *  # noqa: F403  # the other hooks of a build
from setuptools.build_meta import build_wheel as build_plain_wheel

ROOT = Path(__file__).resolve().parents[1]
EPOCH = (1980, 1, 1, 0, 0, 0)
FILE_MODE = 0o100644 << 16
WEIGHTS = re.compile(r"elir_edge/families/[^/]+/weights/[^/]+\.safetensors")
BILL = "sboms/elir-edge.cdx.json"
OWN_EXTRAS = "elir-edge"


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """The hook of PEP 517: writes the wheel into a folder and returns its name."""
    name = build_plain_wheel(wheel_directory, config_settings, metadata_directory)
    settle(Path(wheel_directory) / name)
    return name


def settle(path: Path) -> None:
    """Write the wheel at ``path`` again, with its bill of materials, so that equal content is equal bytes."""
    with zipfile.ZipFile(path) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    folder = record.removesuffix("RECORD")
    files[folder + BILL] = (json.dumps(bill_of_materials(files), sort_keys=True, indent=1) + "\n").encode()
    del files[record]
    rows = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in sorted(files.items())]
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in sorted(files.items(), key=lambda item: (".dist-info/" in item[0], item[0])):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr, entry.compress_type = FILE_MODE, zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)


def bill_of_materials(files: Mapping[str, bytes]) -> dict[str, Any]:
    """CycloneDX 1.6: the package, what it requires at the versions it was tested with, and data of others inside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = _names(project["dependencies"])
    optional = _names(line for lines in project["optional-dependencies"].values() for line in lines) - required
    packages = [_package(name, "required") for name in sorted(required)]
    packages += [_package(name, "optional") for name in sorted(optional - {OWN_EXTRAS})]
    own = {
        "type": "application", "bom-ref": project["name"], "name": project["name"], "version": project["version"],
        "description": project["description"], "licenses": [{"license": {"id": project["license"]}}],
        "purl": f"pkg:pypi/{project['name']}@{project['version']}",
    }  # fmt: skip
    depends = [item["bom-ref"] for item in packages if item["scope"] == "required"]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own, "lifecycles": [{"phase": "build"}]},
        "components": [*packages, *_data_inside(files)],
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": depends}],
    }


def _names(requirements: Any) -> set[str]:
    """Normalised names of packages, without versions and extras."""
    found = (re.match(r"[\w.-]+", line) for line in requirements)
    return {_normal(match[0]) for match in found if match}


def _package(name: str, scope: str) -> dict[str, Any]:
    version = _tested_versions().get(name)
    purl = f"pkg:pypi/{name}" + (f"@{version}" if version else "")
    return {"type": "library", "bom-ref": purl, "name": name, "purl": purl, "scope": scope} | (
        {"version": version} if version else {}
    )


def _tested_versions() -> dict[str, str]:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.partition("==") for line in lines if "==" in line)
    return {_normal(name): version.strip() for name, _, version in pins}


def _data_inside(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Weights and photographs, by their sha256; NOTICE says whose they are."""
    photographs = sorted(name for name in files if name.startswith("elir_edge/imaging/data/") and name.endswith("jpg"))
    weights = sorted(filter(WEIGHTS.fullmatch, files))
    kinds = dict.fromkeys(weights, "machine-learning-model") | dict.fromkeys(photographs, "data")
    return [
        {
            "type": kind, "bom-ref": name, "name": name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(files[name]).hexdigest()}],
        }
        for name, kind in kinds.items()
    ]  # fmt: skip


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
