"""A stream that cannot seek, copied to where it can be read again."""

from __future__ import annotations

import tempfile
from http.client import HTTPException
from typing import BinaryIO


LARGEST_BYTES = 2 << 30
CHUNK_BYTES = 1 << 20


def temporary_copy(stream, name: str) -> BinaryIO:
    """
    Copy a stream into a temporary file, which has no name and is gone once it is closed, whatever happens before.

    Args:
        stream: anything with `read(bytes)`.
        name: of the stream, for messages.

    Returns:
        the file, open at its start.

    Raises:
        ValueError: the stream is text, fails, or holds more than `LARGEST_BYTES`.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    try:
        while chunk := _read(stream, name):
            file.write(chunk)
            if file.tell() > LARGEST_BYTES:
                raise ValueError(
                    f"{name} holds more than {LARGEST_BYTES} bytes; cut it, or store it as a file and give its path"
                )
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _read(stream, name: str) -> bytes:
    try:
        chunk = stream.read(CHUNK_BYTES)
    except (OSError, ValueError, HTTPException) as error:
        raise ValueError(f"{name} cannot be read ({error})") from error
    if isinstance(chunk, str):
        raise ValueError(f"{name} is open as text; open it in binary mode, 'rb'")
    if not isinstance(chunk, (bytes, bytearray, memoryview)):
        raise ValueError(f"{name} reads a {type(chunk).__name__}; give an object whose read() gives bytes")
    return chunk
