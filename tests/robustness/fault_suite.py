"""All faults, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from .fault_cache import damaged_cache
from .fault_disk import files_too_large, full_disk, read_only_cache
from .fault_kill import killed
from .fault_pool import dead_workers
from .fault_together import same_cache, same_folder
from .fault_verdict import Verdict
from .fault_workspace import Workspace


def strike(space: Workspace, points: int, at_most: int | None, others: int, seed: int) -> Iterator[Verdict]:
    """
    Args:
        space: of the runs.
        points: kills in each job.
        at_most: of all kills.
        others: points of each other fault.
        seed: of all points.
    """
    yield from killed(space, points, seed, at_most)
    yield from full_disk(space, others, seed)
    yield from files_too_large(space, others, seed)
    yield from read_only_cache(space, others)
    yield from damaged_cache(space, others, seed)
    yield from same_folder(space, others, seed)
    yield from same_cache(space, others, seed)
    yield from dead_workers(space, others, seed)
