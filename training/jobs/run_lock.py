"""One run at a time in an output folder."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from platform import node

from filelock import FileLock, Timeout

from speech_affect.cli.formats import check_folder

from ..files import read_json, write_json


LOCK, OWNER = ".run.lock", ".run.owner"


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Make a folder if needed, and lock it for this process.

    The lock ends with the process, however it ends; the two small files that remain have no meaning then.

    Raises:
        ValueError: Another process holds the lock, or the folder cannot be made or written to.
    """
    check_folder(folder)
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
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(folder / OWNER, {"process": os.getpid(), "machine": node(), "since": since})
        yield
    finally:
        lock.release()


def _owner(folder: Path) -> str:
    try:
        owner = read_json(folder / OWNER)
        return f"process {owner['process']} on {owner['machine']} since {owner['since']}"
    except (OSError, KeyError):
        return "another process"
