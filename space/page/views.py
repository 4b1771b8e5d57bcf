"""What the page shows: a result, a live session and a comparison as HTML; downloads as CSV and JSON."""

import csv
import io
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from html import escape

from speech_affect import DIMENSIONS

from .charts import curve_html, plane_svg
from .estimator import Estimate, Estimator
from .live import LiveSession
from .recording import Recording, clock


NO_VALUE = "\u2013"
ENDS = {"activation": ("calm", "excited"), "valence": ("negative", "positive"), "dominance": ("weak", "strong")}
SILENCE = "There is only silence or a steady background, so there are no values."


def message_html(text: str) -> str:
    """Return one sentence to the visitor."""
    return f'<p id="message" role="alert">{escape(text)}</p>'


def result_html(estimate: Estimate, recording: Recording, estimator: Estimator) -> str:
    """Return the whole result of a recording: numbers, plane, curve, table and downloads."""
    whole, windows, label_range = estimate.whole, estimate.windows, estimator.label_range
    spread, explanation = _spread(whole, estimator)
    curve = legend = table = ""
    if windows:
        curve = curve_html(windows, recording.duration_s, recording.peaks, label_range)
        legend = _legend_html(_names(whole))
        table = (
            f"<details><summary>Table of {len(windows)} windows of {estimate.window_s:g} s, every "
            f'{estimate.hop_s:g} s</summary><div id="segments" {_scrolls("Windows")}>{_windows_html(windows)}</div>'
            "</details>"
        )
    note = f'<p class="note">{SILENCE}</p>' if not whole["speech_ratio"] else ""
    return (
        f'{note}<div class="top"><div id="numbers">{_numbers_html(whole, spread, label_range)}</div>'
        f'<div id="plane">{plane_svg(whole, spread, windows, label_range)}</div></div>'
        f'<p class="note">{explanation}</p>'
        f'{legend}<div id="curve">{curve}</div>{table}{download_links(estimate, estimator)}'
        f'<p class="note">{clock(recording.duration_s)} of audio in {1000 * estimate.seconds:.0f} ms '
        f"by {escape(estimator.title)}; {whole['speech_ratio']:.0%} of it stands out from silence and background.</p>"
    )


def live_html(session: LiveSession, estimator: Estimator) -> str:
    """Return numbers and plane of all audio of a session so far, and the curve of the last minute."""
    seconds, label_range, whole = list(session.seconds), estimator.label_range, session.whole
    spread, explanation = _spread(whole, estimator)
    curve = ""
    if len(seconds) > 1:
        first = seconds[0]["start_s"]
        shown = [{**s, "start_s": s["start_s"] - first, "end_s": s["end_s"] - first} for s in seconds]
        curve = _legend_html(_names(whole)) + curve_html(shown, shown[-1]["end_s"], None, label_range, plays=False)
    return (
        f'<div class="top"><div id="live_numbers" class="numbers" data-seconds="{session.duration_s:.3f}">'
        f"{_numbers_html(whole, spread, label_range)}</div>"
        f'<div id="live_plane" class="plane">{plane_svg(whole, spread, seconds, label_range)}</div></div>'
        f'<div id="live_curve" class="curve">{curve}</div><p class="note">{clock(session.duration_s)} of audio; '
        f"{whole['speech_ratio']:.0%} of it stands out from silence and background. None of it is stored. "
        f"{explanation}</p>"
    )


def comparison_html(estimates: Sequence[Estimate], estimators: Sequence[Estimator], duration_s: float) -> str:
    """Return a table of what each model estimates for one recording of so many seconds, and what it costs."""
    rows = []
    for estimate, estimator in zip(estimates, estimators, strict=True):
        size = NO_VALUE if estimator.bytes is None else f"{estimator.bytes / 1e6:.1f} MB"
        rows.append(
            [
                estimator.title,
                *(_number(estimate.whole.get(name)) for name in DIMENSIONS),
                f"{1000 * estimate.seconds / duration_s:.1f} ms",
                f"{estimator.parameters / 1e6:.2f} M",
                size,
            ]
        )
    head = ("model", *DIMENSIONS, "time per second of audio", "weights", "on disk")
    return f'<div class="scroll" id="compare_table" {_scrolls("Models")}>{_table_html(head, rows)}</div>'


