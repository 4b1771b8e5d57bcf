"""Runs cases in processes of their own; one that dies is begun anew behind the case that it died of."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .cases import kind_of
from .limits import HANGS
from .verdict import FAILED


WORKER = "robustness.worker"
AHEAD = 64  # tasks that lie ready for a worker
FOLDER = Path(__file__).resolve().parents[1]
# one core; no proxy between this machine and itself
ENVIRONMENT = {
    **{"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    **{"HF_HUB_OFFLINE": "1", "NO_PROXY": "*", "no_proxy": "*"},
}


@dataclass
class Verdict:
    """
    What came of one target and case.

    Args:
        index: of the case.
        kind: of the case.
        target: of `TARGETS`.
        outcome: of `OUTCOMES`.
        message: of a refusal or a failure.
        what: the case was.
        held_bytes: by the process afterwards.
        taken_bytes: at the most, where that was more than any case before; else 0.
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


def run_cases(
    model: Path,
    seed: int,
    indices: Iterable[int],
    targets: Iterable[str],
    workers: int,
    tell: Callable[[Verdict], None],
) -> list[Verdict]:
    """
    Run cases.

    Args:
        model: folder with a model, an extractor and `model.onnx`.
        seed: of the cases.
        indices: of the cases.
        targets: that get each of them.
        workers: processes at once.
        tell: called with each verdict as it comes.

    Returns:
        a verdict for each target and case, in order.
    """
    targets, indices = list(targets), list(indices)
    verdicts: queue.Queue[Verdict | BaseException | None] = queue.Queue()

    def work(mine: list[int]) -> None:
        try:
            _run_all(model, seed, deque((index, target) for index in mine for target in targets), verdicts.put)
        except BaseException as error:
            verdicts.put(error)
        verdicts.put(None)

    for first in range(workers):
        threading.Thread(target=work, args=(indices[first::workers],), daemon=True).start()
    done, running = [], workers
    while running:
        verdict = verdicts.get()
        if isinstance(verdict, BaseException):
            raise verdict
        if verdict is None:
            running -= 1
            continue
        tell(verdict)
        done.append(verdict)
    return sorted(done, key=lambda verdict: (verdict.index, targets.index(verdict.target)))


def _run_all(model: Path, seed: int, tasks: deque, put: Callable[[Verdict], None]) -> None:
    """One worker after the other, until no task is left."""
    while tasks:
        left = len(tasks)
        status = _run_worker(model, seed, tasks, put)
        if len(tasks) == left:
            raise RuntimeError(f"a worker ended with status {status} before its first case; see its messages above")


def _run_worker(model: Path, seed: int, tasks: deque, put: Callable[[Verdict], None]) -> int:
    """Take tasks off the front as they are done, that of which the worker died among them."""
    command = [sys.executable, "-m", WORKER, str(model), str(seed)]
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path])}
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    given, begun = 0, None
    with worker:
        while True:
            while given < min(AHEAD, len(tasks)) and _give(worker, tasks[given]):
                given += 1
            if not tasks and worker.stdin:
                worker.stdin.close()
            line = worker.stdout.readline()
            if not line:
                break
            entry = json.loads(line)
            if "begins" in entry:
                begun = entry["begins"]
                continue
            index, target = entry.pop("ends")
            begun, given = None, given - 1
            tasks.popleft()
            put(Verdict(index, kind_of(index), target, **entry))
    if begun is not None:
        index, target = tasks.popleft()
        put(Verdict(index, kind_of(index), target, FAILED, _cause_of_death(worker.returncode)))
    return worker.returncode


def _give(worker: subprocess.Popen, task: tuple[int, str]) -> bool:
    try:
        worker.stdin.write(json.dumps(task) + "\n")
        worker.stdin.flush()
    except (BrokenPipeError, ValueError):
        with suppress(BrokenPipeError):  # here, or it would be raised where the worker is left
            worker.stdin.close()
        return False
    return True


def _cause_of_death(status: int) -> str:
    if status >= 0:
        return f"the process ended with status {status}"
    if -status in HANGS:
        return HANGS[signal.Signals(-status)]
    return f"the process died of {signal.Signals(-status).name}"
