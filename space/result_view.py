"""An estimate as the page shows it: numbers, plane, curve, table."""

from __future__ import annotations

from html import escape

from curve import curve_svg
from download import download_links
from estimator import DIMENSIONS, Estimate
from plane import plane_svg
from upload import Recording, clock


NO_VALUE = "\u2013"
ENDS = {"activation": ("calm", "excited"), "valence": ("negative", "positive"), "dominance": ("weak", "strong")}
NO_SPEECH = "Nothing but silence or a steady background was heard, so there are no values."


def numbers_html(whole: dict, label_range: tuple[float, float]) -> str:
    """
    A card for each value.

    Args:
        whole: of the pipeline, on the label scale.
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
            share = 100 * (value - low) / (high - low)
            inside = (
                f'<strong data-value="{value!r}">{value:.2f}</strong>{_uncertainty(name, whole)}'
                f'<span class="bar"><i style="left:{share:.1f}%"></i></span>'
            )
        cards.append(
            f'<div class="card {name}" data-name="{name}"><h3>{name}</h3>{inside}'
            f'<span class="ends"><span>{low:g} {first}</span><span>{last} {high:g}</span></span></div>'
        )
    return "".join(cards)


def _uncertainty(name: str, whole: dict) -> str:
    if not whole.get("uncertainty"):
        return '<span class="uncertainty">no uncertainty stated</span>'
    stated = whole["uncertainty"][name]
    return f'<span class="uncertainty" title="standard deviation that the model states">± {stated:.2f}</span>'


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


def result_html(estimate: Estimate, recording: Recording, title: str, label_range: tuple[float, float]) -> str:
    """
    The whole result.

    Args:
        estimate: of the recording.
        recording: what was decoded.
        title: of the model.
        label_range: lowest and highest value.
    """
    curve = legend = ""
    if estimate.windows:
        curve = curve_svg(estimate.windows, recording.duration_s, recording.peaks, label_range)
        legend = legend_html()
    windows = ""
    if estimate.windows:
        windows = (
            f"<details><summary>Table of {len(estimate.windows)} windows of {estimate.window_s:g} s, "
            f'every {estimate.hop_s:g} s</summary><div id="segments">{table_html(estimate.windows)}</div></details>'
        )
    note = f'<p class="note">{NO_SPEECH}</p>' if not estimate.whole["speech_ratio"] else ""
    return (
        f'{note}<div class="top"><div id="numbers">{numbers_html(estimate.whole, label_range)}</div>'
        f'<div id="plane">{plane_svg(estimate.whole, estimate.windows, label_range)}</div></div>'
        f'{legend}<div id="curve">{curve}</div>{windows}{download_links(estimate, title, label_range)}'
        f'<p class="note">{clock(recording.duration_s)} of audio in {1000 * estimate.seconds:.0f} ms '
        f"by {escape(title)}; "
        f"{estimate.whole['speech_ratio']:.0%} of it stands out from silence and background.</p>"
    )


def message_html(text: str) -> str:
    """One sentence to the user."""
    return f'<p id="message" role="alert">{escape(text)}</p>'
