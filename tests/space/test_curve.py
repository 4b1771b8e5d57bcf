"""The curve's lines, its gaps, and what a pointer reads."""

import html
import json
import re

import numpy as np


def window(start_s, end_s, value):
    return {"start_s": start_s, "end_s": end_s, **dict.fromkeys(("activation", "valence", "dominance"), value)}


def test_lines_by_hand():
    from curve import curve_svg

    # 770 units for 7.7 s from 30 on; label 1 at 230, label 7 at 66, so 4 at 148
    windows = [window(0.0, 2.0, 1.0), window(1.0, 3.0, None), window(2.0, 4.0, 4.0), window(3.0, 5.0, 7.0)]
    svg = curve_svg(windows, 7.7, np.array([0.0, 1.0]), (1.0, 7.0))
    [line] = re.findall(r'class="line valence" d="([^"]*)"', svg)
    assert line == "M130.0 230.0M330.0 148.0L430.0 66.0"
    data = json.loads(html.unescape(re.search(r'data-points="([^"]*)"', svg)[1]))
    assert data["duration_s"] == 7.7
    assert data["points"] == [
        [1.0, 1.0, 1.0, 1.0],
        [2.0, None, None, None],
        [3.0, 4.0, 4.0, 4.0],
        [4.0, 7.0, 7.0, 7.0],
    ]
    # two columns: silence in the middle of the strip, full scale across it
    assert 'class="wave" d="M222.5 28.0L607.5 0.0L607.5 56.0L222.5 28.0Z"' in svg


def test_times_below_the_curve():
    from curve import curve_svg

    assert ">5.0 s<" in curve_svg([window(0, 2, 4.0)], 10.0, np.zeros(1), (1.0, 7.0))
    assert ">1:00<" in curve_svg([window(0, 2, 4.0)], 120.0, np.zeros(1), (1.0, 7.0))
