"""What another process holds, read from /proc while it works."""

from __future__ import annotations

import os
from pathlib import Path


QUANTITIES = ("rss_mb", "anonymous_mb", "pss_mb", "file_handles", "threads", "temporary_files")


class ProcessWatch:
    """
    Args:
        process_id: of the one that is watched.
        folder: in which it keeps its temporary files.
    """

    def __init__(self, process_id: int, folder: Path):
        self._proc, self._folder = Path(f"/proc/{process_id}"), folder

    def sample(self) -> dict[str, float]:
        """
        Each of `QUANTITIES` now; memory in 10^6 bytes: resident, of it what is no file's content, and the process's
        share, which depends on what other processes hold of the same libraries.

        Raises:
            OSError: the process is no more.
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
