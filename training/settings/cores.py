"""How many processor cores this process may use."""

import math
import os
from pathlib import Path


CGROUPS = Path("/sys/fs/cgroup")  # of a container: Linux's control groups, version 2 or 1


def available_cores() -> int:
    """Return the number of cores for threads and workers: what affinity and a container's quota leave, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((CGROUPS / file).read_text(encoding="ascii") for file in files).split()
            if quota not in ("max", "-1"):  # both mean without a limit
                return max(1, min(cores, math.ceil(int(quota) / int(period))))
        except (OSError, ValueError):
            continue
    return cores
