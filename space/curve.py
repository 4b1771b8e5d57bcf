"""Waveform and the three values over time, with the numbers that a pointer reads from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import numpy as np
from upload import clock


# stretched to whatever room the page has; texts stand beside it, so that a phone does not shrink them
WIDTH, HEIGHT, WAVE, TOP = 1000, 300, 60, 76
DIMENSIONS = ("activation", "valence", "dominance")
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def curve_html(
    windows: Sequence[dict],
    duration_s: float,
    peaks: np.ndarray | None,
    label_range: tuple[float, float],
    plays: bool = True,
) -> str:
    """
    Args:
        windows: of the pipeline; a window's values stand at its middle, and None is a gap.
        duration_s: of the recording, in seconds.
        peaks: (columns,) loudest sample of each equal part, 0 to 1; None for no waveform.
        label_range: of the values.
        plays: whether there is a recording to play.

    Returns:
        HTML with an `<svg>`, whose `data-points` are `[second, activation, valence, dominance]` of each window, as
        JSON.
    """
    points = [[_middle(window), *(window[name] for name in DIMENSIONS)] for window in windows]
    data = escape(json.dumps({"duration_s": duration_s, "points": points}))
    keys = "Arrow keys read the values" + (", Enter plays." if plays else ".")
    words = f"Activation, valence and dominance over {clock(duration_s)}. {keys}"
    attributes = (
        f'tabindex="0" role="slider" aria-label="{words}" aria-valuemin="0" aria-valuemax="{duration_s:.2f}" '
        f'aria-valuenow="0" data-points="{data}"{" data-plays" * plays}'
    )
    from_y = WAVE if peaks is None else 0
    drawing = "" if peaks is None else _waveform(peaks)
    drawing += "".join(_line(windows, name, duration_s, label_range) for name in DIMENSIONS)
    drawing += f'<path class="cursor" d="M0 {from_y}V{HEIGHT}" visibility="hidden"/>'
    return _chart(drawing, attributes, duration_s, label_range, from_y)


def _chart(drawing: str, attributes: str, duration_s: float, label_range: tuple[float, float], from_y: int) -> str:
    (low, high), height, levels, grid = label_range, HEIGHT - from_y, [], []
    for value in (high, (low + high) / 2, low):
        y = _height(value, label_range)
        levels.append(f'<span style="top:{100 * (y - from_y) / height:.1f}%">{value:g}</span>')
        grid.append(f'<path class="grid" d="M0 {y:g}H{WIDTH}"/>')
    times = "".join(f"<span>{_time(tick * duration_s, duration_s)}</span>" for tick in TICKS)
    return (
        f'<div class="chart"><div class="levels" aria-hidden="true">{"".join(levels)}</div>'
        f'<svg viewBox="0 {from_y} {WIDTH} {height}" preserveAspectRatio="none" {attributes}>{"".join(grid)}{drawing}'
        f'</svg><div class="times" aria-hidden="true">{times}</div></div>'
    )


def _line(windows: Sequence[dict], name: str, duration_s: float, label_range: tuple[float, float]) -> str:
    path, drawn = [], False
    for window in windows:
        value = window[name]
        if value is not None:
            x, y = WIDTH * _middle(window) / duration_s, _height(value, label_range)
            path.append(f"{'L' if drawn else 'M'}{x:.1f} {y:.1f}" + "h0" * (not drawn))  # a dot, if none follows
        drawn = value is not None
    return f'<path class="line {name}" d="{"".join(path)}"/>'


def _waveform(peaks: np.ndarray) -> str:
    step, middle = WIDTH / max(1, len(peaks)), WAVE / 2
    above, below = (
        [f"{(i + 0.5) * step:.1f} {middle - sign * middle * peak:.1f}" for i, peak in enumerate(peaks)]
        for sign in (1, -1)
    )
    return f'<path class="wave" d="M{"L".join([*above, *reversed(below)])}Z"/>'


def _middle(window: dict) -> float:
    return (window["start_s"] + window["end_s"]) / 2


def _height(value: float, label_range: tuple[float, float]) -> float:
    low, high = label_range
    return TOP + (HEIGHT - TOP) * (high - value) / (high - low)


def _time(seconds: float, duration_s: float) -> str:
    return clock(seconds) if duration_s > 60 else f"{seconds:.1f} s"
