"""Measurements in processes of their own, each on a core of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
import traceback
from collections.abc import Callable, Mapping

from .alternating import Turn
from .cores import pin


READY_WITHIN_S = 900  # ten hours of audio take minutes


class Workers:
    """
    Processes that have made everything ready and wait for their turn; all of them start a turn together.

    Args:
        setup: called in each process as `setup(index, count, *arguments)`; returns by name what measures a turn.
        cores: one per process.
        arguments: of `setup`.
    """

    def __init__(self, setup: Callable[..., Mapping[str, Callable[[], Turn]]], cores: list[int], *arguments):
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for index, core in enumerate(cores):
            pipe, theirs = context.Pipe()
            served = (theirs, core, setup, (index, len(cores), *arguments))
            process = context.Process(target=_serve, args=served, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(pipe)
            self._processes.append(process)
        names = [self._receive(pipe) for pipe in self._pipes]
        self.names: list[str] = names[0]

    def contender(self, name: str) -> Callable[[], Turn]:
        """
        Measures a turn of this name: `seconds` from start to the end of the last process, and of all else that they
        measured, the largest.
        """

        def turn() -> Turn:
            start = time.perf_counter()
            for pipe in self._pipes:
                pipe.send(name)
            turns = [self._receive(pipe) for pipe in self._pipes]
            seconds = time.perf_counter() - start
            return {"seconds": seconds, **{key: max(turn[key] for turn in turns) for key in turns[0]}}

        return turn

    def _receive(self, pipe):
        try:
            problem, value = pipe.recv() if pipe.poll(READY_WITHIN_S) else (f"no answer in {READY_WITHIN_S} s", None)
        except EOFError:
            problem, value = "it ended, perhaps for want of memory", None
        if problem:
            self.close()
            raise RuntimeError(f"a process of the benchmark failed: {problem}")
        return value

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _serve(pipe, core: int, setup, arguments: tuple) -> None:
    pin([core])
    try:
        turns = setup(*arguments)
        pipe.send((None, list(turns)))
        while True:
            pipe.send((None, turns[pipe.recv()]()))
    except EOFError:
        pass  # no more turns
    except Exception:
        with contextlib.suppress(OSError):  # another process has failed first
            pipe.send((traceback.format_exc(), None))


def cpu_timed(call: Callable[[], object]) -> Callable[[], Turn]:
    """A turn of one call: `cpu_seconds` of this process."""

    def turn() -> Turn:
        start = time.process_time()
        call()
        return {"cpu_seconds": time.process_time() - start}

    return turn
