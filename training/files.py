"""Write files whole or not at all, read our own files leniently, and identify files by their content."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


BLOCK_BYTES = 1 << 20


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary name beside `path`; what was written under it takes the name `path` when the block succeeds.

    An error inside the block removes the temporary file and leaves `path` as it was. The folder must exist. The file
    has the permissions of any new file, even from a library that makes files which only their owner can read.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: dict | list) -> None:
    """Write an indented JSON file, whole or not at all; what JSON does not know is written as its `str`."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def read_json(path: str | os.PathLike) -> dict:
    """Read a JSON object that this package wrote; an absent or damaged file counts as an empty one."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def sha256_of_file(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def clip_fingerprint(audio: dict) -> str:
    """Return the SHA-256 of a clip's encoded file, given as by `datasets.Audio(decode=False)`: `{"path", "bytes"}`."""
    if audio.get("bytes") is not None:
        return hashlib.sha256(audio["bytes"]).hexdigest()
    return sha256_of_file(audio["path"])
