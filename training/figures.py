"""Figures of a run."""

from __future__ import annotations

from pathlib import Path

import matplotlib


matplotlib.use("Agg")  # no window: a run has no screen

import matplotlib.pyplot as plt
import numpy as np

from corpora.corpus import DIMENSIONS
from metrics.ccc.concordance import concordance_correlation


COLOURS = dict(zip(DIMENSIONS, ("#d95f02", "#1b9e77", "#7570b3"), strict=True))


def draw_ccc(path: Path, systems: list[dict], split: str, corpus_name: str) -> None:
    """
    Bars of CCC by system and dimension, with 95% intervals and a dot per seed.

    Args:
        path: of the PNG.
        systems: as in `results.json`.
        split: to draw.
        corpus_name: for the title.
    """
    figure, axes = plt.subplots(figsize=(2.2 + 1.35 * len(systems), 4.2), layout="constrained")
    places, width = np.arange(len(systems)), 0.26
    for offset, dimension in zip((-width, 0, width), DIMENSIONS, strict=True):
        scores = [system["splits"][split] for system in systems]
        values = np.array([score["ccc"][dimension] for score in scores])
        bounds = np.array([score["ci95"][dimension] for score in scores]).T
        error = np.abs(bounds - values)
        axes.bar(places + offset, values, width * 0.94, color=COLOURS[dimension], label=dimension, zorder=2)
        axes.errorbar(places + offset, values, error, fmt="none", ecolor="#333333", capsize=3, lw=1.1, zorder=3)
        for place, score in zip(places, scores, strict=True):
            seeds = score["ccc_per_seed"][dimension]
            axes.plot([place + offset] * len(seeds), seeds, "o", ms=3, mfc="white", mec="#333333", mew=0.8, zorder=4)
    axes.set_xticks(places, [system["name"] for system in systems])
    axes.set_ylabel("CCC")
    axes.set_title(f"{corpus_name}, {split}, {systems[0]['splits'][split]['n']} clips", fontsize=10)
    axes.axhline(0, color="#333333", lw=0.8)
    axes.grid(axis="y", color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    _save(figure, path)


def draw_scatter(path: Path, predictions: dict, split: str, corpus: dict) -> None:
    """
    Predicted against labelled value of each clip (first seed), a row per system, with the identity line.

    Args:
        path: of the PNG.
        predictions: per system (seeds, clips, 3) and labels (clips, 3).
        split: for the title.
        corpus: its description: name and label range.
    """
    low, high = corpus["label_range"]
    margin = 0.03 * (high - low)
    rows = len(predictions)
    figure, grid = plt.subplots(
        rows, len(DIMENSIONS), figsize=(7.5, 2.5 * rows), layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    for axes_row, (name, (runs, labels)) in zip(grid, predictions.items(), strict=True):
        ccc = concordance_correlation(runs[0], labels)
        for column, (axes, dimension) in enumerate(zip(axes_row, DIMENSIONS, strict=True)):
            axes.plot([low, high], [low, high], color="#999999", lw=1)
            axes.plot(labels[:, column], runs[0][:, column], "o", ms=3, alpha=0.5, mew=0, color=COLOURS[dimension])
            axes.set_title(f"{name}: {dimension}, {ccc[column]:.2f}", fontsize=8)
            axes.set_xlim(low - margin, high + margin)
            axes.set_ylim(low - margin, high + margin)
            axes.set_aspect("equal")
    figure.supxlabel(f"label ({corpus['name']}, {split}; numbers above are CCC)", fontsize=10)
    figure.supylabel("prediction", fontsize=10)
    _save(figure, path)


def _save(figure, path: Path) -> None:
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=150, format="png")
    plt.close(figure)
    temporary.replace(path)
