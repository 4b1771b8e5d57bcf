"""Tables and JSON files of robustness results; `python tests/robustness/report.py` prints those of tests/README.md."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path


RESULTS = Path(__file__).resolve().parent / "results"
OUTCOMES = ("values", "silence", "refused", "FAILED")
FAILED = OUTCOMES[-1]
COMMON_FORMATS = ("wav,", "flac,", "vorbis,", "opus,", "mp3,")
SETTLING = 0.3  # share of the calls after which memory should no longer grow
GROWTH_BYTES_PER_CALL = 32 << 10
FEWEST_CALLS = 2000  # below which growth is not estimated


def read_results(name: str) -> dict:
    """What a command wrote with `--output tests/robustness/results/NAME.json`."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def growth_bytes_per_call(verdicts: list) -> float | None:
    """Slope of the memory held over the later calls of one worker; None for too few."""
    import numpy as np

    held = [verdict.held_bytes for verdict in verdicts]
    held = held[int(len(held) * SETTLING) :]
    if len(held) < FEWEST_CALLS or not all(held):
        return None
    return float(np.polyfit(range(len(held)), held, 1)[0])


def disagreements(verdicts: list) -> list:
    """Verdicts of the ONNX file whose outcome differs from the pipeline's, as failures."""
    of_pipeline = {verdict.index: verdict.outcome for verdict in verdicts if verdict.target == "pipeline"}
    found = []
    for verdict in verdicts:
        expected = of_pipeline.get(verdict.index, FAILED) if verdict.target == "onnx" else verdict.outcome
        if verdict.outcome != expected and FAILED not in (verdict.outcome, expected):
            message = f"{verdict.outcome}, where the pipeline's outcome is {expected}: {verdict.message}"
            found.append(replace(verdict, outcome=FAILED, message=message))
    return found


def audio_result(verdicts: list, seed: int, workers: int, seconds: float) -> dict:
    """The JSON of a run of hostile audio."""
    growth = growth_bytes_per_call(verdicts) if workers == 1 else None
    failed = [verdict for verdict in verdicts if verdict.outcome == FAILED] + disagreements(verdicts)
    failures = [verdict.as_dict() for verdict in failed]
    if growth is not None and growth > GROWTH_BYTES_PER_CALL:
        failures.append({"message": f"memory grows by {growth / 1024:.0f} kB a call"})
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for verdict in verdicts:
        by_target = counts.setdefault(verdict.kind, {})
        by_target.setdefault(verdict.target, dict.fromkeys(OUTCOMES, 0))[verdict.outcome] += 1
    return {
        "schema_version": 1,
        "seed": seed,
        "cases": len({verdict.index for verdict in verdicts}),
        "seconds": round(seconds, 1),
        "most_bytes": max(verdict.taken_bytes for verdict in verdicts),
        "growth_bytes_per_call": growth,
        "counts": counts,
        "failures": failures,
    }


def _totals(by_target: dict[str, dict[str, int]]) -> Counter:
    return sum((Counter(outcomes) for outcomes in by_target.values()), Counter())


def audio_line(result: dict) -> str:
    """A run of hostile audio in one sentence."""
    total = sum(map(_totals, result["counts"].values()), Counter())
    targets = len(next(iter(result["counts"].values())))
    outcomes = ", ".join(f"{total[name]:,} {name}" for name in OUTCOMES[:-1])
    return (
        f"{result['cases']:,} cases, {targets} targets each: {outcomes}, {len(result['failures'])} failed; "
        f"at most {result['most_bytes'] >> 20} MB for one of them."
    )


def audio_table(result: dict) -> str:
    """Markdown table: how often each outcome came of each kind of case, over all targets and the common formats."""
    totals: dict[str, Counter] = {}
    for kind, by_target in result["counts"].items():
        name = f"five formats, {kind.split(', ')[1]}" if kind.startswith(COMMON_FORMATS) else kind
        totals[name] = totals.get(name, Counter()) + _totals(by_target)
    lines = ["| kind of case | values | silence | refused | failed |", "|---|---|---|---|---|"]
    lines += [
        f"| {kind} | " + " | ".join(f"{total[name]:,}" for name in OUTCOMES) + " |" for kind, total in totals.items()
    ]
    return "\n".join(lines)


def faults_table(result: dict) -> str:
    """Markdown table: per fault, the number of points and what came of them; kills by what the run was doing."""
    by_fault: dict[str, list[dict]] = {}
    for point in result["points"]:
        words = point["fault"].split()
        by_fault.setdefault(" ".join(words[:2]) if words[0] == "killed:" else point["fault"], []).append(point)
    lines = [
        "| fault | points | ended as an undisturbed run | of these refused at first | failed |",
        "|---|---|---|---|---|",
    ]
    for fault, points in by_fault.items():
        failed = sum(point["failure"] is not None for point in points)
        refused = sum(point["refusal"] is not None and point["failure"] is None for point in points)
        lines.append(f"| {fault} | {len(points)} | {len(points) - failed} | {refused} | {failed} |")
    return "\n".join(lines)


def long_run_table(result: dict) -> str:
    """Markdown table: per target of a long run its requests, and what it held after warm-up and at the end."""
    minutes = f"{result['minutes']:.0f} minutes of mixed requests"
    lines = [f"| {minutes} | requests | wrong or failed | resident memory | file handles |", "|---|---|---|---|---|"]
    for name, load in result["targets"].items():
        cells = [name, f"{load['requests']:,}", str(len(load["failures"]))]
        for held, unit in (("rss_mb", " MB"), ("file_handles", "")):
            growth = load["growth"][held]
            cells.append(f"{growth['first']:.0f} to {growth['last']:.0f}{unit}" if growth else "too little to tell")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    audio = read_results("hostile_audio")
    tables = audio_line(audio), audio_table(audio), faults_table(read_results("faults"))
    print(*tables, long_run_table(read_results("long_run")), sep="\n\n")
