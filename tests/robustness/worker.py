"""What runs one case after the other in a process of its own, within limits of time and memory."""

import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .case import Case
from .verdict import FAILED, Fault, check_error


CPU_S = 5.0
WALL_S = 120.0  # of a case that waits for something; the machine may have other work
MEMORY_BYTES = 1 << 30
ADDRESS_BYTES = 8 << 30  # protects the machine; memory that is allocated and never touched is not counted
# the operating system ends a process that takes longer, by a signal, also within code that is not Python
HANGS = {signal.SIGPROF: f"took more than {CPU_S:g} s of processor time", signal.SIGALRM: f"waited {WALL_S:g} s"}
NOBODY = 65534


def set_timers(cpu_s: float, wall_s: float) -> None:
    """End this process by a signal after these times, in seconds; 0 stops the timers."""
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, wall_s)


def limit_memory() -> None:
    """Let this process allocate at most `ADDRESS_BYTES` more than it has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_BYTES, resource.RLIM_INFINITY))


def peak_bytes() -> int:
    """The most memory that this process has held; `getrusage` would begin at the peak of its parent."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def held_bytes() -> int:
    """The memory that this process holds now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def open_resources() -> dict[str, int]:
    """The numbers of file handles and threads of this process."""
    return {"file handles": len(os.listdir("/proc/self/fd")), "threads": threading.active_count()}


@contextmanager
def without_superuser(drop: bool):
    """Run without superuser rights, where this process has them."""
    drop = drop and os.geteuid() == 0
    if drop:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if drop:
            os.seteuid(0)


class Bench:
    """Runs cases, one at a time, each with a folder of its own."""

    def __init__(self, targets, make_case: Callable[[int, int, Path], Case], seed: int, folder: Path):
        self._targets, self._make_case, self._seed, self._folder = targets, make_case, seed, folder
        self._index, self._case = None, None

    def attempt(self, task: tuple[int, str]) -> dict:
        """Run the case of an index on a target: `outcome`, `message`, `what`, `held_bytes` and `taken_bytes`."""
        index, name = task
        case = self._make(index)
        before, held, peak = open_resources(), held_bytes(), peak_bytes()
        rng = np.random.default_rng((self._seed, index, 1))
        set_timers(CPU_S, WALL_S)
        try:
            with without_superuser(case.unprivileged):
                outcome, message = self._targets.estimate(name, case, rng), ""
        except Exception as error:
            outcome, message = _outcome_of(error)
        finally:
            set_timers(0, 0)
        taken = peak_bytes() - held if peak_bytes() > peak else 0
        faults = [f"took {taken >> 20} MB"] * (taken > MEMORY_BYTES) + self._left(before)
        if faults and outcome != FAILED:
            outcome, message = FAILED, ", ".join(faults)
        return {
            "outcome": outcome,
            "message": message,
            "what": case.what,
            "held_bytes": held_bytes(),
            "taken_bytes": taken,
        }

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
        """What the case left open or on disk."""

        def more() -> list[str]:
            counted = {name: count - before[name] for name, count in open_resources().items()}
            return [f"leaves {count} {name}" for name, count in counted.items() if count > 0]

        left = more()
        if left:
            gc.collect()  # a cycle of references may hold them
            left = more()
        files = sorted(path.name for path in self._folder.iterdir() if path.name != "case")
        return left + [f"leaves temporary files {files}"] * bool(files)


def _outcome_of(error: Exception) -> tuple[str, str]:
    if isinstance(error, Fault):
        return FAILED, str(error)
    try:
        return check_error(error), str(error)
    except Fault as fault:
        return FAILED, str(fault)


def prepare_bench(load: Callable, make_case: Callable[[int, int, Path], Case], model: Path, seed: int) -> Callable:
    """Load the targets and return what runs a task `(index, target)`; for [`ChildProcess`]."""
    os.dup2(2, 1)  # output of libraries
    sys.stdout = sys.stderr
    targets = load(model)
    folder = Path(tempfile.mkdtemp(prefix="speech_affect_case_", dir=model.parent))
    folder.chmod(0o755)
    tempfile.tempdir = str(folder)
    limit_memory()
    return Bench(targets, make_case, seed, folder).attempt
