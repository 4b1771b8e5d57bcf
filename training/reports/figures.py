"""Figures of a run."""

from __future__ import annotations

from pathlib import Path

import matplotlib


matplotlib.use("Agg")  # no window: a run has no screen

import matplotlib.pyplot as plt
import numpy as np

from speech_affect import DIMENSIONS

from ..metrics.ccc.concordance import concordance_correlation
from ..settings.conditions import Condition
from .evaluation import Evaluation


COLOURS = dict(zip(DIMENSIONS, ("#d95f02", "#1b9e77", "#7570b3"), strict=True))


def draw_ccc(path: Path, systems: list[dict], split: str, corpus_name: str) -> None:
    """
    CCC by system, a panel per dimension: bars with 95% intervals and a dot per seed.

    Args:
        path: of the PNG.
        systems: as in `results.json`, top to bottom.
        split: to draw.
        corpus_name: for the title.
    """
    figure, panels = plt.subplots(
        1, len(DIMENSIONS), figsize=(9, 1.3 + 0.34 * len(systems)), layout="constrained", sharey=True
    )
    places = np.arange(len(systems))[::-1]
    for axes, dimension in zip(panels, DIMENSIONS, strict=True):
        scores = [system["splits"][split] for system in systems]
        values = np.array([score["ccc"][dimension] for score in scores])
        bounds = np.array([score["ci95"][dimension] for score in scores]).T
        axes.barh(places, values, 0.72, color=COLOURS[dimension], zorder=2)
        axes.errorbar(
            values, places, xerr=np.abs(bounds - values), fmt="none", ecolor="#333333", capsize=2.5, lw=1.1, zorder=3
        )
        for place, score in zip(places, scores, strict=True):
            seeds = score["ccc_per_seed"][dimension]
            axes.plot(seeds, [place] * len(seeds), "o", ms=3, mfc="white", mec="#333333", mew=0.8, zorder=4)
        axes.set_title(dimension, fontsize=10)
        axes.axvline(0, color="#333333", lw=0.8)
        axes.set_xlim(min(0.0, bounds[0].min() - 0.02), 1)
        axes.grid(axis="x", color="#dddddd", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(places, [system["name"] for system in systems])
    clips = systems[0]["splits"][split]["n"]
    figure.supxlabel(f"CCC on {corpus_name}, {split}, {clips} clips", fontsize=10)
    _save(figure, path)


def draw_scatter(path: Path, evaluations: dict[str, Evaluation], split: str, corpus: dict) -> None:
    """
    Predicted against labelled value of each clip (first seed), a row per system, with the identity line.

    Args:
        path: of the PNG.
        evaluations: per system.
        split: for the title.
        corpus: its description: name and label range.
    """
    low, high = corpus["label_range"]
    margin = 0.03 * (high - low)
    rows = len(evaluations)
    figure, grid = plt.subplots(
        rows, len(DIMENSIONS), figsize=(7.5, 2.5 * rows), layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    for axes_row, (name, evaluation) in zip(grid, evaluations.items(), strict=True):
        logits, labels = evaluation.logits[0], evaluation.labels
        ccc = concordance_correlation(logits, labels)
        for column, (axes, dimension) in enumerate(zip(axes_row, DIMENSIONS, strict=True)):
            axes.plot([low, high], [low, high], color="#999999", lw=1)
            axes.plot(labels[:, column], logits[:, column], "o", ms=3, alpha=0.5, mew=0, color=COLOURS[dimension])
            axes.set_title(f"{name}: {dimension}, {ccc[column]:.2f}", fontsize=8)
            axes.set_xlim(low - margin, high + margin)
            axes.set_ylim(low - margin, high + margin)
            axes.set_aspect("equal")
    figure.supxlabel(f"label ({corpus['name']}, {split}; numbers above are CCC)", fontsize=10)
    figure.supylabel("prediction", fontsize=10)
    _save(figure, path)


def draw_circumplex(path: Path, evaluations: dict[str, Evaluation], split: str, corpus: dict) -> None:
    """
    Where clips lie on the plane of valence and activation: the labels, and each system's predictions (first seed).

    A clip has the colour of its label's place, so that one sees where predictions carry it.

    Args:
        path: of the PNG.
        evaluations: per system.
        split: for the title.
        corpus: its description: name and label range.
    """
    low, high = corpus["label_range"]
    middle, margin = (low + high) / 2, 0.03 * (high - low)
    labels = next(iter(evaluations.values())).labels
    panels = {"labels": labels, **{name: evaluation.logits[0] for name, evaluation in evaluations.items()}}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(2.9 * columns, 3.0 * rows),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    colours = _circumplex_colours(labels, low, high)
    jitter = np.random.default_rng(0).normal(0, 0.012 * (high - low), labels.shape)  # graded labels coincide
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(grid.flat, panels.items(), strict=False):
        shown = values + jitter if name == "labels" else values
        axes.axhline(middle, color="#bbbbbb", lw=0.8, zorder=0)
        axes.axvline(middle, color="#bbbbbb", lw=0.8, zorder=0)
        axes.scatter(shown[:, 1], shown[:, 0], s=11, c=colours, alpha=0.75, linewidths=0)
        axes.set_title(name, fontsize=10)
        axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(low - margin, high + margin)
        axes.set_aspect("equal")
    figure.supxlabel(f"valence ({corpus['name']}, {split})", fontsize=10)
    figure.supylabel("activation", fontsize=10)
    _save(figure, path)


def _circumplex_colours(labels: np.ndarray, low: float, high: float) -> np.ndarray:
    """A hue per direction from the middle of the plane, greyer towards it."""
    activation, valence = ((labels[:, i] - (low + high) / 2) / ((high - low) / 2) for i in (0, 1))
    hue = (np.arctan2(activation, valence) / (2 * np.pi)) % 1
    saturation = np.clip(np.hypot(activation, valence) * 1.4, 0.05, 1)
    return matplotlib.colors.hsv_to_rgb(np.stack([hue, saturation, np.full_like(hue, 0.8)], axis=1))


def draw_conditions(path: Path, systems: list[dict], split: str, corpus_name: str) -> None:
    """
    CCC under noise and in rooms as curves: a row per kind, a column per dimension, a line per system.

    Args:
        path: of the PNG.
        systems: as in `results.json`, each with `conditions` of the split.
        split: to draw.
        corpus_name: for the title.
    """
    kinds = _by_kind(systems[0]["conditions"][split])
    figure, grid = plt.subplots(
        len(kinds), len(DIMENSIONS), figsize=(9, 2.5 * len(kinds)), layout="constrained", squeeze=False, sharey=True
    )
    for axes_row, (kind, values) in zip(grid, kinds.items(), strict=True):
        ticks = ["clean", *(f"{value:g}" for value in values)]
        for axes, dimension in zip(axes_row, DIMENSIONS, strict=True):
            for system in systems:
                conditions = system["conditions"][split]
                scores = [system["splits"][split], *(conditions[_condition_name(kind, value)] for value in values)]
                mean = np.array([score["ccc"][dimension] for score in scores])
                spread = np.array([score["ccc_std_over_seeds"][dimension] for score in scores])
                (line,) = axes.plot(range(len(ticks)), mean, "o-", ms=4, lw=1.5, label=system["name"])
                axes.fill_between(range(len(ticks)), mean - spread, mean + spread, color=line.get_color(), alpha=0.15)
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_title(dimension, fontsize=10)
            axes.grid(color="#dddddd")
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlabel("reverberation time, s" if kind == "room" else f"{kind} noise, signal-to-noise ratio, dB")
        axes_row[0].set_ylabel("CCC")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False)
    figure.suptitle(f"{corpus_name}, {split}: mean and spread over seeds", fontsize=10)
    _save(figure, path)


def _by_kind(conditions: dict) -> dict[str, list[float]]:
    """Names such as `babble_5db` and `room_0.6s`: per kind the values, the mildest first."""
    kinds: dict[str, list[float]] = {}
    for name in conditions:
        kind, value = name.split("_")
        kinds.setdefault(kind, []).append(float(value.rstrip("dbs")))
    return {kind: sorted(values, reverse=kind != "room") for kind, values in kinds.items()}


def _condition_name(kind: str, value: float) -> str:
    return Condition(kind, value).name


def _save(figure, path: Path) -> None:
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=150, format="png")
    plt.close(figure)
    temporary.replace(path)
