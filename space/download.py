"""An estimate as CSV and as JSON, inside the page: no file is left on the server."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode

from estimator import DIMENSIONS, Estimate


def as_json(estimate: Estimate, title: str, label_range: tuple[float, float]) -> dict:
    """
    What `/predict` answers.

    Args:
        estimate: of a recording.
        title: of the model.
        label_range: of the values.
    """
    return {
        "model": title,
        "label_range": list(label_range),
        "estimate": estimate.whole,
        "window_s": estimate.window_s,
        "hop_s": estimate.hop_s,
        "windows": estimate.windows,
    }


def as_csv(estimate: Estimate) -> str:
    """A line per window, or one for a recording without windows; full precision, empty where nothing was heard."""
    rows = estimate.windows or [estimate.whole]
    names = [name for name in ("start_s", "end_s", *DIMENSIONS, "speech_ratio") if name in rows[0]]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def download_links(estimate: Estimate, title: str, label_range: tuple[float, float]) -> str:
    """Two links that hold the files themselves."""
    contents = {
        "csv": ("text/csv", as_csv(estimate)),
        "json": ("application/json", json.dumps(as_json(estimate, title, label_range), indent=2)),
    }
    links = []
    for kind, (mime, text) in contents.items():
        address = f"data:{mime};base64,{b64encode(text.encode()).decode()}"
        links.append(f'<a id="download_{kind}" download="estimate.{kind}" href="{address}">{kind.upper()}</a>')
    return f'<p class="downloads">Download {" · ".join(links)}</p>'
