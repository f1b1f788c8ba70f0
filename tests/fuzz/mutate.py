"""Damage to bytes, drawn from a seed: the same number gives the same damage on every machine."""

from __future__ import annotations

import zlib

import numpy as np

MOST_CHANGES = 6
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = (
    b"-1", b"0", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"99999999999999999999", b"../x", b"\xff\xfe",
    b"[[[[[[[[", b"!!python/object/apply:os.system", b"*a", b"&a", b"\x00", b'"\\ud800"',
)  # fmt: skip
TEXT = ("yaml", "manifest")


def rng_of(target: str, seed: int, number: int) -> np.random.Generator:
    """The generator of one run."""
    return np.random.default_rng([zlib.crc32(target.encode()), seed, number])


def mutate(data: bytes, target: str, rng: np.random.Generator) -> bytes:
    """``data`` after one to six changes; every other one near an end, where formats keep their structure."""
    changed = bytearray(data)
    changes = (*BYTE_CHANGES, replace_word) if target in TEXT else BYTE_CHANGES
    for _ in range(int(rng.integers(1, MOST_CHANGES + 1))):
        if not changed:
            break
        changes[int(rng.integers(len(changes)))](changed, _place(len(changed), rng), rng)
    return bytes(changed)


def flip_bit(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """One bit."""
    data[at] ^= 1 << int(rng.integers(8))


def put_number(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """A number at the edge of its type, in 1, 2, 4 or 8 bytes, either end first."""
    size = (1, 2, 4, 8)[int(rng.integers(4))]
    value = NUMBERS[int(rng.integers(len(NUMBERS)))] % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, "little" if rng.integers(2) else "big")


def cut_out(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """A piece is missing."""
    del data[at : at + 1 + int(rng.integers(64))]


def repeat(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """A piece is there twice."""
    data[at:at] = data[at : at + 1 + int(rng.integers(64))]


def cut_short(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """The end is missing; rarely, as nothing else is left to be found then."""
    if not rng.integers(4):
        del data[at:]


def replace_word(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """A word of a text becomes another one."""
    end = at
    while end < len(data) and chr(data[end]).isalnum():
        end += 1
    while at and chr(data[at - 1]).isalnum():
        at -= 1
    data[at:end] = WORDS[int(rng.integers(len(WORDS)))]


BYTE_CHANGES = (flip_bit, put_number, put_number, cut_out, repeat, cut_short)


def _place(length: int, rng: np.random.Generator) -> int:
    if rng.integers(2):
        return int(rng.integers(length))
    from_an_end = int(rng.integers(min(length, 400)))
    return from_an_end if rng.integers(2) else length - 1 - from_an_end
