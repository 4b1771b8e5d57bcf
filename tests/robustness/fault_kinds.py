"""The faults that runs have to survive: kills, failing disks, damaged caches, two runs at a time, dead workers."""

import functools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .fault_run import LIMIT_S, Run, Watch, choose_points, marks_by_job
from .fault_workspace import Verdict, Workspace, finished


LEAST_BYTES = 16 << 10  # the run's own messages have to fit
AT_ONCE_S = 10.0  # within which the second run in a folder has to refuse
MOST_LEFT_S = 3.0  # that the processes of a killed run may go on
DAMAGES = (
    ("cut", "*.frames"),
    ("flipped", "*.frames"),
    ("flipped", "*.index"),
    ("cut", "*.index"),
    ("flipped", "statistics-*"),
    ("deleted", "*.frames"),
    ("deleted", "*.index"),
    ("cut", "statistics-*"),
)


def strike(space: Workspace, points: int, at_most: int | None, others: int, seed: int) -> Iterator[Verdict]:
    """Strike runs with all faults, one after the other.

    Args:
        space: of the runs.
        points: kills in each job.
        at_most: of all kills, evenly chosen; all if None.
        others: points of each other fault.
        seed: of all points.
    """
    yield from killed(space, points, seed, at_most)
    faults = {
        "full disk": full_disk,
        "files too large": files_too_large,
        "read-only cache": read_only_cache,
        "damaged cache": damaged_cache,
        "same folder": same_folder,
        "same cache": same_cache,
        "workers": dead_workers,
    }
    for name, fault in faults.items():
        generator = random.Random(f"{seed} {name}")
        for number in range(others):
            verdict = fault(space, number, generator)
            if verdict is None:  # this system cannot mount disks
                break
            yield verdict


