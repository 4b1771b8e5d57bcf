"""Pages of Ogg, whose stream number an encoder draws by lot."""

from __future__ import annotations

import struct


POLYNOMIAL = 0x04C11DB7
HEAD_BYTES = 27


def _row(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1 ^ POLYNOMIAL if value >> 31 else value << 1) & 0xFFFFFFFF
    return value


TABLE = [_row(byte) for byte in range(256)]


def crc(content: bytes) -> int:
    """Checksum of a page whose own four bytes are zero; the polynomial is neither reflected nor inverted."""
    value = 0
    for byte in content:
        value = (value << 8 & 0xFFFFFFFF) ^ TABLE[value >> 24 ^ byte]
    return value


def numbered(content: bytes, number: int = 1) -> bytes:
    """A whole file with another stream number, so that equal sounds are equal files."""
    pages, place = [], 0
    while place < len(content):
        segments = content[place + HEAD_BYTES - 1]
        body = place + HEAD_BYTES + segments
        end = body + sum(content[place + HEAD_BYTES : body])
        head = content[place : place + 14] + struct.pack("<I", number) + content[place + 18 : place + 22]
        tail = content[place + HEAD_BYTES - 1 : end]
        pages.append(head + struct.pack("<I", crc(head + bytes(4) + tail)) + tail)
        place = end
    return b"".join(pages)
