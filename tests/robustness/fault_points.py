"""Moments at which a run is killed: seeded, in every job of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from .fault_process import Mark


@dataclass(frozen=True)
class Point:
    """
    Args:
        job: of the run.
        mark: number of the last mark before it.
        delay_s: after the mark; None right before what the mark announces is done.
        what: is being done.
    """

    job: str
    mark: int
    delay_s: float | None
    what: str


def stage_of(mark: Mark) -> str:
    """What a run is at, by the file that it writes."""
    part, *rest = PurePath(mark.path).parts
    if part == "cache":
        return "frames"
    name = rest[0].strip(".").removesuffix(".tmp") if rest else ""
    if name in ("", "run.lock", "run.owner") or rest == ["jobs"]:
        return "start"
    if name == "jobs":
        return f"{'predict' if rest[-1].startswith('predict') else 'train'} {rest[1]}"
    if name.startswith(("results", "figures")) or rest[-1] == "README.md":
        return "report"
    return f"write {name}"


def stages_of(marks: Sequence[Mark]) -> dict[str, list[int]]:
    """Numbers of the marks of each job, in the order of the jobs."""
    found: dict[str, list[int]] = {}
    for number, mark in enumerate(marks):
        found.setdefault(stage_of(mark), []).append(number)
    return found


def choose(marks: Sequence[Mark], points: int, seed: int) -> list[Point]:
    """
    So many points in each job: half of them right before a file is changed, half after a share of the job's time.

    Args:
        marks: of an undisturbed run.
        points: in each job.
        seed: of the choice.
    """
    chosen = []
    for job, numbers in stages_of(marks).items():
        generator = random.Random(f"{seed} {job}")
        before = (points + 1) // 2
        told = [number for number in numbers if not marks[number].path.endswith(".py")]  # copied beside each model
        exact = generator.sample(told, min(before, len(told)))
        chosen += [Point(job, n, None, f"before {marks[n].what} {marks[n].path}") for n in sorted(exact)]
        spans = [(n, marks[n + 1].at_s - marks[n].at_s) for n in numbers if n + 1 < len(marks)]
        for _ in range(points - len(exact)):
            n, span_s = generator.choices(spans, [max(span, 1e-6) for _, span in spans])[0]
            delay_s = generator.random() * span_s
            chosen.append(Point(job, n, delay_s, f"{delay_s:.3f} s after {marks[n].what} {marks[n].path}"))
    return chosen
