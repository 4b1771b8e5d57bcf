"""Levels, noises at exact ratios, babble and synthetic rooms against their definitions."""

import numpy as np
import pytest

from speech_affect_training.audio.acoustics import (
    SILENT_CLIP_RMS,
    add_noise,
    at_rms,
    babble,
    clip_rng,
    impulse_response,
    pink_noise,
    reverberate,
    rms,
    white_noise,
    within_full_scale,
)


def generator(seed=0):
    return np.random.default_rng(seed)


def speech_like(seed, samples=8000, level=0.05):
    """Noise whose loudness comes and goes."""
    envelope = 1 + np.sin(np.arange(samples) / 700)
    return (level * envelope * generator(seed).standard_normal(samples)).astype(np.float32)


def test_root_mean_square_is_computed_in_double_precision():
    assert rms(np.array([3.0, -4.0], np.float32)) == pytest.approx(np.sqrt(12.5), abs=1e-15)
    assert rms(np.full(3, 1e-30, np.float32)) == pytest.approx(1e-30, rel=1e-6)  # its square is no float32


def test_scaling_to_a_root_mean_square():
    scaled = at_rms(np.array([1, -1, 1, -1], np.float32), 0.25)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, [0.25, -0.25, 0.25, -0.25])
    np.testing.assert_array_equal(at_rms(np.zeros(3, np.float32), 1.0), np.zeros(3))
    faint = np.float32(2) ** -148 * np.ones(2, np.float32)  # a gain of 2 ** 148 is no float32
    np.testing.assert_array_equal(at_rms(faint, 1.0), np.ones(2))


def test_only_what_exceeds_full_scale_is_scaled_down():
    np.testing.assert_array_equal(within_full_scale(np.array([0.5, -2.0, 1.0])), np.float32([0.25, -1.0, 0.5]))
    np.testing.assert_array_equal(within_full_scale(np.array([0.5, -1.0])), np.float32([0.5, -1.0]))


def test_what_cannot_be_mixed():
    with pytest.raises(ValueError, match="noise is silent, so no signal-to-noise ratio can be reached"):
        add_noise(np.ones(3, np.float32), np.zeros(3, np.float32), 0.0)
    with pytest.raises(ValueError, match="no voices given; babble needs at least one other clip"):
        babble([], 10, generator())


def measured_snr_db(mixture, waveform, noise):
    """From the share of each part in the mixture, so whatever the mixture was scaled by."""
    parts = np.stack([waveform, noise], axis=1).astype(np.float64)
    (share, noise_share), residue, *_ = np.linalg.lstsq(parts, mixture.astype(np.float64), rcond=None)
    assert residue.item() < 1e-9
    return 20 * np.log10(share * rms(waveform) / (noise_share * rms(noise))), share


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 3.3, 40.0])
@pytest.mark.parametrize("noise_level", [1e-4, 300.0])
def test_the_signal_to_noise_ratio_is_exact(snr_db, noise_level):
    waveform, noise = speech_like(0), noise_level * white_noise(8000, generator(1))
    mixture = add_noise(waveform, noise, snr_db)
    assert mixture.dtype == np.float32
    assert measured_snr_db(mixture, waveform, noise) == pytest.approx((snr_db, 1), abs=1e-4)


def test_a_mixture_beyond_full_scale_is_scaled_and_not_clipped():
    waveform, noise = speech_like(0, level=0.3), white_noise(8000, generator(1))
    mixture = add_noise(waveform, noise, 0.0)
    measured, share = measured_snr_db(mixture, waveform, noise)
    assert np.abs(mixture).max() == 1 and np.sum(np.abs(mixture) == 1) == 1
    assert share < 0.7
    assert measured == pytest.approx(0, abs=1e-4)


def test_silent_clips_get_the_noise_of_faint_speech():
    mixture = add_noise(np.zeros(8000, np.float32), white_noise(8000, generator(1)), 20.0)
    assert rms(mixture) == pytest.approx(SILENT_CLIP_RMS / 10, rel=1e-6)


def band_power_db(noise, low_hz, high_hz):
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequencies_hz = np.fft.rfftfreq(len(noise), 1 / 16000)
    return 10 * np.log10(power[(frequencies_hz >= low_hz) & (frequencies_hz < high_hz)].mean())


