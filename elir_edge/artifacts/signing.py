"""Signatures of artifacts: who exported it, which hashes beside it cannot say. Imports no torch.

The file is a Sigstore bundle as OpenSSF Model Signing 1.0 describes it: a DSSE envelope around an in-toto statement
with the sha256 of every file, signed with ECDSA. ``model_signing verify key`` reads it too. It is written here with
``cryptography`` alone: the package model-signing needs versions of others that do not install beside the converters.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import Artifact, sidecar
from elir_edge.artifacts.golden import golden_path
from elir_edge.core.files import files_of, sha256_of
from elir_edge.errors import DataError, MissingInputError, UsageError, missing_package

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MOST_BYTES = 4 << 20
HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
MAKE_KEYS = "openssl ecparam -genkey -name prime256v1 -noout -out KEY; openssl ec -in KEY -pubout -out PUB"


def signature_path(path: Path) -> Path:
    """Path of the signature beside the artifact at ``path``."""
    return path.with_name(path.name + ".sig")


def signed_digests(artifact: Artifact, folder: Path | None = None) -> dict[str, str]:
    """sha256 by name, relative to the artifact's folder, of each file of it: graph, manifest, golden file.

    ``folder``: where the files are, if not yet at their place.
    """
    place = folder or artifact.path.parent
    names = (*artifact.manifest.files, sidecar(artifact.path).name, golden_path(artifact.path).name)
    there = [place / name for name in dict.fromkeys(names) if (place / name).exists()]
    files = [file for path in there for file in files_of(path)]
    return {file.relative_to(place).as_posix(): sha256_of(file) for file in files}


def sign_artifact(artifact: Artifact, key: Any, folder: Path | None = None) -> bytes:
    """Content of the signature file, by the private ``key`` of ``read_private_key``."""
    payload = json.dumps(_statement(artifact.path.name, signed_digests(artifact, folder)), sort_keys=True).encode()
    signature = key.sign(_as_signed(payload), _algorithm(key.public_key()))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": hashlib.sha256(_pem(key.public_key())).hexdigest()}, "tlogEntries": []}
    bundle = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    return (json.dumps(bundle, sort_keys=True) + "\n").encode()


def check_signature(artifact: Artifact, key_path: Path) -> None:
    """Raise unless the signature beside the artifact is by the owner of the public key in ``key_path``, for its files.

    MissingInputError: no signature, no key. DataError: another key, or a file that was changed, added or is missing.
    """
    key = read_public_key(key_path)
    path = signature_path(artifact.path)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: the artifact is not signed", hint="copy the signature too, or ask for one: export --sign KEY"
        )
    stated = _stated_digests(path, key, key_path)
    found = signed_digests(artifact)
    for name in sorted(stated.keys() | found.keys()):
        if stated.get(name) != found.get(name):
            fault = "is missing" if name not in found else "is not signed" if name not in stated else "was changed"
            raise DataError(
                f"{artifact.path.parent / name}: {fault}, says {path.name}",
                hint="copy the artifact again from whoever signed it",
            )


def read_private_key(path: Path) -> Any:
    """The ECDSA key in the PEM file ``path``, without a password. Raises MissingInputError, DataError, UsageError."""
    from_pem = _serialization().load_pem_private_key
    return _check_curve(_load(path, lambda data: from_pem(data, None), "private"), path)


def read_public_key(path: Path) -> Any:
    """The ECDSA key in the PEM file ``path``. Raises MissingInputError or DataError."""
    return _check_curve(_load(path, _serialization().load_pem_public_key, "public"), path)


def _statement(name: str, digests: dict[str, str]) -> dict[str, Any]:
    ordered = sorted(digests.items())
    total = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in ordered)).hexdigest()
    form = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
    resources = [{"name": file, "algorithm": "sha256", "digest": digest} for file, digest in ordered]
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": total}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": form, "resources": resources},
    }


def _stated_digests(path: Path, key: Any, key_path: Path) -> dict[str, str]:
    """sha256 by name, from a signature that ``key`` confirms."""
    from cryptography.exceptions import InvalidSignature

    again = "copy the signature again from whoever signed the artifact"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is larger than any")
        envelope = json.loads(path.read_bytes())["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = (base64.b64decode(item["sig"], validate=True) for item in envelope["signatures"])
        key.verify(signature, _as_signed(payload), _algorithm(key))
        statement = json.loads(payload)
        if (envelope["payloadType"], statement["predicateType"]) != (PAYLOAD_TYPE, PREDICATE):
            raise ValueError("it states something else")
        return {str(item["name"]): str(item["digest"]) for item in statement["predicate"]["resources"]}
    except InvalidSignature as error:
        raise DataError(
            f"{path}: was not signed with the key of {key_path}, or was changed",
            hint="give the public key of whoever exported the artifact; do not use it if that is the one",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: no usable signature ({error})", hint=again) from error


def _as_signed(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed in place of the payload alone."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _load(path: Path, parse: Any, kind: str) -> Any:
    if not path.is_file():
        raise MissingInputError(f"{path}: no such {kind} key", hint=f"check the name; keys are made by {MAKE_KEYS}")
    try:
        return parse(path.read_bytes())
    except TypeError as error:
        raise UsageError(
            f"{path}: the key has a password", hint="give one without: openssl ec -in KEY -out PLAIN"
        ) from error
    except Exception as error:  # cryptography has several for what is no key
        reason = str(error).partition(".")[0]
        raise DataError(
            f"{path}: no {kind} key in PEM ({reason:.200})", hint=f"keys are made by {MAKE_KEYS}"
        ) from error


def _check_curve(key: Any, path: Path) -> Any:
    if getattr(getattr(key, "curve", None), "name", "") not in HASHES:
        raise DataError(f"{path}: not a key of ECDSA on P-256, P-384 or P-521", hint=f"keys are made by {MAKE_KEYS}")
    return key


def _algorithm(public: Any) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, HASHES[public.curve.name])())


def _pem(public: Any) -> bytes:
    form = _serialization()
    data: bytes = public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return data


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise missing_package("cryptography", "signing") from error
    return serialization
