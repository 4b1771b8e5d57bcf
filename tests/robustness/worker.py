"""A process that runs cases and tells, line by line, what it is at and what came of it; it may die of any of them."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .case import Case
from .limits import MEMORY_BYTES, held_bytes, limit_memory, open_things, peak_bytes, start_clock, stop_clock
from .verdict import FAILED, Fault, check_refusal


NOBODY = 65534


@contextmanager
def rights(unprivileged: bool):
    """Without those of the superuser, where this process has them."""
    drop = unprivileged and os.geteuid() == 0
    if drop:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if drop:
            os.seteuid(0)


class Bench:
    """
    Cases, one at a time, each with a folder of its own.

    Args:
        targets: of [`Targets`].
        make_case: makes the case of a seed, an index and a folder.
        seed: of the cases.
        folder: for files, theirs and the targets' temporary ones.
    """

    def __init__(self, targets, make_case: Callable[[int, int, Path], Case], seed: int, folder: Path):
        self._targets, self._make_case, self._seed, self._folder = targets, make_case, seed, folder
        self._index, self._case = None, None

    def attempt(self, index: int, name: str) -> dict:
        """Run one target on one case: the outcome, its message, and what the case was."""
        case = self._make(index)
        before, held, peak = open_things(), held_bytes(), peak_bytes()
        rng = np.random.default_rng((self._seed, index, 1))
        start_clock()
        try:
            with rights(case.unprivileged):
                outcome, message = self._targets.estimate(name, case, rng), ""
        except Fault as fault:
            outcome, message = FAILED, str(fault)
        except Exception as error:
            outcome, message = _refusal(error)
        finally:
            stop_clock()
        taken = peak_bytes() - held if peak_bytes() > peak else 0
        faults = [f"took {taken >> 20} MB"] * (taken > MEMORY_BYTES) + self._left(before)
        if faults and outcome != FAILED:
            outcome, message = FAILED, ", ".join(faults)
        return {"outcome": outcome, "message": message, "what": case.what, "taken_bytes": taken}

    def _make(self, index: int) -> Case:
        if index != self._index:
            files = self._folder / "case"
            if files.exists():
                for path in files.iterdir():
                    if not path.is_symlink() and path.is_dir():
                        path.chmod(0o755)  # a locked one could not be removed
                shutil.rmtree(files)
            files.mkdir()
            files.chmod(0o755)
            with np.errstate(all="ignore"):
                self._index, self._case = index, self._make_case(self._seed, index, files)
        return self._case

    def _left(self, before: dict[str, int]) -> list[str]:
        """What the case left open or lying about."""

        def more() -> list[str]:
            counted = {name: count - before[name] for name, count in open_things().items()}
            return [f"leaves {count} {name}" for name, count in counted.items() if count > 0]

        left = more()
        if left:
            gc.collect()  # what a cycle of references holds is closed when it is collected
            left = more()
        files = sorted(path.name for path in self._folder.iterdir() if path.name != "case")
        return left + [f"leaves temporary files {files}"] * bool(files)


def _refusal(error: Exception) -> tuple[str, str]:
    try:
        return check_refusal(error), str(error)
    except Fault as fault:
        return FAILED, str(fault)


def serve(load: Callable, make_case: Callable[[int, int, Path], Case], seed: int) -> None:
    """
    Read tasks, one JSON list `[index, target]` a line, from standard input; write a line when one begins and one
    when it has ended.

    Args:
        load: gives the targets.
        make_case, seed: as of [`Bench`].
    """
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere

    def tell(**entries) -> None:
        print(json.dumps(entries), file=lines, flush=True)

    targets = load()
    with tempfile.TemporaryDirectory(prefix="speech_affect_case_") as temporary:
        os.chmod(temporary, 0o755)
        tempfile.tempdir = temporary
        bench = Bench(targets, make_case, seed, Path(temporary))
        limit_memory()
        for line in sys.stdin:
            index, name = json.loads(line)
            tell(begins=[index, name])
            result = bench.attempt(index, name)
            tell(ends=[index, name], held_bytes=held_bytes(), **result)
            if result["taken_bytes"] > MEMORY_BYTES:
                return  # the peak hides those of later cases


if __name__ == "__main__":
    from .cases import make_case
    from .targets import Targets

    serve(lambda: Targets(Path(sys.argv[1])), make_case, int(sys.argv[2]))
