"""Who is served now, who waits, and who is sent away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from declined import Refusal


BUSY = "The page is busy just now: try again in a minute."


class Turns:
    """
    Lets a few requests through at once, some more wait, and refuses the rest at once.

    Args:
        concurrency: requests that are worked on at once.
        queue_size: that may wait.
        timeout_s: that one waits at most, in seconds.
    """

    def __init__(self, concurrency: int, queue_size: int, timeout_s: float):
        self._working = threading.BoundedSemaphore(concurrency)
        self._present = threading.BoundedSemaphore(concurrency + queue_size)
        self._timeout_s = timeout_s

    @contextmanager
    def turn(self) -> Iterator[None]:
        """
        Wait for a turn, and have it.

        Raises:
            Refusal: too many wait, or it took too long.
        """
        if not self._present.acquire(blocking=False):
            raise Refusal(BUSY)
        try:
            if not self._working.acquire(timeout=self._timeout_s):
                raise Refusal(BUSY)
            try:
                yield
            finally:
                self._working.release()
        finally:
            self._present.release()
