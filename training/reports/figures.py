"""Figures of a run."""

from pathlib import Path

import matplotlib


matplotlib.use("Agg")  # no window: a run has no screen

import matplotlib.pyplot as plt
import numpy as np

from speech_affect import DIMENSIONS

from ..files import atomic_path
from ..metrics.rated import concordance_within
from ..settings.conditions import Condition
from .evaluation import Evaluation
from .tables import LISTENER, NOT_RATED, as_shown, clips_name, heading, listener_ccc


COLOURS = dict(zip(DIMENSIONS, ("#d95f02", "#1b9e77", "#7570b3"), strict=True))


def save_figure(figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all, and close it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    plt.close(figure)


def draw_ccc(path: Path, systems: list[dict], split: str, corpus: dict) -> None:
    """Draw CCC by system, a panel for each dimension: bars with 95% intervals and a dot for each seed.

    Args:
        path: PNG to write.
        systems: As in `results.json`, top to bottom.
        split, corpus: What is drawn, also for the title.
    """
    figure, panels = plt.subplots(
        1, len(DIMENSIONS), figsize=(9, 1.3 + 0.34 * len(systems)), layout="constrained", sharey=True
    )
    places = np.arange(len(systems))[::-1]
    scores, listeners = [system["splits"][split] for system in systems], listener_ccc(split, corpus)
    lines = []
    for axes, dimension in zip(panels, DIMENSIONS, strict=True):
        axes.set_title(heading(dimension, as_shown(corpus, split)), fontsize=10)
        if scores[0]["ccc"][dimension] is None:
            axes.text(0.5, 0.5, NOT_RATED, ha="center", transform=axes.transAxes)
            axes.set_xticks([])
            continue
        values = np.array([score["ccc"][dimension] for score in scores])
        bounds = np.array([score["ci95"][dimension] for score in scores]).T
        axes.barh(places, values, 0.72, color=COLOURS[dimension], zorder=2)
        axes.errorbar(
            values, places, xerr=np.abs(bounds - values), fmt="none", ecolor="#333333", capsize=2.5, lw=1.1, zorder=3
        )
        for place, score in zip(places, scores, strict=True):
            seeds = score["ccc_per_seed"][dimension]
            axes.plot(seeds, [place] * len(seeds), "o", ms=3, mfc="white", mec="#333333", mew=0.8, zorder=4)
        axes.axvline(0, color="#333333", lw=0.8)
        if listeners and listeners[dimension] is not None:
            lines = [axes.axvline(listeners[dimension], color="#333333", ls="--", lw=1.3, label=LISTENER, zorder=5)]
        axes.set_xlim(min(0.0, bounds[0].min() - 0.02), 1)
        axes.grid(axis="x", color="#dddddd", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    if lines:
        figure.legend(handles=lines, loc="outside upper right", frameon=False, fontsize=8)
    panels[0].set_yticks(places, [system["name"] for system in systems])
    figure.supxlabel(f"CCC on {clips_name(split, corpus)}, {scores[0]['n']} clips", fontsize=10)
    save_figure(figure, path)


def draw_scatter(path: Path, evaluations: dict[str, Evaluation], split: str, corpus: dict) -> None:
    """Draw the prediction against the label of each clip (first seed), a row for each system."""
    figure, grid = _label_panels(len(evaluations), len(DIMENSIONS), (7.5, 2.5 * len(evaluations)))
    for axes_row, (name, evaluation) in zip(grid, evaluations.items(), strict=True):
        logits, labels = evaluation.logits[0], evaluation.labels
        ccc = concordance_within(logits, labels, evaluation.table.corpora)
        for column, (axes, dimension) in enumerate(zip(axes_row, DIMENSIONS, strict=True)):
            axes.plot(corpus["label_range"], corpus["label_range"], color="#999999", lw=1)
            axes.plot(labels[:, column], logits[:, column], "o", ms=3, alpha=0.5, mew=0, color=COLOURS[dimension])
            value = NOT_RATED if np.isnan(ccc[column]) else f"{ccc[column]:.2f}"
            axes.set_title(f"{name}: {heading(dimension, as_shown(corpus, split))}, {value}", fontsize=8)
            _set_label_limits(axes, corpus["label_range"])
    figure.supxlabel(f"label ({clips_name(split, corpus)}; numbers above are CCC)", fontsize=10)
    figure.supylabel("prediction", fontsize=10)
    save_figure(figure, path)


def draw_circumplex(path: Path, evaluations: dict[str, Evaluation], split: str, corpus: dict) -> None:
    """Draw clips on the plane of valence and activation: the labels, and each system's predictions (first seed).

    In every panel a clip has the colour of its label's place, which shows where predictions move it. Clips without a
    rating of both are left out; without any there is no figure.
    """
    low, high = corpus["label_range"]
    labels = next(iter(evaluations.values())).labels
    rated = ~np.isnan(labels[:, :2]).any(axis=1)
    if not rated.any():
        return
    labels = labels[rated]
    jitter = np.random.default_rng(0).normal(0, 0.012 * (high - low), labels.shape)  # graded labels coincide
    panels = {"labels": labels + jitter, **{name: one.logits[0][rated] for name, one in evaluations.items()}}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = _label_panels(rows, columns, (2.9 * columns, 3.0 * rows))
    colours = _circumplex_colours(labels, low, high)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(grid.flat, panels.items(), strict=False):
        axes.axhline((low + high) / 2, color="#bbbbbb", lw=0.8, zorder=0)
        axes.axvline((low + high) / 2, color="#bbbbbb", lw=0.8, zorder=0)
        axes.scatter(values[:, 1], values[:, 0], s=11, c=colours, alpha=0.75, linewidths=0)
        axes.set_title(name, fontsize=10)
        _set_label_limits(axes, corpus["label_range"])
    figure.supxlabel(f"valence ({clips_name(split, corpus)})", fontsize=10)
    figure.supylabel("activation", fontsize=10)
    save_figure(figure, path)


def _label_panels(rows: int, columns: int, size: tuple[float, float]):
    return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, sharex=True, sharey=True)


def _set_label_limits(axes, label_range: tuple[float, float]) -> None:
    low, high = label_range
    margin = 0.03 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(low - margin, high + margin)
    axes.set_aspect("equal")


def _circumplex_colours(labels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return a hue for each direction from the middle of the plane, greyer towards it."""
    activation, valence = ((labels[:, i] - (low + high) / 2) / ((high - low) / 2) for i in (0, 1))
    hue = (np.arctan2(activation, valence) / (2 * np.pi)) % 1
    saturation = np.clip(np.hypot(activation, valence) * 1.4, 0.05, 1)
    return matplotlib.colors.hsv_to_rgb(np.stack([hue, saturation, np.full_like(hue, 0.8)], axis=1))


def draw_conditions(path: Path, systems: list[dict], split: str, corpus: dict) -> None:
    """Draw CCC under noise and in rooms: a row for each kind, a column for each dimension, a line for each system."""
    kinds: dict[str, list[Condition]] = {}
    for condition in map(Condition.parse, systems[0]["conditions"][split]):
        kinds.setdefault(condition.kind, []).append(condition)
    figure, grid = plt.subplots(
        len(kinds), len(DIMENSIONS), figsize=(9, 2.5 * len(kinds)), layout="constrained", squeeze=False, sharey=True
    )
    for axes_row, (kind, conditions) in zip(grid, kinds.items(), strict=True):
        conditions.sort(key=lambda condition: condition.value, reverse=kind != "room")  # the mildest first
        for axes, dimension in zip(axes_row, DIMENSIONS, strict=True):
            for system in systems:
                tested = system["conditions"][split]
                scores = [system["splits"][split], *(tested[condition.name] for condition in conditions)]
                # None, of what nobody rated, becomes NaN, which is not drawn
                mean = np.array([score["ccc"][dimension] for score in scores], dtype=float)
                spread = np.array([score["ccc_std_over_seeds"][dimension] for score in scores], dtype=float)
                (line,) = axes.plot(range(len(mean)), mean, "o-", ms=4, lw=1.5, label=system["name"])
                axes.fill_between(range(len(mean)), mean - spread, mean + spread, color=line.get_color(), alpha=0.15)
            axes.set_xticks(range(len(mean)), ["clean", *(f"{condition.value:g}" for condition in conditions)])
            axes.set_title(heading(dimension, as_shown(corpus, split)), fontsize=10)
            axes.grid(color="#dddddd")
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlabel("reverberation time, s" if kind == "room" else f"{kind} noise, signal-to-noise ratio, dB")
        axes_row[0].set_ylabel("CCC")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False)
    figure.suptitle(f"{clips_name(split, corpus)}: mean and spread over seeds", fontsize=10)
    save_figure(figure, path)
