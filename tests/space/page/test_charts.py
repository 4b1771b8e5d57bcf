"""Where values stand in the curve and in the plane of valence and activation."""

import html
import json
import re

import numpy as np
from page.charts import curve_html, plane_svg


def window(start_s, end_s, value):
    return {"start_s": start_s, "end_s": end_s, **dict.fromkeys(("activation", "valence", "dominance"), value)}


def test_lines_by_hand():
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


def test_without_a_recording_there_is_nothing_to_play():
    played = curve_html([window(0, 2, 4.0)], 2.0, np.zeros(1), (1.0, 7.0))
    assert " data-plays>" in played and "Enter plays" in played
    assert ">2.0 s<" in played and ">1:00<" in curve_html([window(0, 2, 4.0)], 120.0, np.zeros(1), (1.0, 7.0))
    shown = curve_html([window(0, 2, 4.0)], 2.0, None, (1.0, 7.0), plays=False)
    assert "plays" not in shown and 'class="wave"' not in shown


def test_places_in_the_plane_by_hand():
    # 252 units between the margins of 34: neutral is the middle, 1 the lower left corner, 7 the upper right
    trail = [
        {"valence": 1.0, "activation": 1.0},
        {"valence": None, "activation": None},
        {"valence": 7.0, "activation": 7.0},
    ]
    svg = plane_svg({"valence": 4.0, "activation": 5.5}, None, trail, (1.0, 7.0))
    assert '<circle class="point" cx="160.0" cy="97.0" r="7"/>' in svg
    assert '<polyline class="trail" points="34.0,286.0 286.0,34.0"/>' in svg
    assert re.findall(r'class="step" cx="([\d.]+)" cy="([\d.]+)" r="2.5" opacity="([\d.]+)"', svg) == [
        ("34.0", "286.0", "0.20"),
        ("286.0", "34.0", "0.80"),
    ]
    assert (
        'aria-label="The plane of valence and activation, with valence 4.0 and activation 5.5 on a scale of 1 to 7."'
        in svg
    )


def test_without_speech_there_is_no_point():
    svg = plane_svg({"valence": None, "activation": None}, None, [], (1.0, 7.0))
    assert "circle" not in svg
    assert all(words in svg for words in ("tense, angry", "excited, happy", "sad, tired", "calm, content"))
    assert "there is only silence" in svg


def test_how_far_it_may_be_off():
    # 42 units are 1 of 6; the edges are at 34 and 286
    svg = plane_svg({"valence": 6.5, "activation": 4.0}, {"valence": 1.0, "activation": 0.5}, [], (1.0, 7.0))
    assert '<path class="spread" d="M223.0 160.0H286.0M265.0 139.0V181.0"/>' in svg
