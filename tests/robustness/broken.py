"""Targets that do what no target may, so that tests see it noticed."""

import ctypes
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from speech_affect_onnx.audio import to_mono

from . import worker
from .case import Case
from .verdict import REFUSED, VALUES


KEPT = []


def spin():
    """Take processor time without end."""
    while True:
        pass


def refuse():
    """Raise an error of the package."""
    to_mono(np.full(9, np.nan))


TROUBLES = {
    "values": lambda: None,
    "refused": refuse,
    "KeyError": lambda: {}["absent"],
    "foreign": lambda: int("no number"),
    "crash": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "spin": spin,
    "wait": lambda: time.sleep(100),
    "memory": lambda: np.ones(worker.MEMORY_BYTES // 8 + (32 << 20)).sum(),
    "file": lambda: KEPT.append(open(__file__)),  # noqa: SIM115
    "temporary": lambda: KEPT.append(tempfile.mkdtemp()),
    "values again": lambda: None,
}


class BrokenTargets:
    """Instead of `Targets`: each case asks for one kind of trouble."""

    def __init__(self, model: Path):
        pass

    def estimate(self, name: str, case: Case, rng) -> str:
        """Make the trouble."""
        TROUBLES[case.what]()
        return VALUES


def make_trouble(seed: int, index: int, folder: Path) -> Case:
    """Instead of `make_case`: one case for each trouble, with short limits for those that take time."""
    what = list(TROUBLES)[index]
    worker.CPU_S = 0.2 if what == "spin" else 100.0
    worker.WALL_S = 0.5 if what == "wait" else 1000.0
    return Case(what, lambda: None)


class Leaking:
    """Instead of `InProcess`: keeps 0.1 MB of every request, and a file, a handle and a thread of every eighth."""

    def __init__(self, model: Path, ways: tuple[str, ...]):
        pass

    def ask(self, request):
        """Answer as required, and leak."""
        from .long_worker import Answer

        KEPT.append(bytearray(100_000))
        if len(KEPT) % 8 == 0:
            KEPT.append(tempfile.NamedTemporaryFile(delete=False))  # noqa: SIM115
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        time.sleep(0.001)
        return Answer(REFUSED if request.refused else VALUES, [len(request.case.what)])
