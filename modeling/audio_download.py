"""Audio at an address of the web."""

from __future__ import annotations

import os
import re
from http.client import HTTPException
from typing import BinaryIO
from urllib.request import Request, urlopen

from .temporary_copy import LARGEST_BYTES, temporary_copy


TIMEOUT_S = 30.0


def is_url(source) -> bool:
    """Whether this is an address, `scheme://...`, of whatever scheme."""
    return isinstance(source, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def download_audio(url: str) -> BinaryIO:
    """
    Download into a temporary file, which is gone once it is closed.

    Args:
        url: an http or https address.

    Returns:
        the file, open at its start.

    Raises:
        ValueError: another scheme, no answer within `TIMEOUT_S`, an error in place of a file, one that ends early or
            is larger than `LARGEST_BYTES`.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no http or https address; give one, or the path of an audio file")
    with _open(url) as response:
        length = response.headers.get("Content-Length") or ""
        announced = int(length) if length.isdigit() else 0
        if announced > LARGEST_BYTES:
            raise ValueError(
                f"{url} is {announced} bytes large; up to {LARGEST_BYTES} are downloaded: "
                "store it as a file and give its path"
            )
        file = temporary_copy(response, url)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size < announced:
        file.close()
        raise ValueError(f"{url} ended after {size} of {announced} bytes; try again")
    return file


def _open(url: str):
    try:
        return urlopen(Request(url, headers={"User-Agent": "speech-affect"}), timeout=TIMEOUT_S)
    except (OSError, HTTPException, ValueError) as error:
        raise ValueError(f"{url} cannot be downloaded ({error}); check the address and the connection") from error
