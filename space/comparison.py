"""Teacher and student on one recording."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from deadline import Deadline
from estimator import DIMENSIONS, Estimator
from result_view import NO_VALUE


def compare(estimators: Iterable[Estimator], path: str, duration_s: float, deadline: Deadline) -> list[dict]:
    """
    Values of each model, and what they cost.

    Args:
        estimators: of the models.
        path: of a recording.
        duration_s: its length in seconds.
        deadline: for all of them together.

    Returns:
        per model a dict with `model`, the three values, `ms_per_audio_s`, `parameters` and `bytes` (None if unknown).
    """
    rows = []
    for estimator in estimators:
        estimate = estimator.estimate(path, 0.0, deadline)
        rows.append(
            {
                "model": estimator.title,
                **{dimension: estimate.whole[dimension] for dimension in DIMENSIONS},
                "ms_per_audio_s": 1000 * estimate.seconds / duration_s,
                "parameters": estimator.parameters,
                "bytes": estimator.bytes,
            }
        )
    return rows


def comparison_html(rows: list[dict]) -> str:
    """
    Args:
        rows: of [`compare`].

    Returns:
        a table.
    """
    head = ("model", *DIMENSIONS, "time per second of audio", "weights", "on disk")
    lines = []
    for row in rows:
        values = (NO_VALUE if row[name] is None else f"{row[name]:.2f}" for name in DIMENSIONS)
        size = NO_VALUE if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f} MB"
        cells = (*values, f"{row['ms_per_audio_s']:.1f} ms", f"{row['parameters'] / 1e6:.2f} M", size)
        lines.append(
            f'<tr><th scope="row">{escape(row["model"])}</th>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in head)
    return f'<table id="compare_table"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
