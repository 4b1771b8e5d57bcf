"""Noise at exact ratios, babble, rooms: as they are named, and the same for the same clip."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speech_affect_training.audio.acoustics import impulse_response, reverberate, rms
from speech_affect_training.audio.degradation import (
    SILENT_CLIP_RMS,
    Condition,
    add_noise_at,
    babble,
    clip_rng,
    degrade,
    pink_noise,
    white_noise,
)


TRAINING = Path(__file__).resolve().parents[3] / "training"


def speech_like(seed, samples=8000, level=0.05):
    """Noise whose loudness comes and goes."""
    generator = np.random.default_rng(seed)
    envelope = 1 + np.sin(np.arange(samples) / 700)
    return (level * envelope * generator.standard_normal(samples)).astype(np.float32)


def measured_snr_db(mixture, waveform, noise):
    """From the share of each part in the mixture, so whatever the mixture was scaled by."""
    parts = np.stack([waveform, noise], axis=1).astype(np.float64)
    (share, noise_share), residue, *_ = np.linalg.lstsq(parts, mixture.astype(np.float64), rcond=None)
    assert residue.item() < 1e-9
    return 20 * np.log10(share * rms(waveform) / (noise_share * rms(noise))), share


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 3.3, 10.0, 40.0])
@pytest.mark.parametrize("noise_level", [1e-4, 1.0, 300.0])
def test_the_ratio_is_exact(snr_db, noise_level):
    waveform, noise = speech_like(0), noise_level * white_noise(8000, np.random.default_rng(1))
    mixture = add_noise_at(waveform, noise, snr_db)
    assert mixture.dtype == np.float32
    measured, share = measured_snr_db(mixture, waveform, noise)
    assert measured == pytest.approx(snr_db, abs=1e-4)
    assert share == pytest.approx(1, abs=1e-5)


def test_mixed_by_hand():
    # RMS 0.5 and 2: at 20 dB the noise is brought to 0.05
    mixture = add_noise_at(np.float32([0.5, -0.5]), np.float32([2, 2]), 20.0)
    np.testing.assert_allclose(mixture, [0.55, -0.45], atol=1e-7)


def test_too_loud_a_mixture_is_scaled_not_clipped():
    waveform, noise = speech_like(0, level=0.3), white_noise(8000, np.random.default_rng(1))
    mixture = add_noise_at(waveform, noise, 0.0)
    measured, share = measured_snr_db(mixture, waveform, noise)
    assert np.abs(mixture).max() == 1 and np.sum(np.abs(mixture) == 1) == 1
    assert share < 0.7
    assert measured == pytest.approx(0, abs=1e-4)


def test_silent_clips_get_the_noise_of_faint_speech():
    noise = white_noise(8000, np.random.default_rng(1))
    mixture = add_noise_at(np.zeros(8000, np.float32), noise, 20.0)
    assert rms(mixture) == pytest.approx(SILENT_CLIP_RMS / 10, rel=1e-6)
    for condition in (Condition("white", 0), Condition("babble", 0), Condition("room", 0.3), Condition("clean")):
        degraded = degrade(np.zeros(800, np.float32), condition, [speech_like(2)], np.random.default_rng(0))
        assert np.isfinite(degraded).all() and np.abs(degraded).max() < 0.01


def test_what_cannot_be_mixed():
    waveform = speech_like(0, 10)
    with pytest.raises(ValueError, match="noise has 9 samples and the waveform 10; give as many"):
        add_noise_at(waveform, waveform[:9], 0.0)
    with pytest.raises(ValueError, match="noise is silent, so no signal-to-noise ratio can be reached"):
        add_noise_at(waveform, np.zeros(10, np.float32), 0.0)
    with pytest.raises(ValueError, match="snr_db is nan; give a finite number of decibels"):
        add_noise_at(waveform, waveform, float("nan"))
    with pytest.raises(ValueError, match=r"waveform is float32 \(5, 2\)"):
        add_noise_at(waveform.reshape(5, 2), waveform, 0.0)
    with pytest.raises(ValueError, match="noise is list"):
        add_noise_at(waveform, [0.0] * 10, 0.0)


def band_power_db(noise, low_hz, high_hz):
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequencies_hz = np.fft.rfftfreq(len(noise), 1 / 16000)
    return 10 * np.log10(power[(frequencies_hz >= low_hz) & (frequencies_hz < high_hz)].mean())


def test_white_is_flat_and_pink_falls_by_three_decibels_per_octave():
    octaves = [(100 * 2**k, 200 * 2**k) for k in range(6)]
    white, pink = (make(160_000, np.random.default_rng(0)) for make in (white_noise, pink_noise))
    assert white.dtype == pink.dtype == np.float32 and len(white) == len(pink) == 160_000
    assert rms(white) == pytest.approx(1, abs=0.01) and rms(pink) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.diff([band_power_db(white, *octave) for octave in octaves]), 0, atol=0.5)
    np.testing.assert_allclose(np.diff([band_power_db(pink, *octave) for octave in octaves]), -3.01, atol=0.5)
    assert band_power_db(pink, 1, 25) == pytest.approx(band_power_db(pink, 25, 50), abs=1.2)


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_pink_noise_of_a_few_samples(samples):
    noise = pink_noise(samples, np.random.default_rng(0))
    assert noise.shape == (samples,) and rms(noise) == pytest.approx(1, abs=1e-6)


def test_babble_repeats_each_voice_from_a_random_place():
    voice = np.float32([3, -1, 1, -1])  # RMS sqrt(3)
    starts = set()
    for seed in range(20):
        start = int(np.random.default_rng(seed).integers(4))
        noise = babble([voice], 10, np.random.default_rng(seed))
        expected = [voice[(start + n) % 4] / np.sqrt(3) for n in range(10)]
        np.testing.assert_allclose(noise, expected, rtol=1e-6)
        starts.add(start)
    assert starts == {0, 1, 2, 3}


def test_babble_has_every_voice_equally_loud():
    times = np.arange(16000) / 16000
    tones = [level * np.sin(2 * np.pi * hz * times) for level, hz in ((0.9, 500), (0.01, 1000), (0.2, 2000))]
    noise = babble([tone.astype(np.float32) for tone in tones], 16000, np.random.default_rng(0))
    amplitudes = np.abs(np.fft.rfft(noise)) / 8000
    np.testing.assert_allclose(amplitudes[[500, 1000, 2000]], np.sqrt(2), rtol=1e-4)
    assert np.delete(amplitudes, [500, 1000, 2000]).max() < 1e-4


def test_babble_needs_voices_to_be_heard():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no voices given; babble needs at least one other clip"):
        babble([], 10, generator)
    with pytest.raises(ValueError, match="voice 1 has NaN"):
        babble([speech_like(0), np.float32([np.nan])], 10, generator)
    silent, voice = np.zeros(100, np.float32), speech_like(0, 100)
    np.testing.assert_array_equal(babble([silent, voice], 100, np.random.default_rng(3)) == 0, np.zeros(100, bool))
    with pytest.raises(ValueError, match="noise is silent"):
        degrade(voice, Condition("babble", 0), [silent], generator)


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        (Condition("clean"), "clean"),
        (Condition("white", 10), "white_10db"),
        (Condition("babble", -2.5), "babble_-2.5db"),
        (Condition("room", 0.6), "room_0.6s"),
    ],
)
def test_conditions_have_names(condition, name):
    assert condition.name == name


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("pink", 0, "kind of condition is 'pink'; allowed are clean, white, babble, room"),
        ("clean", 3, "value is 3 of a clean condition; leave it out"),
        ("white", float("inf"), "value of white is inf; give a finite signal-to-noise ratio in decibels"),
        ("room", 0, "value of a room is 0; 0.01 to 10 s are allowed"),
    ],
)
def test_conditions_are_checked(kind, value, message):
    with pytest.raises(ValueError, match=message):
        Condition(kind, value)


def test_each_condition_is_what_its_parts_make_of_it():
    waveform, voices = speech_like(0), [speech_like(1, 5000), speech_like(2, 9000)]

    def degraded(kind, value=0.0):
        return degrade(waveform, Condition(kind, value), voices, np.random.default_rng(7))

    generator = np.random.default_rng(7)
    np.testing.assert_array_equal(degraded("clean"), waveform)
    np.testing.assert_array_equal(degraded("white", 5), add_noise_at(waveform, white_noise(8000, generator), 5))
    generator = np.random.default_rng(7)
    np.testing.assert_array_equal(degraded("babble", 5), add_noise_at(waveform, babble(voices, 8000, generator), 5))
    generator = np.random.default_rng(7)
    np.testing.assert_array_equal(degraded("room", 0.2), reverberate(waveform, impulse_response(0.2, generator)))


def test_a_loud_room_is_scaled_down():
    clicks = np.zeros(8000, np.float32)
    clicks[::4000] = 1
    response = impulse_response(0.01, np.random.default_rng(0))
    response_after_scaling = degrade(clicks, Condition("room", 0.01), [], np.random.default_rng(0))
    assert np.abs(response_after_scaling).max() <= 1
    np.testing.assert_allclose(
        response_after_scaling[:161] / response_after_scaling[0], response / response[0], atol=1e-5
    )


def test_a_clip_that_is_no_waveform():
    with pytest.raises(ValueError, match="waveform is list"):
        degrade([0.0], Condition("clean"), [], np.random.default_rng(0))


def test_random_numbers_belong_to_the_clip_in_every_process():
    code = "from degradation import clip_rng; print(clip_rng('ab', 'white_10db').random(3).tolist())"
    environment = {**os.environ, "PYTHONPATH": str(TRAINING), "PYTHONHASHSEED": "5"}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(printed.stdout) == clip_rng("ab", "white_10db").random(3).tolist()
    assert clip_rng("ab", "white_10db").random() != clip_rng("ab", "white_5db").random()
    assert clip_rng("ab", "c").random() != clip_rng("abc").random()
