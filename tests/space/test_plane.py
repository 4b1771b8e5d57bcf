"""Where a point stands in the plane of valence and activation."""

import re

import pytest


def test_places_by_hand():
    from plane import plane_svg

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


@pytest.mark.parametrize("words", ["tense, angry", "excited, happy", "sad, tired", "calm, content"])
def test_regions_have_names(words):
    from plane import plane_svg

    assert words in plane_svg({"valence": None}, None, [], (0.0, 1.0))


def test_without_speech_there_is_no_point():
    from plane import plane_svg

    svg = plane_svg({"valence": None, "activation": None}, None, [], (1.0, 7.0))
    assert "circle" not in svg
    assert "no speech was heard" in svg


def test_how_far_it_may_be_off():
    from plane import plane_svg

    # 42 units are 1 of 6; the edges are at 34 and 286
    svg = plane_svg({"valence": 6.5, "activation": 4.0}, {"valence": 1.0, "activation": 0.5}, [], (1.0, 7.0))
    assert '<path class="spread" d="M223.0 160.0H286.0M265.0 139.0V181.0"/>' in svg
