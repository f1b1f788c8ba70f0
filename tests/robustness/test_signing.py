"""Signed artifacts: what is not as it was signed, or by somebody else, is refused before anything of it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from elir_edge.artifacts.artifact import load_artifact, sidecar
from elir_edge.artifacts.golden import golden_path
from elir_edge.artifacts.signing import read_private_key, sign_artifact, signature_path
from elir_edge.core.files import sha256_of
from tests.robustness.faults import Fault, assert_refused

pytest.importorskip("cryptography", reason="the extra 'signing' is not installed")
VERIFY = ("verify", "good.onnx", "--key", "pub.pem")


def write_keys(folder: Path, name: str = "", curve: str = "SECP256R1") -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(getattr(ec, curve)())
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    (folder / f"{name}key.pem").write_bytes(private)
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}pub.pem").write_bytes(public)


@pytest.fixture
def place_signed(place) -> Path:
    """The folder, in which good.onnx is signed."""
    write_keys(place)
    write_keys(place, "other-")
    write_keys(place, "koblitz-", "SECP256K1")
    path = place / "good.onnx"
    key = read_private_key(place / "key.pem")
    signature_path(path).write_bytes(sign_artifact(load_artifact(path), key))
    return place


def change_with_its_manifest(folder: Path) -> None:
    """A changed graph, and a manifest whose hash agrees: only a signature can tell."""
    path = folder / "good.onnx"
    path.write_bytes(path.read_bytes() + b"\x00")
    beside = sidecar(path)
    data = json.loads(beside.read_text())
    data["files"][path.name] = sha256_of(path)
    beside.write_text(json.dumps(data))


def remove(name: str, folder: Path) -> None:
    (folder / name).unlink()


def write(name: str, data: bytes, folder: Path) -> None:
    (folder / name).write_bytes(data)


def sign_something_else(folder: Path) -> None:
    """A payload in the place of the signed one: the signature has to be of these bytes."""
    path = signature_path(folder / "good.onnx")
    data = json.loads(path.read_text())
    data["dsseEnvelope"]["payload"] = "e30="
    path.write_text(json.dumps(data))


FAULTS = {
    "a changed graph and manifest": Fault(65, VERIFY, ("good.onnx", "was changed"), change_with_its_manifest),
    "a missing golden file": Fault(
        65, VERIFY, ("golden.zip", "is missing"), partial(remove, golden_path(Path("good.onnx")).name)
    ),
    "another key": Fault(65, (*VERIFY[:3], "other-pub.pem"), ("good.onnx.sig", "not signed with the key")),
    "no signature": Fault(66, VERIFY, ("good.onnx.sig", "not signed"), partial(remove, "good.onnx.sig")),
    "no key": Fault(66, (*VERIFY[:3], "no.pem"), ("no.pem", "no such public key")),
    "a private key for a public one": Fault(65, (*VERIFY[:3], "key.pem"), ("key.pem", "no public key")),
    "a picture for a key": Fault(65, (*VERIFY[:3], "a.png"), ("a.png", "no public key")),
    "a curve that the layout has not": Fault(65, (*VERIFY[:3], "koblitz-pub.pem"), ("koblitz-pub.pem", "P-256")),
    "a payload of somebody else": Fault(65, VERIFY, ("good.onnx.sig", "not signed with the key"), sign_something_else),
    "a signature that is none": Fault(
        65, VERIFY, ("good.onnx.sig", "no usable signature"), partial(write, "good.onnx.sig", b"[1]")
    ),
    "deep JSON": Fault(65, VERIFY, ("good.onnx.sig",), partial(write, "good.onnx.sig", b"[" * 100_000)),
    "signing with no key": Fault(66, ("export", "-p", "tiny.yaml", "--sign", "no.pem"), ("no.pem", "private key")),
    "signing on a curve that the layout has not": Fault(
        65, ("export", "-p", "tiny.yaml", "--sign", "koblitz-key.pem"), ("koblitz-key.pem", "P-256")
    ),
    "signing with a public key": Fault(
        65, ("export", "-p", "tiny.yaml", "--sign", "pub.pem"), ("pub.pem", "no private key")
    ),
}


@pytest.mark.parametrize("line", FAULTS)
def test_refused(line, place_signed, run):
    assert_refused(FAULTS[line], place_signed, run)


def test_what_is_as_signed_is_verified(place_signed, run):
    assert run(*VERIFY).code == 0


def test_the_reference_implementation_agrees(place_signed):
    """OpenSSF model-signing itself, where it is installed: it does not install beside the converters."""
    if find_spec("model_signing") is None:
        pytest.skip("model-signing is not installed")
    command = [sys.executable, "-m", "model_signing", "verify", "key", ".", "--signature", "good.onnx.sig"]
    command += ["--public_key", "pub.pem", "--ignore_unsigned_files"]
    done = subprocess.run(command, cwd=place_signed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_an_export_is_signed_with_all_its_files(place_signed, run):
    """In the same rename; an identical export is signed too; one without a signature leaves no old one behind."""
    arguments = ("export", "-p", "tiny.yaml", "-o", "new.onnx", "--force")
    verify = ("verify", "new.onnx", "--key", "pub.pem")
    assert run(*arguments, "--sign", "key.pem").code == 0
    assert run(*verify).code == 0
    (place_signed / "new.onnx.sig").unlink()
    assert run(*arguments, "--sign", "key.pem").code == 0
    assert run(*verify).code == 0
    assert run(*arguments, "--noise", "baked:1").code == 0
    assert not (place_signed / "new.onnx.sig").exists()
