"""Runs cases in child processes; one that dies is replaced, and the case that it died of has failed."""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from child_process import ChildEnded, ChildProcess, describe_status

from .cases import kind_of, make_case
from .verdict import FAILED
from .worker import HANGS, MEMORY_BYTES, prepare_bench


# one core; no proxy between this machine and itself
ENVIRONMENT = {
    **{"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    **{"HF_HUB_OFFLINE": "1", "NO_PROXY": "*", "no_proxy": "*"},
}


@dataclass
class Verdict:
    """The outcome of one target on one case.

    Args:
        index: of the case.
        kind: of the case.
        target: one of `TARGETS`.
        outcome: one of `OUTCOMES`.
        message: of an error or a failure.
        what: description of the case.
        held_bytes: memory of the process afterwards.
        taken_bytes: the most memory, if it was more than for any case before; else 0.
    """

    index: int
    kind: str
    target: str
    outcome: str
    message: str = ""
    what: str = ""
    held_bytes: int = 0
    taken_bytes: int = 0

    as_dict = asdict


@contextmanager
def environment(**variables: str):
    """Child processes that start meanwhile have `ENVIRONMENT` and these variables."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, **variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def load_targets(model: Path):
    """The real targets; a test gives [`run_cases`] others."""
    from .targets import Targets

    return Targets(model)


def run_cases(
    model: Path,
    seed: int,
    indices: Iterable[int],
    targets: Iterable[str],
    workers: int = 1,
    report: Callable[[Verdict], None] = lambda verdict: None,
    load: Callable = load_targets,
    make: Callable = make_case,
) -> list[Verdict]:
    """Run cases.

    Args:
        model: folder with a model, an extractor and `model.onnx`.
        seed: of the cases.
        indices: of the cases.
        targets: that get each of them.
        workers: processes at once.
        report: called with each verdict as it comes.
        load: returns the targets for a model's folder, in the child process.
        make: makes the case of a seed, an index and a folder, in the child process.

    Returns:
        A verdict for each case and target, in order.
    """
    targets, indices = list(targets), list(indices)
    shares = [[(index, target) for index in indices[first::workers] for target in targets] for first in range(workers)]
    arguments, stop = (prepare_bench, load, make, model, seed), threading.Event()
    with environment(), ThreadPoolExecutor(workers) as pool:
        try:
            done = list(pool.map(lambda tasks: _run_all(arguments, tasks, report, stop), shares))
        except BaseException:
            stop.set()
            raise
    return sorted(chain(*done), key=lambda verdict: (verdict.index, targets.index(verdict.target)))


def _run_all(arguments: tuple, tasks: list, report: Callable, stop: threading.Event) -> list[Verdict]:
    verdicts, child = [], None
    for index, target in tasks:
        if stop.is_set():
            break
        if child is None:
            child = ChildProcess(*arguments)
            child.receive()
        try:
            entry = child.ask((index, target))
        except ChildEnded as end:
            entry = {"outcome": FAILED, "message": _cause_of_death(end.status)}
        verdicts.append(Verdict(index, kind_of(index), target, **entry))
        report(verdicts[-1])
        if "held_bytes" not in entry or entry["taken_bytes"] > MEMORY_BYTES:
            child.close()  # a high peak would hide those of later cases
            child = None
    if child is not None:
        child.close()
    return verdicts


def _cause_of_death(status: int) -> str:
    if status < 0 and -status in HANGS:
        return HANGS[signal.Signals(-status)]
    return f"the process {describe_status(status)}"
