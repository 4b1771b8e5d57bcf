"""Whether what a process holds grows with the requests that it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .summary import SETTLING


PARTS = 8  # of the time after warm-up; of each the least counts, which no request in flight can raise
FEWEST_SAMPLES, FEWEST_REQUESTS = 3 * PARTS, 100  # after warm-up, below which nothing is said
# quantity: (rise per 1000 requests, rise in all) that are let pass; a leak exceeds both
ALLOWED = {
    "rss_mb": (2.0, 32.0),
    "anonymous_mb": (2.0, 32.0),
    "file_handles": (0.5, 4.0),
    "threads": (0.5, 4.0),
    "temporary_files": (0.5, 4.0),
}


@dataclass
class Growth:
    """
    Args:
        per_1000: by a line of least squares through the least values of the parts, per 1000 requests.
        rise: of that line from the first request after warm-up to the last.
        first, last: value of that line there.
        requests: between them.
        leaks: whether both are more than is allowed.
    """

    per_1000: float
    rise: float
    first: float
    last: float
    requests: int
    leaks: bool

    as_dict = asdict


def growth_of(requests: list[int], values: list[float], quantity: str) -> Growth | None:
    """
    After warm-up, the first `SETTLING` of the requests; None where there is too little to tell.

    Memory that the C library keeps for later makes the resident size climb to a level and stay there, and each long
    recording lifts it for a while: so of each of `PARTS` stretches the least value is taken.

    Args:
        requests: answered so far, at each sample.
        values: of a quantity, at each sample.
        quantity: a key of `ALLOWED`.
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
    return Growth(1000 * float(slope), last - first, first, last, int(counts[-1] - counts[0]), leaks)
