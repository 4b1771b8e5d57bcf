"""A file of the frame cache is not what it was."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from .fault_verdict import Verdict, resume
from .fault_workspace import Workspace, finished


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


def damaged_cache(space: Workspace, points: int, seed: int) -> Iterator[Verdict]:
    """Each between a teacher and its student; a run may refuse once, and the next has to mend it."""
    generator = random.Random(f"{seed} damaged cache")
    for number in range(points):
        how, pattern = DAMAGES[number % len(DAMAGES)]
        folder = space.copy_of_undisturbed(space.folder / f"damaged{number}", "cache", "out")
        for part in ("jobs/student_kd", "student_kd"):
            shutil.rmtree(folder / "out" / part)
        path = generator.choice(sorted((folder / "cache/frames").rglob(pattern)))
        point = damage(path, how, generator)
        before = finished(folder / "out")
        yield resume(space, "cache damaged", f"{path.relative_to(folder)} {point}", folder, before, most_refusals=1)


def damage(path: Path, how: str, generator: random.Random) -> str:
    """Cut a file, flip a bit of it, or delete it; returns what was done."""
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