def as_json(estimate: Estimate, estimator: Estimator) -> dict:
    """Return the answer of `/predict`."""
    return {
        "model": estimator.title,
        "label_range": list(estimator.label_range),
        "typical_error": asdict(estimator.typical_error) if estimator.typical_error else None,
        "word_labelled": estimator.word_labelled,
        "estimate": estimate.whole,
        "window_s": estimate.window_s,
        "hop_s": estimate.hop_s,
        "windows": estimate.windows,
    }


def as_csv(estimate: Estimate) -> str:
    """Return a line per window, or one for a recording without windows; full precision, empty for silence."""
    rows = estimate.windows or [estimate.whole]
    names = [name for name in ("start_s", "end_s", *_names(rows[0]), "speech_ratio") if name in rows[0]]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def download_links(estimate: Estimate, estimator: Estimator) -> str:
    """Return two links that contain the files themselves, so that none is left on the server."""
    contents = {
        "csv": ("text/csv", as_csv(estimate)),
        "json": ("application/json", json.dumps(as_json(estimate, estimator), indent=2)),
    }
    links = []
    for kind, (mime, text) in contents.items():
        address = f"data:{mime};base64,{b64encode(text.encode()).decode()}"
        links.append(f'<a id="download_{kind}" download="estimate.{kind}" href="{address}">{kind.upper()}</a>')
    return f'<p class="downloads">Download {" · ".join(links)}</p>'


def _spread(whole: dict, estimator: Estimator) -> tuple[dict[str, float] | None, str]:
    """Return the uncertainty of each value, None for unknown, and sentences on what ± and the labels mean."""
    spread, text = _uncertainty(whole, estimator)
    by_word = " and ".join(name for name in estimator.word_labelled if name in whole)
    note = f" Nobody rated {by_word} for this model: its labels were those of the emotion's word." if by_word else ""
    return spread, text + note


def _uncertainty(whole: dict, estimator: Estimator) -> tuple[dict[str, float] | None, str]:
    has_values = any(whole.get(name) is not None for name in DIMENSIONS)
    if "uncertainty" in whole:
        text = "± is one standard deviation, as the model predicts it for this recording."
        return (whole["uncertainty"] if has_values else None), text
    if estimator.typical_error:
        text = (
            f"± is the model's typical error, the root mean square over the {estimator.typical_error.clips} clips "
            "that it was developed on; it is the same for every recording."
        )
        return (estimator.typical_error.rmse if has_values else None), text
    return None, "This model does not predict how uncertain the values are."


def _numbers_html(whole: dict, spread: dict[str, float] | None, label_range: tuple[float, float]) -> str:
    low, high = label_range
    cards = []
    for name in _names(whole):
        value, (first, last) = whole[name], ENDS[name]
        inside = f'<strong data-value="">{NO_VALUE}</strong>'
        if value is not None:
            known = spread is not None and name in spread
            uncertainty = f'<span class="uncertainty">± {spread[name]:.2f}</span>' if known else ""
            inside = (
                f'<strong data-value="{value!r}">{value:.2f}</strong>{uncertainty}'
                f'<span class="bar"><i style="left:{100 * (value - low) / (high - low):.1f}%"></i></span>'
            )
        cards.append(
            f'<div class="card {name}" data-name="{name}"><h2>{name}</h2>{inside}'
            f'<span class="ends"><span>{low:g} {first}</span><span>{last} {high:g}</span></span></div>'
        )
    return "".join(cards)


def _legend_html(names: Sequence[str]) -> str:
    keys = (f'<span class="key {name}">{name} <b data-key="{name}"></b></span>' for name in names)
    return f'<p class="reading">{"".join(keys)}<span data-key="time"></span></p>'


def _windows_html(windows: list[dict]) -> str:
    rows = [
        [f"{window['start_s']:.2f} s", f"{window['end_s']:.2f} s"]
        + [_number(window[name]) for name in _names(window)]
        + [f"{window['speech_ratio']:.0%}"]
        for window in windows
    ]
    return _table_html(("from", "to", *_names(windows[0]), "speech"), rows)


def _names(result: dict) -> list[str]:
    """Return the dimensions that a model estimates."""
    return [name for name in DIMENSIONS if name in result]


def _number(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.2f}"


def _scrolls(name: str) -> str:
    """Return what lets the keyboard scroll an element, and a screen reader say what it is."""
    return f'tabindex="0" role="region" aria-label="{name}"'


def _table_html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column names the rows."""
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = (
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
