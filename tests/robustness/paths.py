"""Paths and addresses without a readable recording."""

import os
from pathlib import Path

import numpy as np

from .case import Case
from .files import FORMATS, any_file


ADDRESSES = (
    *("http://127.0.0.1:1/a.wav", "http://127.0.0.1:99999/a", "http://127.0.0.1:1/a b\n.wav", "HTTP://127.0.0.1:1/"),
    *("ftp://127.0.0.1/a.wav", "file:///etc/passwd", "s3://a/b", "data://x", "http://", "http://[::1", "http://\x00/"),
)


def _undamaged(rng: np.random.Generator) -> bytes:
    return any_file(rng, str(rng.choice(FORMATS)))


def _written(folder: Path, name: str | bytes, content: bytes) -> str:
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    with open(path, "wb") as file:
        file.write(content)
    return os.fsdecode(path)


def _empty(rng, folder):
    return "empty file", _written(folder, "empty.wav", b"")


def _folder(rng, folder):
    (folder / "folder.wav").mkdir()
    return "folder", folder / "folder.wav"


def _loop(rng, folder):
    path, other = folder / "a.wav", folder / "b.wav"
    path.symlink_to(other)
    other.symlink_to(path)
    return "loop of symbolic links", path


def _dangling(rng, folder):
    (folder / "gone.wav").symlink_to(folder / "nothing.wav")
    return "symbolic link to nothing", str(folder / "gone.wav")


def _link(rng, folder):
    (folder / "link.wav").symlink_to(_written(folder, "clip.wav", _undamaged(rng)))
    return "symbolic link to a recording", folder / "link.wav"


def _unreadable(rng, folder):
    path = _written(folder, "secret.wav", _undamaged(rng))
    os.chmod(path, 0)
    return "file without permission", path


def _locked_folder(rng, folder):
    locked = folder / "locked"
    locked.mkdir()
    path = _written(locked, "clip.wav", _undamaged(rng))
    os.chmod(locked, 0)
    return "file in a folder without permission", path


def _pipe(rng, folder):
    os.mkfifo(folder / "pipe.wav")
    return "named pipe that nobody writes to", folder / "pipe.wav"


def _name(rng, folder):
    names = (b"\xff\xfe.wav", "sprach\u00e9 \u4e2d\u6587.wav", "a\nb.wav", "wav", ".wav", "-", "%s.wav", "a;b.flac ")
    name = names[rng.integers(len(names))]
    path = _written(folder, name, _undamaged(rng))
    return f"file of the name {name!r}", path


def _extension(rng, folder):
    extensions = ("txt", "raw", "pcm", "mp3", "wav", "ogg", "flac", "npy", "json", "sd2", "gsm", "vox")
    extension = extensions[rng.integers(len(extensions))]
    path = _written(folder, f"clip.{extension}", _undamaged(rng))
    return f"recording called .{extension}", path


def _no_audio(rng, folder):
    extension = str(rng.choice(["wav", "raw", "mp3", "sd2", "gsm", "vox", "flac"]))
    contents = (b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"<!DOCTYPE html>\n", b"%PDF-1.7\n", b"", b"\x00" * 500, b"RIFF")
    content = contents[rng.integers(7)] + rng.bytes(int(rng.integers(3000)))
    path = _written(folder, f"clip.{extension}", content)
    return f"no audio, called .{extension}", path


def _special(rng, folder):
    path = str(rng.choice(["/dev/null", "/dev/zero", "/proc/self/mem", "/proc/self/maps", "/", "/proc/self/fd/0"]))
    return path, path


def _no_path(rng, folder):
    texts = ("", ".", "..", "a\x00b.wav", "x" * 5000, "nowhere/clip.wav", "\udcff.wav", "~", "/etc/passwd/x", "con")
    text = texts[rng.integers(len(texts))]
    return f"text {text[:20]!r}", text


def _address(rng, folder):
    address = ADDRESSES[rng.integers(len(ADDRESSES))]
    return f"address {address!r}", address


MAKERS = (
    *(_empty, _folder, _loop, _dangling, _link, _unreadable, _locked_folder),
    *(_pipe, _name, _extension, _no_audio, _special, _no_path, _address),
)


def any_path(rng: np.random.Generator, folder: Path, makers=MAKERS) -> Case:
    """A case of one of the kinds above; `folder` is empty, for its files."""
    make = makers[rng.integers(len(makers))]
    what, path = make(rng, folder)
    return Case(what, lambda: path, unprivileged=make in (_unreadable, _locked_folder))


def any_wrong_extension(rng: np.random.Generator, folder: Path) -> Case:
    """A recording with the extension of another format, or other data with the extension of a recording."""
    return any_path(rng, folder, (_extension, _no_audio))
