"""The time that the work on a request may take."""

from __future__ import annotations

import time

from declined import Refusal


class Deadline:
    """
    Asked between two blocks of work, whether there is time left for the next.

    Args:
        timeout_s: from now, in seconds.
    """

    def __init__(self, timeout_s: float):
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def check(self) -> None:
        """
        Raises:
            Refusal: the time is over.
        """
        if time.monotonic() > self._end:
            raise Refusal(f"This took longer than {self._timeout_s:g} s and was stopped: try a shorter clip.")
