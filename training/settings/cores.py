"""How many processor cores this process may use."""

import math
import os
from pathlib import Path


CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, Linux's control groups version 2


def available_cores() -> int:
    """Return the number of cores for threads and workers: what affinity and a container's quota leave, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CGROUP_QUOTA.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))
