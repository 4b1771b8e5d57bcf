"""What another process holds, read from /proc while it works, and whether that grows with its requests."""

import os
from pathlib import Path

import numpy as np

from .report import SETTLING


QUANTITIES = ("rss_mb", "anonymous_mb", "pss_mb", "file_handles", "threads", "temporary_files")
PARTS = 8  # of the time after warm-up; the smallest value of each counts, which no request in flight can raise
FEWEST_SAMPLES, FEWEST_REQUESTS = 3 * PARTS, 100  # after warm-up, below which growth is not estimated
# quantity: allowed rise (per 1000 requests, in all); a leak exceeds both
ALLOWED = {
    "rss_mb": (2.0, 32.0),
    "anonymous_mb": (2.0, 32.0),
    "file_handles": (0.5, 4.0),
    "threads": (0.5, 4.0),
    "temporary_files": (0.5, 4.0),
}


class ProcessWatch:
    """Samples what a process holds."""

    def __init__(self, pid: int, folder: Path):
        self._proc, self._folder = Path(f"/proc/{pid}"), folder

    def sample(self) -> dict[str, float]:
        """Each of `QUANTITIES` now.

        Memory is in 10^6 bytes: resident; of that what is not the content of a file; and the proportional share,
        which depends on what other processes hold of the same libraries.

        Raises:
            OSError: the process has ended.
        """
        status = _fields(self._proc / "status")
        if "VmRSS" not in status:
            raise ProcessLookupError(f"{self._proc}: the process has ended")
        return {
            "rss_mb": int(status["VmRSS"].split()[0]) * 1024 / 1e6,
            "anonymous_mb": int(status["RssAnon"].split()[0]) * 1024 / 1e6,
            "pss_mb": int(_fields(self._proc / "smaps_rollup")["Pss"].split()[0]) * 1024 / 1e6,
            "file_handles": len(os.listdir(self._proc / "fd")),
            "threads": int(status["Threads"]),
            "temporary_files": sum(len(files) for _, _, files in os.walk(self._folder)),
        }


def _fields(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text(encoding="ascii", errors="replace").splitlines() if ":" in line]
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def growth_of(requests: list[int], values: list[float], quantity: str) -> dict | None:
    """Growth of a quantity after warm-up, the first `SETTLING` of the requests; None if there is too little data.

    Memory that the C library keeps makes the resident size climb to a plateau, and long recordings raise it for a
    while, hence the smallest value of each part.

    Args:
        requests: answered so far, at each sample.
        values: of the quantity, at each sample.
        quantity: key of `ALLOWED`.

    Returns:
        Of a line of least squares: its slope `per_1000` requests, its values at the `first` and `last` request after
        warm-up, their difference `rise`, the `requests` between them, and whether the quantity `leaks`.
    """
    counts, held = np.array(requests, float), np.array(values, float)
    settled = counts > SETTLING * counts.max(initial=0)
    counts, held = counts[settled], held[settled]
    if len(counts) < FEWEST_SAMPLES or counts[-1] - counts[0] < FEWEST_REQUESTS:
        return None
    parts = np.array_split(np.arange(len(counts)), PARTS)
    lowest = np.array([part[held[part].argmin()] for part in parts])
    slope, start = np.polyfit(counts[lowest], held[lowest], 1)
    first, last = (float(start + slope * count) for count in (counts[0], counts[-1]))
    per_1000, in_all = ALLOWED[quantity]
    leaks = bool(1000 * slope > per_1000 and last - first > in_all)
    return {
        "per_1000": 1000 * float(slope),
        "rise": last - first,
        "first": first,
        "last": last,
        "requests": int(counts[-1] - counts[0]),
        "leaks": leaks,
    }
