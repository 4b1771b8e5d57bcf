"""Waveform and the three values over time, as SVG with the numbers that a pointer reads from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import numpy as np
from upload import clock


WIDTH, WAVE, GAP, HEIGHT, LEFT, BOTTOM = 800, 56, 10, 250, 30, 20
DIMENSIONS = ("activation", "valence", "dominance")


def curve_svg(
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
        an `<svg>`; its `data-points` are `[second, activation, valence, dominance]` of each window, as JSON.
    """
    low, high = label_range
    top, bottom = (GAP if peaks is None else WAVE + GAP), HEIGHT - BOTTOM
    across = (WIDTH - LEFT) / duration_s

    def height(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    parts = [] if peaks is None else [_waveform(peaks)]
    for value in (low, (low + high) / 2, high):
        y = height(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        x = LEFT + share * (WIDTH - LEFT)
        text = clock(share * duration_s) if duration_s > 60 else f"{share * duration_s:.1f} s"
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 4}" text-anchor="{anchor}">{text}</text>')
    middles = [(window["start_s"] + window["end_s"]) / 2 for window in windows]
    for name in DIMENSIONS:
        path, drawn = [], False
        for middle, window in zip(middles, windows, strict=True):
            value = window[name]
            if value is not None:
                path.append(f"{'L' if drawn else 'M'}{LEFT + across * middle:.1f} {height(value):.1f}")
            drawn = value is not None
        parts.append(f'<path class="line {name}" d="{"".join(path)}"/>')
    parts.append(f'<path class="cursor" d="M{LEFT} 0V{bottom}" visibility="hidden"/>')
    points = [
        [middle, *(window[name] for name in DIMENSIONS)] for middle, window in zip(middles, windows, strict=True)
    ]
    data = escape(json.dumps({"left": LEFT / WIDTH, "duration_s": duration_s, "points": points}))
    keys = "Arrow keys read the values" + (", Enter plays." if plays else ".")
    words = f"Activation, valence and dominance over {clock(duration_s)}. {keys}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" tabindex="0" role="slider" aria-label="{words}" aria-valuemin="0" '
        f'aria-valuemax="{duration_s:.2f}" aria-valuenow="0" data-points="{data}"{" data-plays" * plays}>'
        f"{''.join(parts)}</svg>"
    )


def _waveform(peaks: np.ndarray) -> str:
    step = (WIDTH - LEFT) / max(1, len(peaks))
    middle = WAVE / 2
    tops = [f"{LEFT + (i + 0.5) * step:.1f} {middle - middle * peak:.1f}" for i, peak in enumerate(peaks)]
    bottoms = [f"{LEFT + (i + 0.5) * step:.1f} {middle + middle * peak:.1f}" for i, peak in enumerate(peaks)]
    return f'<path class="wave" d="M{"L".join(tops)}L{"L".join(reversed(bottoms))}Z"/>'
