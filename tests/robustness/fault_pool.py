"""A process that trains dies, or the one that it trains for."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

from .fault_process import LIMIT_S
from .fault_verdict import Verdict, resume
from .fault_workspace import Workspace, finished


MOST_LEFT_S = 3.0  # that the processes of a killed run may take to go, on a busy machine as well


def dead_workers(space: Workspace, points: int, seed: int) -> Iterator[Verdict]:
    """Of a run with two workers one is killed, or their parent."""
    generator = random.Random(f"{seed} workers")
    trained_s = max(mark.at_s for mark in space.marks) / 3
    for number in range(points):
        folder, delay_s = space.folder / f"pool{number}", generator.random() * trained_s
        run = space.run(folder, "--job_workers", "2")
        end_s = time.monotonic() + LIMIT_S
        while time.monotonic() < end_s and not (folder / "out/jobs/fusion/seed0/checkpoints").is_dir():
            time.sleep(0.02)
        time.sleep(delay_s)
        if number % 2:
            yield _parent_killed(space, run, folder, delay_s)
        else:
            yield _worker_killed(space, run, folder, delay_s)


def _worker_killed(space: Workspace, run, folder, delay_s: float) -> Verdict:
    fault, point = "worker killed", f"{delay_s:.2f} s after it began"
    workers = run.workers()
    if workers:
        os.kill(workers[0], signal.SIGKILL)
    status, before = run.wait(), finished(folder / "out")
    if not workers or run.refusal() is None:
        return Verdict(fault, point, failure=f"{len(workers)} workers; ended with {status}: {run.tail()}")
    return resume(space, fault, point, folder, before, refusal=run.refusal())


def _parent_killed(space: Workspace, run, folder, delay_s: float) -> Verdict:
    fault, point = "workers' parent killed", f"{delay_s:.2f} s after they began"
    run.kill()
    run.wait()
    left_s = run.left_behind_s()
    if left_s > MOST_LEFT_S:
        return Verdict(fault, point, failure=f"its workers went on for {left_s:.1f} s")
    return resume(space, fault, point, folder, finished(folder / "out"))
