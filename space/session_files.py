"""Files that visitors send: each in a folder of its own, held while it is on the page, then removed."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gradio import route_utils


NAME = "upload"
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif")


class UniqueUpload(route_utils.GradioUploadFile):
    """
    An upload in a folder and under a name of our own.

    gradio names the folder by the content: two visitors with the same file would share it, and removing one's would
    take the other's. And what people call their files never reaches the disk.
    """

    def __init__(self, file, *, filename: str | None = None, **options):
        suffix = os.path.splitext(filename or "")[1].lower()
        super().__init__(file, filename=NAME + (suffix if suffix in SUFFIXES else ""), **options)
        self.sha.update(secrets.token_bytes(16))


def keep_uploads_apart() -> None:
    """From now on gradio stores every upload as a [`UniqueUpload`]."""
    route_utils.GradioUploadFile = UniqueUpload


class SessionFiles:
    """What each visitor's page holds; a file goes when the next one comes to its place, or the page is left."""

    def __init__(self):
        self._held: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def hold(self, session: str, place: str, path: str | None) -> None:
        """
        Args:
            session: of gradio.
            place: on the page.
            path: of the file there now; None for none.
        """
        with self._lock:
            before = self._held.pop((session, place), None)
            if path:
                self._held[session, place] = path
        if before != path:
            remove(before)

    def release(self, session: str) -> None:
        """Remove all that a page held."""
        with self._lock:
            places = [place for owner, place in self._held if owner == session]
        for place in places:
            self.hold(session, place, None)

    def forget_missing(self) -> None:
        """Of pages that were never closed."""
        with self._lock:
            self._held = {key: path for key, path in self._held.items() if os.path.exists(path)}


def remove(path: str | None) -> None:
    """Delete an upload and its folder, which holds nothing else; examples stay, and what is gone already is fine."""
    if path and Path(path).stem == NAME:
        with suppress(OSError):
            os.unlink(path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(path))


def sweep(folder: Path, older_than_s: float) -> None:
    """
    Remove uploads that nobody came back for: of transfers that broke off, and of pages that were never closed.

    Args:
        folder: gradio's temporary one.
        older_than_s: since they were last written, in seconds.
    """
    for path in _uploads(folder):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()
                if path.parent != folder:
                    path.parent.rmdir()


def _uploads(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if entry.is_file():
            yield entry  # not yet received whole
        else:
            yield from entry.glob(f"{NAME}*")
