"""Figures of a probe."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from speech_affect import DIMENSIONS

from ..reports.figures import COLOURS  # sets a backend that needs no screen


MEAN_COLOUR = "#333333"
# a hidden state of 48 layers would crowd the axis
MOST_TICKS = 16


def draw_layers(path: Path, result: dict, split: str) -> None:
    """
    CCC by hidden state, a line per dimension; the state that development chose is marked.

    Args:
        path: of the PNG.
        result: as in `probe_<encoder>.json`.
        split: to draw.
    """
    rows = [row for row in result["layers"] if row["split"] == split]
    states = [row["hidden_state"] for row in rows]
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    _draw_lines(axes, states, rows)
    axes.axvline(result["best_hidden_state"], color="#bbbbbb", lw=6, alpha=0.5, zorder=1, label="best on development")
    axes.set_xticks(states[:: -(-len(states) // MOST_TICKS)])
    axes.set_xlabel("hidden state (0 is the input to the first layer)")
    axes.set_title(f"{_heading(result, split)}\nridge regression on the utterance's mean hidden state", fontsize=10)
    _finish(figure, axes, path)


def draw_subspace(path: Path, result: dict, split: str) -> None:
    """
    CCC against the number of most salient dimensions kept of the best hidden state.

    Args:
        path: of the PNG.
        result: as in `probe_<encoder>.json`.
        split: to draw.
    """
    rows = [row for row in result["subspace"] if row["split"] == split]
    sizes = [row["dimensions"] for row in rows]
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    places = list(range(len(sizes)))  # not to scale: the last step is shorter than a doubling, too short for its label
    _draw_lines(axes, places, rows)
    axes.set_xticks(places, [str(size) for size in sizes])
    axes.set_xlabel("most salient dimensions kept")
    axes.set_title(
        f"{_heading(result, split)}\nridge regression on dimensions of hidden state {result['best_hidden_state']}",
        fontsize=10,
    )
    _finish(figure, axes, path)


def _heading(result: dict, split: str) -> str:
    return f"{result['name']}, {split}, {result['clips'][split]} clips"


def _draw_lines(axes, places: list[int], rows: list[dict]) -> None:
    for dimension in DIMENSIONS:
        values = [row["ccc"][dimension] for row in rows]
        axes.plot(places, values, "o-", ms=4, lw=1.5, color=COLOURS[dimension], label=dimension, zorder=3)
    mean = [row["ccc"]["mean"] for row in rows]
    axes.plot(places, mean, "--", lw=1.2, color=MEAN_COLOUR, label="mean", zorder=2)


def _finish(figure, axes, path: Path) -> None:
    axes.set_ylabel("CCC")
    axes.axhline(0, color="#333333", lw=0.8)
    axes.grid(color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        frameon=False,
        ncols=5,
        loc="outside lower center",
        fontsize=9,
        columnspacing=1,
        handlelength=1.5,
    )
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=150, format="png")
    plt.close(figure)
    temporary.replace(path)
