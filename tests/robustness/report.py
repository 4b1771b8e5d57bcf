"""What is told of a run while it goes on and when it is over."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from .summary import GROWTH_BYTES_PER_CALL, counts, failures, growth_bytes_per_call
from .supervisor import Verdict
from .verdict import FAILED


SHOWN = 40  # failures printed; the JSON file has all
EVERY = 2000  # verdicts between two lines of progress


def tell_progress(total: int, alone: bool) -> Callable[[Verdict], None]:
    """
    Args:
        total: verdicts to come.
        alone: tell each in full.
    """
    told = 0

    def tell(verdict: Verdict) -> None:
        nonlocal told
        told += 1
        if alone:
            print(f"{verdict.target:10} {verdict.outcome:8} {verdict.what}\n{'':20}{verdict.message}")
        elif told % EVERY == 0:
            print(f"{told} of {total}", file=sys.stderr, flush=True)

    return tell


def disagreements(verdicts: list[Verdict]) -> list[Verdict]:
    """The ONNX file's verdicts where it did not do what the pipeline did, as failures."""
    of_pipeline = {verdict.index: verdict.outcome for verdict in verdicts if verdict.target == "pipeline"}
    found = []
    for verdict in verdicts:
        expected = of_pipeline.get(verdict.index, FAILED) if verdict.target == "onnx" else verdict.outcome
        if verdict.outcome != expected and FAILED not in (verdict.outcome, expected):
            message = f"{verdict.outcome}, where the pipeline's outcome is {expected}: {verdict.message}"
            found.append(replace(verdict, outcome=FAILED, message=message))
    return found


def result_of(verdicts: list[Verdict], seed: int, workers: int, seconds: float) -> dict:
    """All that is known of a run, as JSON has it."""
    growth = growth_bytes_per_call(verdicts) if workers == 1 else None
    failed = [verdict.as_dict() for verdict in failures(verdicts) + disagreements(verdicts)]
    if growth is not None and growth > GROWTH_BYTES_PER_CALL:
        failed.append({"message": f"memory grows by {growth / 1024:.0f} kB a call"})
    return {
        "schema_version": 1,
        "seed": seed,
        "cases": len({verdict.index for verdict in verdicts}),
        "seconds": round(seconds, 1),
        "most_bytes": max(verdict.taken_bytes for verdict in verdicts),
        "growth_bytes_per_call": growth,
        "counts": counts(verdicts),
        "failures": failed,
    }


def print_failures(result: dict) -> None:
    """Each failure with the command that repeats it, and the figures of the whole."""
    failed = result["failures"]
    for failure in failed[:SHOWN]:
        if "index" in failure:
            print(f"FAILED {failure['target']}, {failure['kind']}: {failure['what']}\n    {failure['message']}")
            print(f"    repeat: --seed {result['seed']} --case {failure['index']}")
        else:
            print(f"FAILED {failure['message']}")
    growth = result["growth_bytes_per_call"]
    held = "" if growth is None else f", memory grows by {growth / 1024:.1f} kB a call"
    most = result["most_bytes"] >> 20
    print(f"{result['cases']} cases, {len(failed)} failures, {result['seconds']} s, at most {most} MB for one{held}")
