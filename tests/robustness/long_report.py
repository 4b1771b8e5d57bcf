"""What is told of a long run: a table, a JSON file and a figure."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .growth import ALLOWED
from .process_watch import QUANTITIES
from .summary import SETTLING
from .verdict import OUTCOMES


TITLES = {
    "rss_mb": "resident memory / MB",
    "anonymous_mb": "of no file / MB",
    "pss_mb": "share of memory / MB",
    "file_handles": "file handles",
    "threads": "threads",
    "temporary_files": "temporary files",
}


def table(result: dict) -> str:
    """Per target a row per kind of request, and one per quantity that should not grow."""
    lines = []
    for name, load in result["targets"].items():
        lines.append(
            f"{name + ', requests':24}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES) + f"{'mean ms':>10}"
        )
        for kind, counted in load["outcomes"].items():
            cells = "".join(f"{counted[outcome] or '.':>9}" for outcome in OUTCOMES)
            lines.append(f"{kind:24}{cells}{1000 * load['mean_s'][kind]:10.1f}")
        lines.append(f"{load['requests']} in all")
        lines.append(f"{name + ', held':24}{'after warm-up':>15}{'at the end':>12}{'per 1000':>10}{'allowed':>9}")
        for quantity, growth in load["growth"].items():
            if growth is None:
                lines.append(f"{TITLES[quantity]:24}{'too little to tell':>46}")
                continue
            cells = f"{growth['first']:15.1f}{growth['last']:12.1f}{growth['per_1000']:+10.3f}"
            lines.append(f"{TITLES[quantity]:24}{cells}{ALLOWED[quantity][0]:9g}{'  LEAKS' * growth['leaks']}")
        lines.append("")
    return "\n".join(lines)


def write_json(path: Path, result: dict) -> None:
    """At once, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def draw(path: Path, result: dict) -> None:
    """A column per target, a row per quantity, over minutes; warm-up is shaded, what is fitted is dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    targets = {name: load for name, load in result["targets"].items() if load["samples"]}
    figure, panels = plt.subplots(
        len(QUANTITIES),
        max(1, len(targets)),
        figsize=(4.5 * max(1, len(targets)), 9),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for column, (name, load) in zip(panels.T, targets.items(), strict=True):
        samples = load["samples"]
        minutes = [sample["seconds"] / 60 for sample in samples]
        settled = next(n for n, each in enumerate(samples) if each["requests"] >= SETTLING * samples[-1]["requests"])
        for axes, quantity in zip(column, QUANTITIES, strict=True):
            axes.plot(minutes, [sample[quantity] for sample in samples], lw=0.8, color="#1b9e77")
            axes.axvspan(minutes[0], minutes[settled], color="#eeeeee", zorder=0)
            growth = load["growth"].get(quantity)
            if growth:
                colour = "#d62728" if growth["leaks"] else "#333333"
                axes.plot([minutes[settled], minutes[-1]], [growth["first"], growth["last"]], "--", color=colour)
            axes.set_ylabel(TITLES[quantity], fontsize=8)
            axes.set_ylim(bottom=0)
            axes.spines[["top", "right"]].set_visible(False)
        column[0].set_title(f"{name}: {load['requests']} requests", fontsize=10)
        column[-1].set_xlabel("minutes")
    temporary = path.with_suffix(".tmp")
    figure.savefig(temporary, format="png", dpi=110)
    plt.close(figure)
    os.replace(temporary, path)
