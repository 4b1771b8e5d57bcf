"""The share of a clip that is not silence or a steady background."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_affect.speech_activity import SpeechActivity


CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpora/emodb-msp"


def speech_ratio(samples: np.ndarray, rate: int) -> float:
    activity = SpeechActivity(rate)
    activity.push(samples)
    return activity.ratio()


def noise(seconds: float, rate: int, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(3).standard_normal(round(seconds * rate))).astype(np.float32)


def bursts(rate: int, on: float, off: float, repeats: int, level: float = 0.3) -> np.ndarray:
    """A 500 Hz tone that comes and goes, over silence."""
    times = np.arange(round(on * rate)) / rate
    tone = level * np.sin(2 * np.pi * 500 * times)
    return np.tile(np.concatenate([np.zeros(round(off * rate)), tone]), repeats).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("seconds", [1, 4, 30])
def test_a_steady_background_is_no_speech(rate, seconds):
    times = np.arange(seconds * rate) / rate
    hum = sum(0.3 / k * np.sin(2 * np.pi * 60 * k * times) for k in range(1, 6)).astype(np.float32)
    assert speech_ratio(np.zeros(seconds * rate, dtype=np.float32), rate) == 0
    assert speech_ratio(np.full(seconds * rate, 0.5, dtype=np.float32), rate) == 0
    assert speech_ratio(noise(seconds, rate), rate) == 0
    assert speech_ratio(hum, rate) == 0
    assert speech_ratio(hum + noise(seconds, rate, 0.02), rate) == 0


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("background", [0.0, 0.01])
def test_the_ratio_is_the_share_of_time_above_the_background(rate, background):
    # 0.6 of 2 s, five times
    clip = bursts(rate, on=0.6, off=1.4, repeats=5) + noise(10, rate, background)
    assert speech_ratio(clip, rate) == pytest.approx(0.3, abs=0.015)


def test_levels_under_the_floor_are_silence():
    clip = bursts(16000, on=0.5, off=0.5, repeats=4)
    # a sine has its amplitude / sqrt 2 as level; half of its difference over a quarter period has sin(pi / 4) of that
    at_floor = 0.001 * np.sqrt(2) / np.sin(np.pi / 4) / 0.3
    assert speech_ratio(np.float32(1.06 * at_floor) * clip, 16000) > 0.45
    assert speech_ratio(np.float32(0.94 * at_floor) * clip, 16000) == 0


def test_a_short_clip_has_no_background():
    tone = bursts(16000, on=0.4, off=0.0, repeats=1)
    assert speech_ratio(tone, 16000) == 1
    assert speech_ratio(np.tile(tone, 3), 16000) == 0
    assert speech_ratio(np.zeros(6400, dtype=np.float32), 16000) == 0
    for samples in (0, 1, 327):  # less than a frame
        assert speech_ratio(np.ones(samples, dtype=np.float32), 16000) == 0


@pytest.mark.parametrize("rate", [16000, 44100])
def test_cutting_into_blocks_changes_nothing(rate):
    clip = bursts(rate, on=0.3, off=0.2, repeats=20) + noise(10, rate, 0.003)
    whole = speech_ratio(clip, rate)
    assert 0.5 < whole < 0.7
    generator = np.random.default_rng(0)
    for longest in (50, 3000, 100_000):
        activity, start = SpeechActivity(rate), 0
        while start < len(clip):
            size = int(generator.integers(0, longest))
            activity.push(clip[start : start + size])
            start += size
        assert activity.ratio() == whole


def test_memory_stays_the_same():
    activity = SpeechActivity(16000)
    for _ in range(3):
        activity.push(noise(20.01, 16000))
        assert activity._rest.size < 400 and activity._rest.base is None and activity._histogram.size == 520


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no real speech at ../shared/corpora/emodb-msp")
def test_real_speech_stands_out_and_does_in_noise():
    for path in sorted((CORPUS / "Audios").glob("*.wav"))[::12]:
        clip, rate = soundfile.read(path, dtype="float32")
        assert speech_ratio(clip, rate) > 0.4, path
        noisy = clip + noise(len(clip) / rate, rate, float(np.sqrt(np.mean(clip**2) / 10)))
        assert speech_ratio(noisy, rate) > 0.1, path
        assert speech_ratio(clip * np.float32(0.03), rate) > 0.1, path
