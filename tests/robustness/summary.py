"""Many verdicts in one table."""

from __future__ import annotations

from collections import Counter, defaultdict

from .supervisor import Verdict
from .verdict import FAILED, OUTCOMES


SETTLING = 0.3  # share of a worker's calls after which its memory should no longer grow
GROWTH_BYTES_PER_CALL = 32 << 10
FEWEST_CALLS = 2000


def counts(verdicts: list[Verdict]) -> dict[str, dict[str, dict[str, int]]]:
    """Per kind of case and target, how many of each outcome."""
    counted: dict = defaultdict(lambda: defaultdict(Counter))
    for verdict in verdicts:
        counted[verdict.kind][verdict.target][verdict.outcome] += 1

    def plain(of_kind: dict) -> dict[str, dict[str, int]]:
        return {target: {name: by_outcome[name] for name in OUTCOMES} for target, by_outcome in of_kind.items()}

    return {kind: plain(of_kind) for kind, of_kind in counted.items()}


def table(verdicts: list[Verdict]) -> str:
    """A row per kind of case, and per target "values silence refused FAILED"."""
    counted = counts(verdicts)
    targets = list(dict.fromkeys(verdict.target for verdict in verdicts))
    total = {target: Counter() for target in targets}
    for of_kind in counted.values():
        for target, by_outcome in of_kind.items():
            total[target].update(by_outcome)
    width = max(map(len, [*counted, "case kind"])) + 2
    head = "".join(f"{target:^{9 * len(OUTCOMES)}}" for target in targets)
    names = "".join(f"{name:>9}" for _ in targets for name in OUTCOMES)
    lines = [" " * width + head, f"{'case kind':{width}}{names}"]
    for kind, of_kind in {**counted, "all": total}.items():
        cells = (of_kind.get(target, {}).get(outcome, 0) for target in targets for outcome in OUTCOMES)
        lines.append(f"{kind:{width}}" + "".join(f"{cell or '.':>9}" for cell in cells))
    return "\n".join(lines)


def failures(verdicts: list[Verdict]) -> list[Verdict]:
    """Those that failed."""
    return [verdict for verdict in verdicts if verdict.outcome == FAILED]


def growth_bytes_per_call(verdicts: list[Verdict]) -> float | None:
    """
    How the memory held grows, by a line of least squares through the later calls; None for too few to tell.

    Args:
        verdicts: of one worker that never died, in order.
    """
    held = [verdict.held_bytes for verdict in verdicts]
    held = held[int(len(held) * SETTLING) :]
    if len(held) < FEWEST_CALLS or not all(held):
        return None
    middle, mean = (len(held) - 1) / 2, sum(held) / len(held)
    spread = sum((place - middle) ** 2 for place in range(len(held)))
    return sum((place - middle) * (value - mean) for place, value in enumerate(held)) / spread
