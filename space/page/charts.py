"""Charts as SVG: the plane of valence and activation, and the curve of the values over time."""

import json
from collections.abc import Sequence
from html import escape

import numpy as np

from speech_affect import DIMENSIONS

from .recording import clock


SIZE, MARGIN = 320, 34
# after Russell, "A circumplex model of affect", 1980: (share along valence, share along activation, words)
REGIONS = (
    (0.25, 0.93, "tense, angry"),
    (0.75, 0.93, "excited, happy"),
    (0.25, 0.04, "sad, tired"),
    (0.75, 0.04, "calm, content"),
)
# the curve is stretched to the width of the page; texts stand beside it, so that a phone does not shrink them
WIDTH, HEIGHT, WAVE, TOP = 1000, 300, 60, 76
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def plane_svg(
    point: dict, spread: dict[str, float] | None, trail: Sequence[dict], label_range: tuple[float, float]
) -> str:
    """Draw the plane, valence to the right and activation upwards, with a label for screen readers.

    Args:
        point: values of the whole; None for silence.
        spread: their uncertainty, drawn around the point; None for unknown.
        trail: values of windows in order; those with None are left out.
        label_range: of both axes.

    Returns:
        an `<svg>`, or nothing for a model that lacks one of the two.
    """
    if not {"valence", "activation"} <= point.keys():
        return ""
    low, high = label_range
    inner = SIZE - 2 * MARGIN

    def place(values: dict) -> tuple[float, float]:
        across, up = ((values[name] - low) / (high - low) for name in ("valence", "activation"))
        return MARGIN + inner * across, SIZE - MARGIN - inner * up

    centre = SIZE / 2
    parts = [
        f'<rect class="field" x="{MARGIN}" y="{MARGIN}" width="{inner}" height="{inner}" rx="8"/>',
        f'<path class="axis" d="M{MARGIN} {centre}H{SIZE - MARGIN}M{centre} {MARGIN}V{SIZE - MARGIN}"/>',
    ]
    for across, up, words in REGIONS:
        x, y = MARGIN + inner * across, SIZE - MARGIN - inner * up
        parts.append(f'<text class="region" x="{x:.1f}" y="{y:.1f}">{words}</text>')
    parts += [
        f'<text class="tick" x="{MARGIN}" y="{SIZE - 16}">{low:g}</text>',
        f'<text class="tick" x="{SIZE - MARGIN}" y="{SIZE - 16}">{high:g}</text>',
        f'<text class="name" x="{centre}" y="{SIZE - 14}">valence →</text>',
        f'<text class="name" transform="translate(20 {centre}) rotate(-90)">activation →</text>',
    ]
    steps = [place(values) for values in trail if values["valence"] is not None]
    if len(steps) > 1:
        parts.append(f'<polyline class="trail" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in steps)}"/>')
        for index, (x, y) in enumerate(steps):
            opacity = 0.2 + 0.6 * index / (len(steps) - 1)
            parts.append(f'<circle class="step" cx="{x:.1f}" cy="{y:.1f}" r="2.5" opacity="{opacity:.2f}"/>')
    words = "Valence and activation: no values, since there is only silence."
    if point["valence"] is not None:
        x, y = place(point)
        if spread is not None and {"valence", "activation"} <= spread.keys():
            across, up = (inner * spread[name] / (high - low) for name in ("valence", "activation"))
            left, right = max(x - across, MARGIN), min(x + across, SIZE - MARGIN)
            top, bottom = max(y - up, MARGIN), min(y + up, SIZE - MARGIN)
            parts.append(f'<path class="spread" d="M{left:.1f} {y:.1f}H{right:.1f}M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="7"/>')
        values = " and ".join(f"{name} {point[name]:.1f}" for name in ("valence", "activation"))
        words = f"The plane of valence and activation, with {values} on a scale of {low:g} to {high:g}."
    return f'<svg viewBox="0 0 {SIZE} {SIZE}" role="img" aria-label="{escape(words)}">{"".join(parts)}</svg>'


def curve_html(
    windows: Sequence[dict],
    duration_s: float,
    peaks: np.ndarray | None,
    label_range: tuple[float, float],
    plays: bool = True,
) -> str:
    """Draw the values over time, with the waveform above them.

    Args:
        windows: of the pipeline; the values of a window stand at its middle, and None is a gap.
        duration_s: of the recording, in seconds.
        peaks: (columns,) largest absolute sample of each equal part, 0 to 1; None for no waveform.
        label_range: of the values.
        plays: whether there is a recording to play.

    Returns:
        HTML with an `<svg>`; its `data-points` are JSON: `[second, activation, valence, dominance]` per window.
    """
    points = [[_middle(window), *(window.get(name) for name in DIMENSIONS)] for window in windows]
    data = escape(json.dumps({"duration_s": duration_s, "points": points}))
    keys = "Arrow keys read the values" + (", Enter plays." if plays else ".")
    words = f"Activation, valence and dominance over {clock(duration_s)}. {keys}"
    attributes = (
        f'tabindex="0" role="slider" aria-label="{words}" aria-valuemin="0" aria-valuemax="{duration_s:.2f}" '
        f'aria-valuenow="0" data-points="{data}"{" data-plays" * plays}'
    )
    from_y = WAVE if peaks is None else 0
    drawing = "" if peaks is None else _waveform(peaks)
    drawing += "".join(_line(windows, name, duration_s, label_range) for name in DIMENSIONS if name in windows[0])
    drawing += f'<path class="cursor" d="M0 {from_y}V{HEIGHT}" visibility="hidden"/>'
    return _chart(drawing, attributes, duration_s, label_range, from_y)


def _chart(drawing: str, attributes: str, duration_s: float, label_range: tuple[float, float], from_y: int) -> str:
    (low, high), height, labels, grid = label_range, HEIGHT - from_y, [], []
    for value in (high, (low + high) / 2, low):
        y = _height(value, label_range)
        labels.append(f'<span style="top:{100 * (y - from_y) / height:.1f}%">{value:g}</span>')
        grid.append(f'<path class="grid" d="M0 {y:g}H{WIDTH}"/>')
    times = "".join(f"<span>{_time(tick * duration_s, duration_s)}</span>" for tick in TICKS)
    return (
        f'<div class="chart"><div class="labels" aria-hidden="true">{"".join(labels)}</div>'
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
