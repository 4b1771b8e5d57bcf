"""One run at a time in an output folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from platform import node

from filelock import FileLock, Timeout


LOCK, OWNER = ".run.lock", ".run.owner"


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """
    Hold a folder for this process; the lock ends with it, however it ends, and the two small files that stay mean
    nothing then.

    Args:
        folder: of the run, made where it is not there.

    Raises:
        ValueError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{folder} is in use by {_owner(folder)}; wait until that run has ended, end it, or give another "
            "--output_dir"
        ) from None
    try:
        content = {"process": os.getpid(), "machine": node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        temporary = folder / f"{OWNER}.tmp"
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
        os.replace(temporary, folder / OWNER)
        yield
    finally:
        lock.release()


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f"process {owner['process']} on {owner['machine']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
