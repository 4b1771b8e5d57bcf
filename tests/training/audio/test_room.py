"""The synthetic room: decay, distance, energy; convolution against the definition."""

import numpy as np
import pytest

from speech_affect_training.audio.acoustics import impulse_response, reverberate, rms


def measured_t60_s(response, sampling_rate):
    """Schroeder's backward integration: the line through -5 to -35 dB of the energy still to come, down to -60 dB."""
    decay_db = 10 * np.log10(np.cumsum(response[::-1].astype(np.float64) ** 2)[::-1])
    decay_db -= decay_db[0]
    fitted = (decay_db <= -5) & (decay_db >= -35)
    times_s = np.arange(len(response)) / sampling_rate
    return -60 / np.polyfit(times_s[fitted], decay_db[fitted], 1)[0]


@pytest.mark.parametrize("sampling_rate", [8000, 16000])
@pytest.mark.parametrize("t60_s", [0.1, 0.3, 0.6, 1.5])
def test_reverberation_time_by_schroeder(t60_s, sampling_rate):
    for seed in range(5):
        response = impulse_response(t60_s, np.random.default_rng(seed), sampling_rate)
        assert len(response) == round(t60_s * sampling_rate) + 1
        assert measured_t60_s(response, sampling_rate) == pytest.approx(t60_s, rel=0.1)


@pytest.mark.parametrize("ratio_db", [-10.0, 0.0, 7.0])
def test_direct_sound_first_energy_one(ratio_db):
    response = impulse_response(0.4, np.random.default_rng(0), direct_to_reverberant_db=ratio_db).astype(np.float64)
    assert response[0] > 0
    assert np.sum(response**2) == pytest.approx(1, abs=1e-6)
    assert 10 * np.log10(response[0] ** 2 / np.sum(response[1:] ** 2)) == pytest.approx(ratio_db, abs=1e-4)


def test_a_room_is_drawn():
    first, again, other = (impulse_response(0.2, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_convolution_by_hand():
    # [1, 2, 0, 0] * [.5, .25] = [.5, 1.25, .5, 0], energy 2.0625; the clip's energy is 5
    heard = reverberate(np.float32([1, 2, 0, 0]), np.float32([0.5, 0.25]))
    np.testing.assert_allclose(heard, np.array([0.5, 1.25, 0.5, 0]) * np.sqrt(5 / 2.0625), atol=1e-6)


@pytest.mark.parametrize("samples", [1, 50, 2047, 4001])
def test_convolution_as_defined(samples):
    generator = np.random.default_rng(samples)
    waveform = generator.standard_normal(samples).astype(np.float32)
    response = generator.standard_normal(700).astype(np.float32)
    expected = np.convolve(waveform.astype(np.float64), response)[:samples]
    expected *= rms(waveform) / rms(expected)
    heard = reverberate(waveform, response)
    assert heard.dtype == np.float32 and heard.shape == waveform.shape
    np.testing.assert_allclose(heard, expected, atol=2e-5)
    assert rms(heard) == pytest.approx(rms(waveform), rel=1e-6)


def test_a_response_of_the_direct_sound_alone_changes_nothing():
    waveform = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    np.testing.assert_allclose(reverberate(waveform, np.float32([1])), waveform, atol=1e-5)


def test_silence_stays_silence():
    heard = reverberate(np.zeros(100, np.float32), impulse_response(0.1, np.random.default_rng(0)))
    np.testing.assert_array_equal(heard, np.zeros(100))


def test_what_is_refused():
    generator = np.random.default_rng(0)
    for t60_s in (0.0, -1.0, 11.0, float("nan")):
        with pytest.raises(ValueError, match=f"t60_s is {t60_s}; 0.01 to 10 s are allowed"):
            impulse_response(t60_s, generator)
    with pytest.raises(ValueError, match="direct_to_reverberant_db is inf; give a finite number of decibels"):
        impulse_response(0.3, generator, direct_to_reverberant_db=float("inf"))
    clip = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="waveform is int64"):
        reverberate(np.array([1, 2]), clip)
    with pytest.raises(ValueError, match="response has NaN"):
        reverberate(clip, np.float32([np.nan]))
