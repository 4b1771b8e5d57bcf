"""Turns of several contenders, in this process or in others on cores of their own, and what came of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from child_process import ChildProcess


Turn = Mapping[str, float]  # a quantity, with its unit at the end of its name -> its value in one turn
READY_WITHIN_S = 900  # ten hours of audio take minutes
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def pin(cores: list[int]) -> None:
    """Keep this process and its children on these cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def start_peak() -> float:
    """Reset the peak of memory; returns the resident megabytes now. Raises `OSError` without /proc."""
    CLEAR.write_text("5")
    return _megabytes("VmRSS")


def peak_mb() -> float:
    """The most resident megabytes since [`start_peak`]."""
    return _megabytes("VmHWM")


def _megabytes(name: str) -> float:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e6


def take_turns(contenders: Mapping[str, Callable[[], Turn]], rounds: int) -> dict[str, list[Turn]]:
    """Let every contender have one turn per round, always in the same order, so that disturbances hit all alike.

    Args:
        contenders: by name, what measures one turn.
        rounds: number of turns of each.

    Returns:
        By name the turns, those of one round at the same index.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            turns[name].append(measure())
    return turns


def timed(call: Callable[[], object], turn_s: float = 0.2) -> Callable[[], Turn]:
    """Measure a call: warm and repeatedly if it is short, otherwise once.

    The first call of a turn finds the caches as the contender before left them; a model in use is called again and
    again, so it is not counted unless it takes the whole turn.

    Args:
        call: what is measured.
        turn_s: seconds of a turn.

    Returns:
        What measures a turn: medians of `seconds` (wall clock) and `cpu_seconds` (of this process).
    """

    def turn() -> Turn:
        first = _one(call)
        calls = [first] if first[0] > turn_s else []
        end = time.perf_counter() + turn_s
        while not calls or time.perf_counter() < end:
            calls.append(_one(call))
        walls, cpus = zip(*calls, strict=True)
        return {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}

    return turn


def cpu_timed(call: Callable[[], object]) -> Callable[[], Turn]:
    """Measure `cpu_seconds` of one call."""
    return lambda: {"cpu_seconds": _one(call)[1]}


def _one(call: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def summary(values: Sequence[float]) -> dict[str, float]:
    """`median`, quartiles `q25` and `q75`, and `n` of values."""
    if len(values) < 2:
        low = high = values[0]
    else:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "q25": low, "q75": high, "n": len(values)}


class Workers:
    """Child processes, each on a core of its own, which start every turn together.

    Args:
        setup: called in each process as `setup(index, count, *arguments)`; returns by name what measures a turn.
        cores: one per process.
        arguments: of `setup`.
    """

    def __init__(self, setup: Callable[..., Mapping[str, Callable[[], Turn]]], cores: list[int], *arguments):
        self._children = [
            ChildProcess(_prepare, core, setup, index, len(cores), arguments) for index, core in enumerate(cores)
        ]
        self._receive_all()  # they are ready
        self.names: list[str] = self._ask_all(None)[0]

    def contender(self, name: str) -> Callable[[], Turn]:
        """Measure a turn: `seconds` to the end of the last process, and the largest of what the processes measured."""

        def turn() -> Turn:
            start = time.perf_counter()
            turns = self._ask_all(name)
            seconds = time.perf_counter() - start
            return {"seconds": seconds, **{key: max(turn[key] for turn in turns) for key in turns[0]}}

        return turn

    def _ask_all(self, message) -> list:
        for child in self._children:
            child.send(message)
        return self._receive_all()

    def _receive_all(self) -> list:
        try:
            return [child.receive(READY_WITHIN_S) for child in self._children]
        except RuntimeError:
            self.close()
            raise

    def close(self) -> None:
        """End the processes."""
        for child in self._children:
            child.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _prepare(core: int, setup: Callable, index: int, count: int, arguments: tuple) -> Callable:
    pin([core])
    turns = setup(index, count, *arguments)
    return lambda name: list(turns) if name is None else turns[name]()
