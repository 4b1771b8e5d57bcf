"""What `speech-affect plot` draws, by numpy and matplotlib."""

from typing import TYPE_CHECKING

import numpy as np

from ..affect_result import DIMENSIONS
from ..audio import open_audio


if TYPE_CHECKING:
    from matplotlib.figure import Figure

PEAK_S, COLUMNS = 0.01, 1000
COLOURS = dict(zip(DIMENSIONS, ("#d95f02", "#1b9e77", "#7570b3"), strict=True))
DASHES = dict(zip(DIMENSIONS, ("-", "--", ":"), strict=True))
# after Russell, "A circumplex model of affect", 1980: (share along valence, share along activation, words)
REGIONS = (
    (0.25, 0.95, "tense, angry"),
    (0.75, 0.95, "excited, happy"),
    (0.25, 0.05, "sad, tired"),
    (0.75, 0.05, "calm, content"),
)
GREY, LIGHT = "#666666", "#dddddd"


def waveform(recording: str) -> tuple[np.ndarray, float]:
    """Return the largest absolute sample of each of up to 1,000 equal parts, 0 to 1, and the duration in seconds."""
    with open_audio(recording, 0) as audio:
        rate, count, peaks = audio.sampling_rate, 0, []
        width = max(1, round(PEAK_S * rate))
        for block in audio.blocks(1000 * width):
            count += len(block)
            peaks.append(np.maximum.reduceat(np.abs(block), range(0, len(block), width)))
    fine = np.concatenate(peaks or [np.zeros(1)])  # nothing is refused by the model
    edges = np.linspace(0, len(fine), min(COLUMNS, len(fine)) + 1).astype(int)[:-1]
    return np.maximum.reduceat(fine, edges), count / rate


def draw(
    windows: list[dict], whole: dict, peaks: np.ndarray, duration_s: float, limits: tuple[float, float]
) -> "Figure":
    """Draw the curve above the waveform, and beside them the plane, for a model that has both of its axes.

    Args:
        windows: Of the pipeline, in order; None is a gap.
        whole: The values of the whole recording.
        peaks: (columns,) largest absolute sample of each equal part of the time, 0 to 1.
        duration_s: Of the recording.
        limits: Lowest and highest value on the label scale.
    """
    from matplotlib.figure import Figure

    has_plane = {"valence", "activation"} <= whole.keys()
    figure = Figure(figsize=(11 if has_plane else 7, 4.2), layout="constrained")
    left, *right = figure.subfigures(1, 1 + has_plane, width_ratios=(1.9, 1)[: 1 + has_plane], squeeze=False)[0]
    curve, wave = left.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    _draw_curve(curve, windows, limits)
    _draw_waveform(wave, peaks, duration_s)
    if right:
        _draw_plane(right[0].subplots(), windows, whole, limits)
    return figure


def _draw_curve(axes, windows: list[dict], limits: tuple[float, float]) -> None:
    middles = [(window["start_s"] + window["end_s"]) / 2 for window in windows]
    for name in DIMENSIONS:
        if name in windows[0]:
            values = np.array([window[name] for window in windows], dtype=float)  # None becomes NaN, a gap
            axes.plot(middles, values, ls=DASHES[name], marker=".", ms=4, lw=1.6, color=COLOURS[name], label=name)
    _set_limits(axes.set_ylim, limits)
    axes.set_ylabel(f"value ({limits[0]:g} to {limits[1]:g})")
    axes.grid(color=LIGHT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=3, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def _draw_waveform(axes, peaks: np.ndarray, duration_s: float) -> None:
    times = (np.arange(len(peaks)) + 0.5) * duration_s / len(peaks)
    axes.fill_between(times, -peaks, peaks, color="#999999", lw=0)
    axes.set_xlim(0, duration_s)
    axes.set_ylabel("amplitude")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("time, s" if duration_s <= 120 else "time, min:s")
    if duration_s > 120:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 1.5, 3, 6, 10]))
        axes.xaxis.set_major_formatter(lambda seconds, _: f"{int(seconds) // 60}:{int(seconds) % 60:02}")


def _draw_plane(axes, windows: list[dict], whole: dict, limits: tuple[float, float]) -> None:
    low, high = limits
    axes.axhline((low + high) / 2, color="#bbbbbb", lw=0.8, zorder=0)
    axes.axvline((low + high) / 2, color="#bbbbbb", lw=0.8, zorder=0)
    for across, up, words in REGIONS:
        axes.text(across, up, words, ha="center", va="center", color=GREY, fontsize=9, transform=axes.transAxes)
    trail = np.array([(window["valence"], window["activation"]) for window in windows], dtype=float)
    axes.plot(*trail.T, color=LIGHT, lw=0.8, zorder=1)
    steps = axes.scatter(*trail.T, s=14, c=np.arange(len(trail)), cmap="viridis_r", linewidths=0, zorder=2)
    if len(trail) > 1:
        bar = axes.figure.colorbar(steps, ax=axes, location="bottom", shrink=0.6, aspect=30)
        bar.set_ticks([0, len(trail) - 1], labels=["start", "end"])
        bar.outline.set_visible(False)
    if whole["valence"] is not None:
        label = f"the whole (●): valence {whole['valence']:.1f}, activation {whole['activation']:.1f}"
        axes.plot(whole["valence"], whole["activation"], "o", ms=11, color="#333333", mec="white", mew=1.5, zorder=3)
        axes.set_title(label, fontsize=10)
    _set_limits(axes.set_xlim, limits)
    _set_limits(axes.set_ylim, limits)
    axes.set_aspect("equal")
    axes.set_xlabel("valence")
    axes.set_ylabel("activation")


def _set_limits(set_limits, limits: tuple[float, float]) -> None:
    margin = 0.03 * (limits[1] - limits[0])
    set_limits(limits[0] - margin, limits[1] + margin)
