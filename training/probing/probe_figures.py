"""Figures of a probe."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from speech_affect import DIMENSIONS

from ..reports.figures import COLOURS, save_figure  # sets a backend that needs no screen


# a hidden state of 48 layers would crowd the axis
MOST_TICKS = 16


def draw_layers(path: Path, result: dict, split: str) -> None:
    """Draw CCC by hidden state, a line for each dimension, with a mark at the state that development chose.

    Args:
        path: PNG to write.
        result: As in `probe_<encoder>.json`.
        split: Split to draw.
    """
    rows = [row for row in result["layers"] if row["split"] == split]
    states = [row["hidden_state"] for row in rows]
    figure, axes = _draw_lines(result, rows, "ridge regression on the utterance's mean hidden state")
    axes.axvline(result["best_hidden_state"], color="#bbbbbb", lw=6, alpha=0.5, zorder=1, label="best on development")
    axes.set_xticks(states[:: -(-len(states) // MOST_TICKS)])
    axes.set_xlabel("hidden state (0 is the input to the first layer)")
    _finish(figure, axes, path)


def draw_subspace(path: Path, result: dict, split: str) -> None:
    """Draw CCC against the number of highest ranked dimensions kept of the best hidden state, as [`draw_layers`]."""
    rows = [row for row in result["subspace"] if row["split"] == split]
    about = f"ridge regression on dimensions of hidden state {result['best_hidden_state']}"
    figure, axes = _draw_lines(result, rows, about)
    # not to scale: the last step is shorter than a doubling, too short for its label
    axes.set_xticks(range(len(rows)), [str(row["dimensions"]) for row in rows])
    axes.set_xlabel("highest ranked dimensions kept")
    _finish(figure, axes, path)


def _draw_lines(result: dict, rows: Sequence[dict], about: str):
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for dimension in DIMENSIONS:
        values = [row["ccc"][dimension] for row in rows]
        if None in values:  # too few clips were rated
            continue
        axes.plot(values, "o-", ms=4, lw=1.5, color=COLOURS[dimension], label=dimension, zorder=3)
    axes.plot(
        np.array([row["ccc"]["mean"] for row in rows], dtype=float),
        "--",
        lw=1.2,
        color="#333333",
        label="mean",
        zorder=2,
    )
    split = rows[0]["split"]
    axes.set_title(f"{result['name']}, {split}, {result['clips'][split]} clips\n{about}", fontsize=10)
    return figure, axes


def _finish(figure, axes, path: Path) -> None:
    axes.set_ylabel("CCC")
    axes.axhline(0, color="#333333", lw=0.8)
    axes.grid(color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    style = {"frameon": False, "ncols": 5, "fontsize": 9, "columnspacing": 1, "handlelength": 1.5}
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", **style)
    save_figure(figure, path)
