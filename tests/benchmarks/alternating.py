"""Contenders in turn, so that what else the machine does falls on all of them; and what came of it in few numbers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


# name of the quantity, its unit at the end -> value, of one turn
Turn = Mapping[str, float]


def take_turns(contenders: Mapping[str, Callable[[], Turn]], rounds: int) -> dict[str, list[Turn]]:
    """
    A B C A B C ...: every contender once per round, in the same order.

    Args:
        contenders: by name, what measures one turn.
        rounds: how many turns each has.

    Returns:
        by name the turns, those of one round at the same index.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            turns[name].append(measure())
    return turns


def timed(call: Callable[[], object], turn_s: float = 0.2) -> Callable[[], Turn]:
    """
    A turn of one unmeasured call, if it is short, and as many measured ones as fit into its time, at least one.

    The first call finds the processor's caches as the contender before has left them; in use a model is called again
    and again, so short calls are measured warm. A long one fills the caches anew by itself.

    Args:
        call: what is measured.
        turn_s: seconds.

    Returns:
        what measures a turn: the median of its calls, in `seconds` by the clock and `cpu_seconds` of this process.
    """

    def turn() -> Turn:
        wall, cpu = _one(call)
        calls = []
        if wall > turn_s:
            calls.append((wall, cpu))
        end = time.perf_counter() + turn_s
        while not calls or time.perf_counter() < end:
            calls.append(_one(call))
        walls, cpus = zip(*calls, strict=True)
        return {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}

    return turn


def _one(call: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def summary(values: Sequence[float]) -> dict[str, float]:
    """`median`, the quartiles `q25` and `q75`, and `n`."""
    if len(values) < 2:
        low = high = values[0]
    else:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "q25": low, "q75": high, "n": len(values)}


def row(turns: Sequence[Turn]) -> dict[str, dict[str, float]]:
    """Each quantity of a contender over its turns."""
    return {quantity: summary([turn[quantity] for turn in turns]) for quantity in turns[0]}


def ratio(turns: Mapping[str, Sequence[Turn]], slow: str, fast: str, quantity: str = "seconds") -> dict:
    """How many times as much `slow` needs as `fast`: the median over the rounds of the ratio within each."""
    pairs = zip(turns[slow], turns[fast], strict=True)
    values = [of[quantity] / to[quantity] for of, to in pairs]
    return {"of": slow, "to": fast, "quantity": quantity, **summary(values)}
