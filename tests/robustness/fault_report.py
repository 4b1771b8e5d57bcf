"""Many verdicts in one table."""

from __future__ import annotations

from collections.abc import Sequence

from .fault_verdict import Verdict


HEAD = ("fault", "points", "resumed identical", "refused", "FAILED")


def failures(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that failed."""
    return [verdict for verdict in verdicts if verdict.failure]


def rows(verdicts: Sequence[Verdict]) -> list[tuple[str, int, int, int, int]]:
    """Per fault, and of all: points, those that ended as an undisturbed run, that refused first, and that failed."""
    kinds = dict.fromkeys(verdict.fault for verdict in verdicts)
    groups = {kind: [verdict for verdict in verdicts if verdict.fault == kind] for kind in kinds}
    return [_row(kind, group) for kind, group in {**groups, "all": list(verdicts)}.items()]


def _row(kind: str, group: list[Verdict]) -> tuple[str, int, int, int, int]:
    failed = len(failures(group))
    return kind, len(group), len(group) - failed, sum(verdict.refusal is not None for verdict in group), failed


def table(verdicts: Sequence[Verdict]) -> str:
    """A row per fault; a point counts as refused where a run said so in one sentence before the next went on."""
    lines = [HEAD, *rows(verdicts)]
    width = max(len(str(line[0])) for line in lines)
    return "\n".join(
        " | ".join(
            [f"{line[0]:{width}}", *(f"{cell!s:>{len(name)}}" for cell, name in zip(line[1:], HEAD[1:], strict=True))]
        )
        for line in lines
    )
