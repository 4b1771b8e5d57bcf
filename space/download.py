"""An estimate as CSV and as JSON, inside the page: no file is left on the server."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from dataclasses import asdict

from estimator import DIMENSIONS, Estimate, Estimator


def as_json(estimate: Estimate, estimator: Estimator) -> dict:
    """
    What `/predict` answers.

    Args:
        estimate: of a recording.
        estimator: that made it.
    """
    return {
        "model": estimator.title,
        "label_range": list(estimator.label_range),
        "typical_error": asdict(estimator.typical_error) if estimator.typical_error else None,
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


def download_links(estimate: Estimate, estimator: Estimator) -> str:
    """Two links that hold the files themselves."""
    contents = {
        "csv": ("text/csv", as_csv(estimate)),
        "json": ("application/json", json.dumps(as_json(estimate, estimator), indent=2)),
    }
    links = []
    for kind, (mime, text) in contents.items():
        address = f"data:{mime};base64,{b64encode(text.encode()).decode()}"
        links.append(f'<a id="download_{kind}" download="estimate.{kind}" href="{address}">{kind.upper()}</a>')
    return f'<p class="downloads">Download {" · ".join(links)}</p>'
