"""Uploaded files in use, and their removal soon after."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Uploads:
    """
    Holds files while somebody needs them, and deletes each a while after nobody does.

    The same recording sent twice is one file on disk, and the second request for it may still wait in the queue: that
    is why a file is not deleted at once, and not while it has been written anew.

    Args:
        kept_s: after its last use, in seconds.
        folder: only files below it are deleted; examples are not.
    """

    def __init__(self, kept_s: float, folder: str):
        self._kept_s = kept_s
        self._folder = os.path.realpath(folder)
        self._holders: Counter[str] = Counter()
        self._lock = threading.Lock()

    def hold(self, path: str | None) -> None:
        """Keep a file until as many calls of [`Uploads.release`]."""
        if path:
            with self._lock:
                self._holders[path] += 1

    def release(self, path: str | None) -> None:
        """Need a file no longer."""
        if not path:
            return
        with self._lock:
            self._holders[path] -= 1
            if self._holders[path] <= 0:
                del self._holders[path]
        self._later(path, self._kept_s)

    @contextmanager
    def held(self, path: str | None) -> Iterator[None]:
        """[`Uploads.hold`] for a block."""
        self.hold(path)
        try:
            yield
        finally:
            self.release(path)

    def _later(self, path: str, after_s: float) -> None:
        timer = threading.Timer(after_s, self._remove, [path])
        timer.daemon = True
        timer.start()

    def _remove(self, path: str) -> None:
        real = os.path.realpath(path)
        if os.path.commonpath([real, self._folder]) != self._folder:
            return
        with self._lock, suppress(OSError):
            if self._holders[path] > 0:
                return
            left_s = os.stat(real).st_mtime + self._kept_s - time.time()
            if left_s > 0:
                return self._later(path, left_s + 0.1)
            os.unlink(real)
            os.rmdir(os.path.dirname(real))  # of its own, unless another file has the same content
