"""Writing fails: the disk is full, files may not grow, the cache is only to be read."""

from __future__ import annotations

import functools
import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .fault_verdict import Verdict, resume
from .fault_workspace import Workspace, finished


LEAST_BYTES = 16 << 10  # what a run says has to fit


def full_disk(space: Workspace, points: int, seed: int) -> Iterator[Verdict]:
    """A disk that has room for a share of what a run writes; then a larger one. Only where disks may be mounted."""
    generator = random.Random(f"{seed} full disk")
    needed = sum(path.stat().st_size for path in space.undisturbed.rglob("*") if path.is_file())
    for number in range(points):
        size = int(generator.uniform(0.02, 0.98) * needed)
        with small_disk(space.folder / f"disk{number}", size) as disk:
            if disk is None:
                return
            point, folder = f"{size} of {needed} bytes", disk / f"full{number}"
            run = space.run(folder)
            status, before = run.wait(), finished(folder / "out")
            if status != 0 and run.refusal() is None:
                yield Verdict("disk full", point, failure=f"ended with {status}: {run.tail()}")
                continue
            _mount("-o", "remount,size=1g", str(disk))
            yield resume(space, "disk full", point, folder, before, refusal=run.refusal())


def files_too_large(space: Workspace, points: int, seed: int) -> Iterator[Verdict]:
    """No file may be larger than this: as under a quota."""
    generator = random.Random(f"{seed} files too large")
    largest = max(path.stat().st_size for path in space.undisturbed.rglob("*") if path.is_file())
    for number in range(points):
        size = int(LEAST_BYTES * (largest / LEAST_BYTES) ** generator.random())
        folder = space.folder / f"limited{number}"
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        run = space.run(folder, prepare=limit)
        status, before = run.wait(), finished(folder / "out")
        if status != 0 and run.refusal() is None:
            yield Verdict("write fails", f"beyond {size} bytes", failure=f"ended with {status}: {run.tail()}")
            continue
        yield resume(space, "write fails", f"beyond {size} bytes", folder, before, refusal=run.refusal())


def read_only_cache(space: Workspace, points: int) -> Iterator[Verdict]:
    """A cache that holds all, a part, or nothing of what a run reads: the first is enough, the others refuse."""
    for number in range(points):
        folder, held = space.folder / f"reading{number}", ("mfb-*", "*", "")[number % 3]
        (folder / "cache" / "frames").mkdir(parents=True)
        for cache in (space.undisturbed / "cache/frames").glob(held) if held else ():
            space.copy_of_undisturbed(folder, f"cache/frames/{cache.name}")
        point = {"*": "with all frames", "": "empty"}.get(held, "with the frames of one branch")
        with read_only(folder / "cache") as works:
            if not works:
                return
            run = space.run(folder)
            status, before = run.wait(), finished(folder / "out")
        if (status == 0) != (held == "*") or (status != 0 and run.refusal() is None):
            yield Verdict("cache read-only", point, failure=f"ended with {status}: {run.tail()}")
            continue
        yield resume(space, "cache read-only", point, folder, before, refusal=run.refusal())


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path | None]:
    """A folder with a file system of so many bytes; None where none may be mounted."""
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
    """Nothing can be written below a folder; False where that cannot be had."""
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        files = [path for path in folder.rglob("*") if path.is_file()]
        _permit(folders, 0o555)
        _permit(files, 0o444)
        yield True
        _permit(folders, 0o755)
        _permit(files, 0o644)
        return
    if not _mount("--bind", str(folder), str(folder)):  # permissions do not hold for root
        yield False
        return
    try:
        yield _mount("-o", "remount,ro,bind", str(folder))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _permit(paths: list[Path], mode: int) -> None:
    for path in paths:
        path.chmod(mode)


def _mount(*arguments: str) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    except OSError:
        return False
