"""What wires, disks and people do to files."""

from __future__ import annotations

import numpy as np


HEADER_BYTES = 64


def truncated(rng: np.random.Generator, content: bytes) -> bytes:
    """Cut off, in the header as often as behind it; at times with zeros in place of what is missing."""
    end = int(rng.integers(min(len(content), 2 * HEADER_BYTES) if rng.integers(2) else len(content)))
    return content[:end] + bytes(len(content) - end) * int(rng.integers(4) == 0)


def flipped(rng: np.random.Generator, content: bytes) -> bytes:
    """1 to 64 bits turned round, in the header as often as anywhere."""
    damaged = bytearray(content)
    reach = min(len(damaged), HEADER_BYTES) if rng.integers(2) else len(damaged)
    for place in rng.integers(reach, size=int(rng.choice([1, 2, 8, 64]))):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def overwritten(rng: np.random.Generator, content: bytes) -> bytes:
    """A stretch replaced by the end values of integer types, noise, or a part of the same file."""
    damaged = bytearray(content)
    size = int(rng.choice([1, 2, 4, 8, 256]))
    start = int(rng.integers(min(len(damaged), HEADER_BYTES) if rng.integers(2) else len(damaged)))
    fillings = (b"\x00", b"\xff", b"\x7f", b"\x80", rng.bytes(1))
    filling = fillings[rng.integers(5)] * size if rng.integers(2) else rng.bytes(size)
    if rng.integers(4) == 0:
        place = int(rng.integers(len(damaged)))
        filling = content[place : place + size]
    damaged[start : start + len(filling)] = filling
    return bytes(damaged)


def rearranged(rng: np.random.Generator, content: bytes) -> bytes:
    """A stretch taken out, doubled or moved, or garbage put before, between or behind."""
    first, second = sorted(int(place) for place in rng.integers(len(content) + 1, size=2))
    head, middle, tail = content[:first], content[first:second], content[second:]
    garbage = rng.bytes(int(rng.integers(1, 2000)))
    return [
        head + tail,
        head + middle + middle + tail,
        head + tail + middle,
        head + garbage + middle + tail,
        garbage + content,
        content + garbage,
        content + content,
    ][rng.integers(7)]
