"""A live session as the page shows it."""

from __future__ import annotations

from curve import curve_html
from estimator import Estimator
from live import LiveSession
from plane import plane_svg
from result_view import legend_html, numbers_html, spread_of, spread_text
from upload import clock


def live_html(session: LiveSession, estimator: Estimator) -> str:
    """
    Numbers and plane of all that was heard, and the curve of the last minute.

    Args:
        session: that has heard something.
        estimator: that listens.
    """
    seconds, label_range = list(session.seconds), estimator.label_range
    spread = spread_of(session.now, estimator)
    curve = ""
    if len(seconds) > 1:
        first = seconds[0]["start_s"]
        shown = [
            {**second, "start_s": second["start_s"] - first, "end_s": second["end_s"] - first} for second in seconds
        ]
        curve = legend_html() + curve_html(shown, shown[-1]["end_s"], None, label_range, plays=False)
    share = f"{session.now['speech_ratio']:.0%}"
    heard = f"{clock(session.duration_s)} heard, {share} of it no silence; none of it is kept."
    return (
        f'<div class="top"><div id="live_numbers" class="numbers" data-heard="{session.duration_s:.3f}">'
        f"{numbers_html(session.now, spread, label_range)}</div>"
        f'<div id="live_plane" class="plane">{plane_svg(session.now, spread, seconds, label_range)}</div></div>'
        f'<div id="live_curve" class="curve">{curve}</div><p class="note">{heard} '
        f"{spread_text(session.now, estimator)}</p>"
    )