def killed(space: Workspace, points: int, seed: int, at_most: int | None = None) -> Iterator[Verdict]:
    """Kill the run at points of each of its jobs, and start it again."""
    chosen = choose_points(space.marks, points, seed)
    if at_most is not None and len(chosen) > at_most:
        chosen = [chosen[index * len(chosen) // at_most] for index in range(at_most)]
    for number, point in enumerate(chosen):
        folder = space.folder / f"killed{number}"
        if point.delay_s is None:
            run = space.run(folder, watch=Watch(die_at=point.mark))
        else:
            run = space.run(folder, watch=Watch(signal_at=point.mark))
            if run.reached():
                time.sleep(point.delay_s)
                run.kill()
        status = run.wait()
        fault = f"killed: {point.job}"
        if status not in (-signal.SIGKILL, 0):  # 0: it was faster than the undisturbed run, and is done
            yield Verdict(fault, point.what, failure=f"ended with {status}: {run.tail()}")
        else:
            yield space.resume(fault, point.what, folder, finished(folder / "out"))


def full_disk(space: Workspace, number: int, generator: random.Random) -> Verdict | None:
    """Run on a disk with room for a part of what a run writes, then on a larger one; None without such disks."""
    needed = sum(path.stat().st_size for path in space.undisturbed.rglob("*") if path.is_file())
    size = int(generator.uniform(0.02, 0.98) * needed)
    with small_disk(space.folder / f"disk{number}", size) as disk:
        if disk is None:
            return None
        run = space.run(disk / f"full{number}")
        run.wait()
        _mount("-o", "remount,size=1g", str(disk))
        return _resume_after_error(space, "disk full", f"{size} of {needed} bytes", run, disk / f"full{number}")


def files_too_large(space: Workspace, number: int, generator: random.Random) -> Verdict:
    """Limit the size of files, as a quota does."""
    largest = max(path.stat().st_size for path in space.undisturbed.rglob("*") if path.is_file())
    size = int(LEAST_BYTES * (largest / LEAST_BYTES) ** generator.random())
    folder = space.folder / f"limited{number}"
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    run = space.run(folder, prepare=limit)
    return _resume_after_error(space, "write fails", f"beyond {size} bytes", run, folder)


def _resume_after_error(space: Workspace, fault: str, point: str, run: Run, folder: Path) -> Verdict:
    status, before = run.wait(), finished(folder / "out")
    if status != 0 and run.error() is None:
        return Verdict(fault, point, failure=f"ended with {status}: {run.tail()}")
    return space.resume(fault, point, folder, before, refusal=run.error())


def read_only_cache(space: Workspace, number: int, generator: random.Random) -> Verdict | None:
    """Use a read-only cache with all, some or none of the frames: all are enough, otherwise the run refuses."""
    fault, folder, held = "cache read-only", space.folder / f"reading{number}", ("mfb-*", "*", "")[number % 3]
    (folder / "cache" / "frames").mkdir(parents=True)
    for cache in (space.undisturbed / "cache/frames").glob(held) if held else ():
        space.copy_of_undisturbed(folder, f"cache/frames/{cache.name}")
    point = {"*": "with all frames", "": "empty"}.get(held, "with the frames of one branch")
    with read_only(folder / "cache") as works:
        if not works:
            return None
        run = space.run(folder)
        status = run.wait()
    if (status == 0) != (held == "*"):
        return Verdict(fault, point, failure=f"ended with {status}: {run.tail()}")
    return _resume_after_error(space, fault, point, run, folder)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path | None]:
    """A folder with a file system of `size` bytes; None where none may be mounted."""
    folder.mkdir()
    if not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[bool]:
    """Nothing can be written below a folder meanwhile; yields False where that is not possible."""
    if os.geteuid() != 0:
        paths = [folder, *folder.rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield True
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
        return
    if not _mount("--bind", str(folder), str(folder)):  # permissions do not hold for root
        yield False
        return
    try:
        yield _mount("-o", "remount,ro,bind", str(folder))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*arguments: str) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    except OSError:
        return False


def damaged_cache(space: Workspace, number: int, generator: random.Random) -> Verdict:
    """Damage a file of the frame cache between a teacher and its student; a run may refuse once."""
    how, pattern = DAMAGES[number % len(DAMAGES)]
    folder = space.copy_of_undisturbed(space.folder / f"damaged{number}", "cache", "out")
    for part in ("jobs/student_kd", "student_kd"):
        shutil.rmtree(folder / "out" / part)
    path = generator.choice(sorted((folder / "cache/frames").rglob(pattern)))
    point = f"{path.relative_to(folder)} {damage(path, how, generator)}"
    return space.resume("cache damaged", point, folder, finished(folder / "out"), most_errors=1)


def damage(path: Path, how: str, generator: random.Random) -> str:
    """Cut a file, flip a bit of it, or delete it; returns a description."""
    content = bytearray(path.read_bytes())
    place = generator.randrange(len(content))
    if how == "deleted":
        path.unlink()
        return how
    if how == "cut":
        path.write_bytes(content[:place])
        return f"cut at {place} of {len(content)}"
    content[place] ^= 1 << generator.randrange(8)
    path.write_bytes(content)
    return f"one bit of byte {place} flipped"


def same_folder(space: Workspace, number: int, generator: random.Random) -> Verdict:
    """Start a second run in the folder of a running one; it has to refuse, and the first must not notice."""
    folder, mark = space.folder / f"shared{number}", generator.randrange(len(space.marks) // 2)
    first = space.run(folder, watch=Watch(signal_at=mark))
    first.reached()
    first.pause()  # or it could end before the second begins
    start_s = time.monotonic()
    second = space.run(folder)
    error, took_s = second.error(), time.monotonic() - start_s
    first.go_on()
    failure = None
    if error is None or f"process {first.pid} on" not in error or took_s > AT_ONCE_S:
        failure = f"the second was not refused at once ({took_s:.1f} s): {second.tail()}"
    elif first.wait() != 0:
        failure = f"the first failed: {first.tail()}"
    elif space.differences(folder):
        failure = f"the first differs: {space.differences(folder)}"
    first.wait()
    if failure is None:
        shutil.rmtree(folder)
    return Verdict("two runs in one folder", f"at {space.marks[mark].what} {space.marks[mark].path}", error, failure)


def same_cache(space: Workspace, number: int, generator: random.Random) -> Verdict:
    """Start a second run with the cache of one that makes frames; every other time the first is killed meanwhile."""
    fault, folders = "two runs with one cache", [space.folder / f"cached{number}{letter}" for letter in "ab"]
    mark = generator.choice(marks_by_job(space.marks)["frames"])
    point = f"at {space.marks[mark].what} {space.marks[mark].path}"
    first = space.run(folders[0], watch=Watch(signal_at=mark))
    first.reached()
    second = space.run(folders[1], cache=folders[0] / "cache")
    if number % 2:
        time.sleep(generator.random())
        first.kill()
        point += ", the first killed"
    statuses = first.wait(), second.wait()
    if statuses[1] != 0 or space.differences(folders[1]):
        failure = f"the second failed ({statuses[1]}): {space.differences(folders[1])}; {second.tail()}"
        return Verdict(fault, point, failure=failure)
    if statuses[0] not in (0, -9):
        return Verdict(fault, point, failure=f"the first failed: {first.tail()}")
    shutil.rmtree(folders[1])
    return space.resume(fault, point, folders[0], finished(folders[0] / "out"))


def dead_workers(space: Workspace, number: int, generator: random.Random) -> Verdict:
    """Kill one of two worker processes of a run, or their parent."""
    delay_s = generator.random() * max(mark.at_s for mark in space.marks) / 3
    folder = space.folder / f"pool{number}"
    run = space.run(folder, "--job_workers", "2")
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s and not (folder / "out/jobs/fusion/seed0/checkpoints").is_dir():
        time.sleep(0.02)
    time.sleep(delay_s)
    if number % 2:
        return _parent_killed(space, run, folder, f"{delay_s:.2f} s after they began")
    fault, point, workers = "worker killed", f"{delay_s:.2f} s after it began", run.workers()
    if workers:
        os.kill(workers[0], signal.SIGKILL)
    status, before = run.wait(), finished(folder / "out")
    if not workers or run.error() is None:
        return Verdict(fault, point, failure=f"{len(workers)} workers; ended with {status}: {run.tail()}")
    return space.resume(fault, point, folder, before, refusal=run.error())


def _parent_killed(space: Workspace, run: Run, folder: Path, point: str) -> Verdict:
    fault = "workers' parent killed"
    run.kill()
    run.wait()
    left_s = run.left_behind_s()
    if left_s > MOST_LEFT_S:
        return Verdict(fault, point, failure=f"its workers went on for {left_s:.1f} s")
    return space.resume(fault, point, folder, finished(folder / "out"))
