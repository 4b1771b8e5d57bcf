"""The run is killed, and started again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

from .fault_points import choose
from .fault_verdict import Verdict, resume
from .fault_workspace import Workspace, finished


def killed(space: Workspace, points: int, seed: int, at_most: int | None = None) -> Iterator[Verdict]:
    """At so many points of each job of a run; `at_most` of all of them."""
    chosen = choose(space.marks, points, seed)
    if at_most is not None and len(chosen) > at_most:
        chosen = [chosen[index * len(chosen) // at_most] for index in range(at_most)]
    for number, point in enumerate(chosen):
        folder = space.folder / f"killed{number}"
        if point.delay_s is None:
            run = space.run(folder, die_at=point.mark)
        else:
            run = space.run(folder, tell_at=point.mark)
            if run.reached():
                time.sleep(point.delay_s)
                run.kill()
        status = run.wait()
        fault = f"killed: {point.job}"
        if status not in (-signal.SIGKILL, 0):  # 0: it was faster than the undisturbed run, and is done
            yield Verdict(fault, point.what, failure=f"ended with {status}: {run.tail()}")
            continue
        before = finished(folder / "out")
        yield resume(space, fault, point.what, folder, before)
