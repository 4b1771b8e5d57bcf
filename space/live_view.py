"""A live session as the page shows it."""

from __future__ import annotations

from curve import curve_svg
from live import LiveSession
from plane import plane_svg
from result_view import legend_html, numbers_html
from upload import clock


def live_html(session: LiveSession, label_range: tuple[float, float]) -> str:
    """
    Numbers and plane of all that was heard, and the curve of the last minute.

    Args:
        session: that has heard something.
        label_range: of the values.
    """
    seconds = list(session.seconds)
    curve = ""
    if len(seconds) > 1:
        first = seconds[0]["start_s"]
        shown = [
            {**second, "start_s": second["start_s"] - first, "end_s": second["end_s"] - first} for second in seconds
        ]
        curve = legend_html() + curve_svg(shown, shown[-1]["end_s"], None, label_range, plays=False)
    heard = (
        f"{clock(session.duration_s)} heard, {session.now['speech_ratio']:.0%} of it no silence; none of it is kept"
    )
    return (
        f'<div class="top"><div id="live_numbers" class="numbers" data-heard="{session.duration_s:.3f}">'
        f"{numbers_html(session.now, label_range)}</div>"
        f'<div id="live_plane" class="plane">{plane_svg(session.now, seconds, label_range)}</div></div>'
        f'<div id="live_curve" class="curve">{curve}</div><p class="note">{heard}.</p>'
    )
