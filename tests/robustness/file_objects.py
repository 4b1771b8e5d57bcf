"""File objects that behave unlike files."""

import io
from pathlib import Path

import numpy as np

from .case import Case
from .files import FORMATS, any_file, truncated


class Slow(io.RawIOBase):
    """Cannot seek, and returns a few bytes at a time."""

    def __init__(self, content: bytes, step: int):
        self._content, self._step, self._place = content, step, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        part = self._content[self._place : self._place + min(self._step, len(buffer))]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)


class Failing(io.BytesIO):
    """Fails after some bytes, like a broken disk or connection."""

    def __init__(self, content: bytes, readable: int, seekable: bool):
        super().__init__(content)
        self._readable, self._seekable = readable, seekable

    def seekable(self):
        return self._seekable

    def seek(self, *arguments):
        if not self._seekable:
            raise OSError("no seeking here")
        return super().seek(*arguments)

    def readinto(self, buffer):
        if self.tell() + len(buffer) > self._readable:
            raise OSError(5, "Input/output error")
        return super().readinto(buffer)

    def read(self, size=-1):
        if self.tell() + max(size, 0) > self._readable:
            raise OSError(5, "Input/output error")
        return super().read(size)


class Unseekable(io.BytesIO):
    """Claims to be seekable, and is not."""

    def seek(self, *arguments):
        raise OSError(29, "Illegal seek")


class Shrinking(io.BytesIO):
    """Becomes shorter while it is read."""

    def __init__(self, content: bytes):
        super().__init__(content)
        self._reads = 0

    def readinto(self, buffer):
        self._reads += 1
        if self._reads == 5:
            self.truncate(len(self.getbuffer()) // 2)
        return super().readinto(buffer)


class Nothing:
    """Has a method `read` that returns what no file returns."""

    def __init__(self, value):
        self._value = value

    def read(self, *_):
        return self._value


def _closed(content):
    file = io.BytesIO(content)
    file.close()
    return file


def _end(content):
    file = io.BytesIO(content)
    file.seek(0, io.SEEK_END)
    return file


def any_file_object(rng: np.random.Generator, folder: Path) -> Case:
    """A broken or unusual file object; `folder` is empty, for its files."""
    content = any_file(rng, str(rng.choice(FORMATS)))
    part, step, seekable = truncated(rng, content), int(rng.choice([1000, 8192])), bool(rng.integers(2))
    reach = int(rng.integers(len(content)))
    path = folder / "clip.bin"
    path.write_bytes(content)
    value = (None, "text", 3, [b"RIFF"], b"")[rng.integers(5)]
    makers = {
        "read to its end": lambda: _end(content),
        "cannot seek": lambda: Slow(content, step),
        "cannot seek, truncated": lambda: Slow(part, step),
        "fails": lambda: Failing(content, reach, seekable),
        "fails at seek": lambda: Unseekable(content),
        "shrinks": lambda: Shrinking(content),
        "closed": lambda: _closed(content),
        f"reads {value!r}": lambda: Nothing(value),
        "open for writing": lambda: path.open("ab"),
        "open as text": lambda: path.open(encoding="latin-1"),
        "text in memory": lambda: io.StringIO("RIFF"),
        "open without buffer": lambda: path.open("rb", buffering=0),
        "empty": lambda: io.BytesIO(),
    }
    what = list(makers)[rng.integers(len(makers))]
    return Case(f"file object: {what}", makers[what])
