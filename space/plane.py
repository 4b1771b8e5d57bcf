"""The plane of valence and activation, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


SIZE, MARGIN = 320, 34
# after Russell, "A circumplex model of affect", 1980: (share along valence, share along activation, words)
REGIONS = (
    (0.25, 0.93, "tense, angry"),
    (0.75, 0.93, "excited, happy"),
    (0.25, 0.04, "sad, tired"),
    (0.75, 0.04, "calm, content"),
)


def plane_svg(
    point: dict, spread: dict[str, float] | None, trail: Sequence[dict], label_range: tuple[float, float]
) -> str:
    """
    Valence to the right, activation upwards.

    Args:
        point: `activation` and `valence` of the whole; None values where nothing was heard.
        spread: how far these may be off, drawn around the point; None for unknown.
        trail: the same of windows in order; those with None are left out.
        label_range: of both axes.

    Returns:
        an `<svg>` that says in words what it shows.
    """
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
    heard = [place(values) for values in trail if values["valence"] is not None]
    if len(heard) > 1:
        parts.append(f'<polyline class="trail" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in heard)}"/>')
        for index, (x, y) in enumerate(heard):
            opacity = 0.2 + 0.6 * index / (len(heard) - 1)
            parts.append(f'<circle class="step" cx="{x:.1f}" cy="{y:.1f}" r="2.5" opacity="{opacity:.2f}"/>')
    words = "Valence and activation: no speech was heard."
    if point["valence"] is not None:
        x, y = place(point)
        if spread is not None:
            across, up = (inner * spread[name] / (high - low) for name in ("valence", "activation"))
            left, right = max(x - across, MARGIN), min(x + across, SIZE - MARGIN)
            top, bottom = max(y - up, MARGIN), min(y + up, SIZE - MARGIN)
            parts.append(f'<path class="spread" d="M{left:.1f} {y:.1f}H{right:.1f}M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="7"/>')
        values = " and ".join(f"{name} {point[name]:.1f}" for name in ("valence", "activation"))
        words = f"The plane of valence and activation, with {values} on a scale of {low:g} to {high:g}."
    return f'<svg viewBox="0 0 {SIZE} {SIZE}" role="img" aria-label="{escape(words)}">{"".join(parts)}</svg>'
