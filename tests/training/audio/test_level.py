"""Levels: measured in double precision, changed without clipping."""

import numpy as np
import pytest

from speech_affect_training.audio.acoustics import at_rms, check_waveform, rms, within_full_scale


def test_root_mean_square():
    assert rms(np.array([3.0, -4.0], np.float32)) == pytest.approx(np.sqrt(12.5), abs=1e-15)
    assert rms(np.full(3, 1e-30, np.float32)) == pytest.approx(1e-30, rel=1e-6)  # its square is no float32


def test_brought_to_a_level():
    scaled = at_rms(np.array([1, -1, 1, -1], np.float32), 0.25)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, [0.25, -0.25, 0.25, -0.25])
    np.testing.assert_array_equal(at_rms(np.zeros(3, np.float32), 1.0), np.zeros(3))
    faint = np.float32(2) ** -148 * np.ones(2, np.float32)  # a gain of 2 ** 148 is no float32
    np.testing.assert_array_equal(at_rms(faint, 1.0), np.ones(2))


def test_scaled_down_only_where_it_is_too_loud():
    np.testing.assert_array_equal(within_full_scale(np.array([0.5, -2.0, 1.0])), np.float32([0.25, -1.0, 0.5]))
    np.testing.assert_array_equal(within_full_scale(np.array([0.5, -1.0])), np.float32([0.5, -1.0]))


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        ([0.1, 0.2], r"clip is list; give a floating-point numpy array \(samples,\) with at least one sample"),
        (np.zeros((2, 3), np.float32), r"clip is float32 \(2, 3\); give"),
        (np.zeros(3, np.int16), r"clip is int16 \(3,\); give"),
        (np.zeros(0, np.float32), r"clip is float32 \(0,\); give"),
        (np.array([0.0, np.nan]), "clip has NaN or infinite samples; repair or drop the clip"),
        (np.array([0.0, np.inf]), "clip has NaN or infinite samples"),
    ],
)
def test_what_is_no_waveform(waveform, message):
    with pytest.raises(ValueError, match=message):
        check_waveform("clip", waveform)
