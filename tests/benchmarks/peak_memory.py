"""The most memory that this process has held."""

from __future__ import annotations

from pathlib import Path


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def start_peak() -> float:
    """Forget what was held before; resident megabytes now. `OSError` where there is no /proc, as outside Linux."""
    CLEAR.write_text("5")
    return _megabytes("VmRSS")


def peak_mb() -> float:
    """Most resident megabytes since [`start_peak`]."""
    return _megabytes("VmHWM")


def _megabytes(name: str) -> float:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"{STATUS} has no {name}")
