"""`python tests/robustness/results_tables.py`: what README says of robustness, from files of results."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path


RESULTS = Path(__file__).resolve().parent / "results"
OUTCOMES = ("values", "silence", "refused", "FAILED")


def read_results(name: str) -> dict:
    """What a command wrote by `--output tests/robustness/results/NAME.json`."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def audio_line(result: dict) -> str:
    """The whole run of hostile audio in one sentence."""
    by_outcome = Counter()
    for by_target in result["counts"].values():
        for outcomes in by_target.values():
            by_outcome.update(outcomes)
    targets = len(next(iter(result["counts"].values())))
    told = ", ".join(f"{by_outcome[name]:,} {name}" for name in OUTCOMES[:-1])
    return (
        f"{result['cases']:,} cases, {targets} targets each: {told}, {len(result['failures'])} failed; "
        f"at most {result['most_bytes'] >> 20} MB for one of them."
    )


def audio_table(result: dict) -> str:
    """Markdown: how often each outcome came of each kind of case, over all targets."""
    lines = ["| kind of case | values | silence | refused | failed |", "|---|---|---|---|---|"]
    for kind, by_target in result["counts"].items():
        total = Counter()
        for outcomes in by_target.values():
            total.update(outcomes)
        lines.append(f"| {kind} | " + " | ".join(f"{total[name]:,}" for name in OUTCOMES) + " |")
    return "\n".join(lines)


def faults_table(result: dict) -> str:
    """Markdown: per fault, how often it struck, and what came of it."""
    lines = [
        "| fault | points | ended as an undisturbed run | of these refused at first | failed |",
        "|---|---|---|---|---|",
    ]
    kinds = dict.fromkeys(point["fault"] for point in result["points"])
    for kind in kinds:
        points = [point for point in result["points"] if point["fault"] == kind]
        failed = sum(point["failure"] is not None for point in points)
        refused = sum(point["refusal"] is not None and point["failure"] is None for point in points)
        lines.append(f"| {kind} | {len(points)} | {len(points) - failed} | {refused} | {failed} |")
    return "\n".join(lines)


def long_run_table(result: dict) -> str:
    """Markdown: per target of a long run what was asked, and what it held after the warm-up and at the end."""
    minutes = f"{result['minutes']:.0f} minutes of mixed requests"
    lines = [f"| {minutes} | requests | wrong or failed | resident memory | file handles |", "|---|---|---|---|---|"]
    for name, load in result["targets"].items():
        memory, handles = (load["growth"][held] for held in ("rss_mb", "file_handles"))
        cells = (
            name,
            f"{load['requests']:,}",
            len(load["failures"]),
            f"{memory['first']:.0f} to {memory['last']:.0f} MB",
            f"{handles['first']:.0f} to {handles['last']:.0f}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    audio = read_results("hostile_audio")
    print(audio_line(audio), audio_table(audio), faults_table(read_results("faults")), sep="\n\n")
    print(f"\n{long_run_table(read_results('long_run'))}")
