"""A worker whose targets do what no target may, to see that it is noticed; each case asks for one kind of trouble."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from speech_affect_onnx.audio import to_mono

from . import limits, worker
from .case import Case
from .verdict import VALUES


KEPT = []


def spin():
    """Take processor time without end."""
    while True:
        pass


def refuse():
    """As the package does."""
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
    "memory": lambda: np.ones(limits.MEMORY_BYTES // 8 + (32 << 20)).sum(),
    "file": lambda: KEPT.append(open(__file__)),  # noqa: SIM115
    "temporary": lambda: KEPT.append(tempfile.mkdtemp()),
    "values again": lambda: None,
}


class Targets:
    """In place of the four."""

    def estimate(self, name: str, case, rng) -> str:
        """Trouble."""
        TROUBLES[case.what]()
        return VALUES


def make_case(seed: int, index: int, folder: Path) -> Case:
    """In place of the cases: one for each trouble, and no patience with those that take time."""
    what = list(TROUBLES)[index]
    limits.CPU_S = 0.2 if what == "spin" else 100.0
    limits.WALL_S = 0.5 if what == "wait" else 1000.0
    return Case(what, lambda: None)


if __name__ == "__main__":
    worker.serve(Targets, make_case, int(sys.argv[2]))