def test_white_is_flat_and_pink_falls_by_three_decibels_per_octave():
    octaves = [(100 * 2**k, 200 * 2**k) for k in range(6)]
    white, pink = (make(160_000, generator()) for make in (white_noise, pink_noise))
    assert white.dtype == pink.dtype == np.float32 and len(white) == len(pink) == 160_000
    assert rms(white) == pytest.approx(1, abs=0.01) and rms(pink) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.diff([band_power_db(white, *octave) for octave in octaves]), 0, atol=0.5)
    np.testing.assert_allclose(np.diff([band_power_db(pink, *octave) for octave in octaves]), -3.01, atol=0.5)
    assert band_power_db(pink, 1, 25) == pytest.approx(band_power_db(pink, 25, 50), abs=1.2)
    for samples in (1, 2, 3, 5):
        noise = pink_noise(samples, generator())
        assert noise.shape == (samples,) and rms(noise) == pytest.approx(1, abs=1e-6)


def test_babble_repeats_each_voice_from_a_random_position():
    voice = np.float32([3, -1, 1, -1])  # RMS sqrt(3)
    starts = set()
    for seed in range(20):
        start = int(generator(seed).integers(4))
        expected = [voice[(start + n) % 4] / np.sqrt(3) for n in range(10)]
        np.testing.assert_allclose(babble([voice], 10, generator(seed)), expected, rtol=1e-6)
        starts.add(start)
    assert starts == {0, 1, 2, 3}


def test_babble_has_every_voice_equally_loud():
    times = np.arange(16000) / 16000
    tones = [level * np.sin(2 * np.pi * hz * times) for level, hz in ((0.9, 500), (0.01, 1000), (0.2, 2000), (0, 1))]
    noise = babble([tone.astype(np.float32) for tone in tones], 16000, generator())
    amplitudes = np.abs(np.fft.rfft(noise)) / 8000
    np.testing.assert_allclose(amplitudes[[500, 1000, 2000]], np.sqrt(2), rtol=1e-4)
    assert np.delete(amplitudes, [500, 1000, 2000]).max() < 1e-4


def measured_t60_s(response):
    """Schroeder's backward integration: the line through -5 to -35 dB of the energy still to come, down to -60 dB."""
    decay_db = 10 * np.log10(np.cumsum(response[::-1].astype(np.float64) ** 2)[::-1])
    decay_db -= decay_db[0]
    fitted = (decay_db <= -5) & (decay_db >= -35)
    times_s = np.arange(len(response)) / 16000
    return -60 / np.polyfit(times_s[fitted], decay_db[fitted], 1)[0]


@pytest.mark.parametrize("t60_s", [0.1, 0.6, 1.5])
def test_reverberation_time_by_schroeder(t60_s):
    for seed in range(5):
        response = impulse_response(t60_s, generator(seed))
        assert len(response) == round(t60_s * 16000) + 1 and response.dtype == np.float32
        assert measured_t60_s(response) == pytest.approx(t60_s, rel=0.1)
        assert np.sum(response[1:].astype(np.float64) ** 2) == pytest.approx(response[0] ** 2) == pytest.approx(0.5)
        assert response[0] > 0


@pytest.mark.parametrize("samples", [1, 50, 2047, 4001])
def test_reverberation_is_a_convolution_at_the_level_of_the_clip(samples):
    waveform = generator(samples).standard_normal(samples).astype(np.float32)
    response = generator(0).standard_normal(700).astype(np.float32)
    expected = np.convolve(waveform.astype(np.float64), response)[:samples]
    expected *= rms(waveform) / rms(expected)
    reverberated = reverberate(waveform, response)
    assert reverberated.dtype == np.float32 and reverberated.shape == waveform.shape
    np.testing.assert_allclose(reverberated, expected, atol=2e-5)
    np.testing.assert_allclose(reverberate(waveform, np.float32([1])), waveform, atol=1e-5)
    np.testing.assert_array_equal(reverberate(0 * waveform, response), 0 * waveform)


def test_random_numbers_belong_to_the_clip_and_the_condition():
    assert clip_rng("ab", "white_10db").random() != clip_rng("ab", "white_5db").random()
    assert clip_rng("ab", "c").random() != clip_rng("abc").random()
