"""An estimate as the page shows it: numbers, plane, curve, table."""

from __future__ import annotations

from html import escape

from curve import curve_html
from download import download_links
from estimator import DIMENSIONS, Estimate, Estimator
from plane import plane_svg
from upload import Recording, clock


NO_VALUE = "\u2013"
ENDS = {"activation": ("calm", "excited"), "valence": ("negative", "positive"), "dominance": ("weak", "strong")}
NO_SPEECH = "Nothing but silence or a steady background was heard, so there are no values."


def spread_of(whole: dict, estimator: Estimator) -> dict[str, float] | None:
    """How far each value may be off: by what the model states, else by what is its typical error; None for unknown."""
    stated = whole.get("uncertainty")
    if stated:
        return None if stated["valence"] is None else stated
    return estimator.typical_error.rmse if estimator.typical_error and whole["valence"] is not None else None


def spread_text(whole: dict, estimator: Estimator) -> str:
    """What stands behind ± in words."""
    if whole.get("uncertainty"):
        return "± is one standard deviation, as the model states it for this recording."
    if estimator.typical_error:
        return (
            f"± is the model's typical error, the root mean square over the {estimator.typical_error.clips} clips "
            "that it was developed on; it says nothing about this recording."
        )
    return "How uncertain the values are, this model does not state."


def numbers_html(whole: dict, spread: dict[str, float] | None, label_range: tuple[float, float]) -> str:
    """
    A card for each value.

    Args:
        whole: of the pipeline, on the label scale.
        spread: of [`spread_of`].
        label_range: lowest and highest value.
    """
    low, high = label_range
    cards = []
    for name in DIMENSIONS:
        value = whole[name]
        first, last = ENDS[name]
        if value is None:
            inside = '<strong data-value="">' + NO_VALUE + "</strong>"
        else:
            off = "" if spread is None else f'<span class="uncertainty">± {spread[name]:.2f}</span>'
            share = 100 * (value - low) / (high - low)
            inside = (
                f'<strong data-value="{value!r}">{value:.2f}</strong>{off}'
                f'<span class="bar"><i style="left:{share:.1f}%"></i></span>'
            )
        cards.append(
            f'<div class="card {name}" data-name="{name}"><h3>{name}</h3>{inside}'
            f'<span class="ends"><span>{low:g} {first}</span><span>{last} {high:g}</span></span></div>'
        )
    return "".join(cards)


def legend_html() -> str:
    """Names of a curve's lines, with places for what a pointer reads."""
    keys = (f'<span class="key {name}">{name} <b data-key="{name}"></b></span>' for name in DIMENSIONS)
    return f'<p class="reading">{"".join(keys)}<span data-key="time"></span></p>'


def table_html(windows: list[dict]) -> str:
    """The windows as a table; empty without any."""
    if not windows:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in ("from", "to", *DIMENSIONS, "speech"))
    rows = []
    for window in windows:
        values = [NO_VALUE if window[name] is None else f"{window[name]:.2f}" for name in DIMENSIONS]
        times = (f"{window[name]:.2f} s" for name in ("start_s", "end_s"))
        cells = (*times, *values, f"{window['speech_ratio']:.0%}")
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def result_html(estimate: Estimate, recording: Recording, estimator: Estimator) -> str:
    """
    The whole result.

    Args:
        estimate: of the recording.
        recording: what was decoded.
        estimator: that made it.
    """
    whole, windows, label_range = estimate.whole, estimate.windows, estimator.label_range
    spread = spread_of(whole, estimator)
    curve = legend = table = ""
    if windows:
        curve = curve_html(windows, recording.duration_s, recording.peaks, label_range)
        legend = legend_html()
        table = (
            f"<details><summary>Table of {len(windows)} windows of {estimate.window_s:g} s, "
            f'every {estimate.hop_s:g} s</summary><div id="segments">{table_html(windows)}</div></details>'
        )
    note = f'<p class="note">{NO_SPEECH}</p>' if not whole["speech_ratio"] else ""
    return (
        f'{note}<div class="top"><div id="numbers">{numbers_html(whole, spread, label_range)}</div>'
        f'<div id="plane">{plane_svg(whole, spread, windows, label_range)}</div></div>'
        f'<p class="note">{spread_text(whole, estimator)}</p>'
        f'{legend}<div id="curve">{curve}</div>{table}{download_links(estimate, estimator)}'
        f'<p class="note">{clock(recording.duration_s)} of audio in {1000 * estimate.seconds:.0f} ms '
        f"by {escape(estimator.title)}; {whole['speech_ratio']:.0%} of it stands out from silence and background.</p>"
    )


def message_html(text: str) -> str:
    """One sentence to the user."""
    return f'<p id="message" role="alert">{escape(text)}</p>'
