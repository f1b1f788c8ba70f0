"""Downloads over http and https into a cache of files named by their sha256."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from elir_edge.core.cache import cache_folder
from elir_edge.core.files import sha256_of
from elir_edge.core.lock import hold_lock
from elir_edge.core.progress import Progress
from elir_edge.core.storage import storage_errors
from elir_edge.errors import DataError, UnavailableError, UsageError

CHUNK = 1 << 20
TIMEOUT_SECONDS = 30
MAX_BYTES = 4 << 30
PIN = re.compile(r"sha256=[0-9a-fA-F]{64}")
UNREACHABLE = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError)


def download(url: str, progress: Progress) -> Path:
    """Fetch ``url`` unless it is in the cache; returns the path of the file. ``url#sha256=HEX`` checks that hash.

    Raises UsageError for any other text after a ``#``, UnavailableError if the server cannot be reached or answers
    with an error, DataError if the content is cut short or has another hash.
    """
    address, _, fragment = url.partition("#")
    if fragment and not PIN.fullmatch(fragment):
        raise UsageError(f"'#{fragment}' behind an address is not a hash", hint="write #sha256= and 64 digits")
    expected = fragment.removeprefix("sha256=").lower() or None
    cached = _cached_blob(address, expected)
    if cached is not None:
        return cached
    with hold_lock(cache_folder("blobs") / _index(address).name, wait=True) as beside:
        cached = _cached_blob(address, expected)  # another run may have fetched it while this one waited
        return cached or _fetch_into_cache(address, expected, beside.part, progress)


def _fetch_into_cache(address: str, expected: str | None, part: Path, progress: Progress) -> Path:
    """Fetch to ``part``, overwriting what a killed run left there, and move it into the cache; returns its path."""
    _fetch(address, part, progress)
    digest = sha256_of(part)
    if expected and digest != expected:
        part.unlink()
        raise DataError(
            f"{_without_user(address)}: its sha256 is {digest}, expected {expected}",
            hint="the file there is another one than was pinned: check the address and the hash",
        )
    blob = cache_folder("blobs") / digest
    part.replace(blob)
    _index(address).write_text(json.dumps({"url": _without_user(address), "sha256": digest}), encoding="utf-8")
    return blob


def _cached_blob(address: str, expected: str | None) -> Path | None:
    """Path of the cached file, None if there is none or if its content no longer has the hash in its name."""
    try:
        digest = expected or json.loads(_index(address).read_text(encoding="utf-8"))["sha256"]
        blob = cache_folder("blobs") / Path(str(digest)).name
        return blob if blob.is_file() and sha256_of(blob) == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fetch(address: str, part: Path, progress: Progress) -> None:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            _copy(response, part, address, progress)
    except UNREACHABLE as error:
        part.unlink(missing_ok=True)
        reason = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", None) or error
        raise UnavailableError(
            f"{_without_user(address)}: cannot be fetched ({reason})",
            hint="check the network, or fetch the file yourself and give its path with --weights",
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _copy(response, part: Path, address: str, progress: Progress) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdecimal() else None
    done = 0
    with progress.stage(f"downloading {Path(urlsplit(address).path).name}", total) as advance, part.open("wb") as file:
        while chunk := response.read(CHUNK):
            done += len(chunk)
            if done > MAX_BYTES:
                raise DataError(f"{_without_user(address)}: larger than any checkpoint", hint="check the address")
            with storage_errors(part):
                file.write(chunk)
            advance(len(chunk))
    if total is not None and done != total:
        raise DataError(f"{_without_user(address)}: cut short, {done} of {total} bytes came", hint="try again")


def _index(address: str) -> Path:
    return cache_folder("urls") / hashlib.sha256(address.encode()).hexdigest()


def _without_user(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:  # an address that is none
        return address.rpartition("@")[2].partition("?")[0]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
