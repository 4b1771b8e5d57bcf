"""The curve's lines, its gaps, and what a pointer reads."""

import html
import json
import re

import numpy as np


def window(start_s, end_s, value):
    return {"start_s": start_s, "end_s": end_s, **dict.fromkeys(("activation", "valence", "dominance"), value)}


def test_lines_by_hand():
    from curve import curve_html

    # 1000 units for 8 s; label 1 at 300, label 7 at 76, so 4 at 188
    windows = [window(0.0, 2.0, 1.0), window(1.0, 3.0, None), window(2.0, 4.0, 4.0), window(3.0, 5.0, 7.0)]
    svg = curve_html(windows, 8.0, np.array([0.0, 1.0]), (1.0, 7.0))
    [line] = re.findall(r'class="line valence" d="([^"]*)"', svg)
    assert line == "M125.0 300.0h0M375.0 188.0h0L500.0 76.0"
    data = json.loads(html.unescape(re.search(r'data-points="([^"]*)"', svg)[1]))
    assert data["duration_s"] == 8.0
    assert data["points"] == [
        [1.0, 1.0, 1.0, 1.0],
        [2.0, None, None, None],
        [3.0, 4.0, 4.0, 4.0],
        [4.0, 7.0, 7.0, 7.0],
    ]
    # two columns: silence in the middle of the strip, full scale across it
    assert 'class="wave" d="M250.0 30.0L750.0 0.0L750.0 60.0L250.0 30.0Z"' in svg


def test_times_below_the_curve():
    from curve import curve_html

    assert ">5.0 s<" in curve_html([window(0, 2, 4.0)], 10.0, np.zeros(1), (1.0, 7.0))
    assert ">1:00<" in curve_html([window(0, 2, 4.0)], 120.0, np.zeros(1), (1.0, 7.0))


def test_without_a_recording_there_is_nothing_to_play():
    from curve import curve_html

    played = curve_html([window(0, 2, 4.0)], 2.0, np.zeros(1), (1.0, 7.0))
    assert " data-plays>" in played and "Enter plays" in played
    shown = curve_html([window(0, 2, 4.0)], 2.0, None, (1.0, 7.0), plays=False)
    assert "plays" not in shown and 'class="wave"' not in shown
