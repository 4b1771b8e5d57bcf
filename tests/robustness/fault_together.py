"""Two runs at a time: in one folder, where the second has to refuse; with one cache, where both have to end well."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator

from .fault_points import stages_of
from .fault_process import Run
from .fault_verdict import Verdict, resume
from .fault_workspace import Workspace, finished


AT_ONCE_S = 10.0


def same_folder(space: Workspace, points: int, seed: int) -> Iterator[Verdict]:
    """The second begins at some moment of the first."""
    generator = random.Random(f"{seed} same folder")
    for number in range(points):
        folder, mark = space.folder / f"shared{number}", generator.randrange(len(space.marks) // 2)
        point = f"at {space.marks[mark].what} {space.marks[mark].path}"
        first = space.run(folder, tell_at=mark)
        first.reached()
        start_s = time.monotonic()
        second = space.run(folder)
        refused, took_s = second.refusal(), time.monotonic() - start_s
        failure = None
        if refused is None or f"process {first.pid} on" not in refused or took_s > AT_ONCE_S:
            failure = f"the second was not refused at once ({took_s:.1f} s): {second.tail()}"
        elif first.wait() != 0:
            failure = f"the first failed: {first.tail()}"
        elif space.differences(folder):
            failure = f"the first differs: {space.differences(folder)}"
        first.wait()
        if failure is None:
            shutil.rmtree(folder)
        yield Verdict("two runs in one folder", point, refused, failure)


def same_cache(space: Workspace, points: int, seed: int) -> Iterator[Verdict]:
    """The second begins while the first makes frames; every other time the first is killed meanwhile."""
    generator = random.Random(f"{seed} same cache")
    frames = stages_of(space.marks)["frames"]
    for number in range(points):
        folders = [space.folder / f"cached{number}{letter}" for letter in "ab"]
        mark = generator.choice(frames)
        point = f"at {space.marks[mark].what} {space.marks[mark].path}"
        first = space.run(folders[0], tell_at=mark)
        first.reached()
        second = space.run(folders[1], cache=folders[0] / "cache")
        if number % 2:
            time.sleep(generator.random())
            first.kill()
            point += ", the first killed"
        yield _both(space, first, second, folders, point)


def _both(space: Workspace, first: Run, second: Run, folders: list, point: str) -> Verdict:
    fault = "two runs with one cache"
    statuses, failure = (first.wait(), second.wait()), None
    if statuses[1] != 0 or space.differences(folders[1]):
        failure = f"the second failed ({statuses[1]}): {space.differences(folders[1])}; {second.tail()}"
    elif statuses[0] not in (0, -9):
        failure = f"the first failed: {first.tail()}"
    if failure:
        return Verdict(fault, point, failure=failure)
    shutil.rmtree(folders[1])
    return resume(space, fault, point, folders[0], finished(folders[0] / "out"))
