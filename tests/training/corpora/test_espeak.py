"""eSpeak NG through ctypes: its output, that it repeats itself exactly, and its errors."""

import numpy as np
import pytest

from speech_affect_training.corpora import espeak
from speech_affect_training.corpora.espeak import ESPEAK_SAMPLING_RATE, SpeechRequest, synthesize


TEXT = "The journey was usual and brief today."


def median_f0_hz(samples):
    parselmouth = pytest.importorskip("parselmouth", reason="Praat is the reference for pitch (praat-parselmouth)")
    pitch = parselmouth.Sound(samples / 2**15, ESPEAK_SAMPLING_RATE).to_pitch_ac(pitch_floor=60, pitch_ceiling=500)
    f0_hz = pitch.selected_array["frequency"]
    return np.median(f0_hz[f0_hz > 0])


@pytest.fixture(scope="module")
def spoken():
    requests = {
        "plain": SpeechRequest(TEXT, "en-us+m1"),
        "fast": SpeechRequest(TEXT, "en-us+m1", rate_wpm=260),
        "high": SpeechRequest(TEXT, "en-us+m1", pitch=90),
        "monotone": SpeechRequest(TEXT, "en-us+m1", pitch_range=0),
        "female": SpeechRequest(TEXT, "en-us+f2"),
    }
    return requests, dict(zip(requests, synthesize(list(requests.values())), strict=True))


def test_gives_audible_samples_of_a_plausible_length(spoken):
    for samples in spoken[1].values():
        assert samples.dtype == np.int16 and samples.ndim == 1
        assert 1.0 < len(samples) / ESPEAK_SAMPLING_RATE < 4.0
        assert np.abs(samples).max() > 3000


def test_the_parameters_do_what_they_say(spoken):
    samples = spoken[1]
    assert len(samples["fast"]) < 0.8 * len(samples["plain"])
    assert median_f0_hz(samples["high"]) > 1.2 * median_f0_hz(samples["plain"])
    assert median_f0_hz(samples["female"]) > 1.5 * median_f0_hz(samples["plain"])
    assert not np.array_equal(samples["monotone"], samples["plain"])


def test_the_same_requests_give_the_same_samples_whatever_was_said_before(spoken):
    requests, first = spoken
    again = synthesize(list(requests.values()))
    assert all(np.array_equal(one, other) for one, other in zip(first.values(), again, strict=True))
    # f2 has noise in its voice, drawn from the library's own random generator.
    breathy = [requests["female"]]
    assert np.array_equal(*synthesize(breathy, seed=1), *synthesize(breathy, seed=1))
    assert not np.array_equal(*synthesize(breathy, seed=1), *synthesize(breathy, seed=2))


def test_no_requests():
    assert synthesize([]) == []


@pytest.mark.parametrize("voice", ["xx-nowhere", "en-us+nobody", "en-us+../f1"])
def test_unknown_voices_are_named(voice):
    with pytest.raises(RuntimeError, match=f"no voice '{voice}'".replace("+", r"\+")):
        synthesize([SpeechRequest(TEXT, "en-us+f1"), SpeechRequest(TEXT, voice)])


def test_a_crash_of_the_library_becomes_an_error(monkeypatch, tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text("raise SystemExit('phontab is broken')")
    monkeypatch.setattr(espeak, "__file__", str(worker))
    with pytest.raises(RuntimeError, match=r"exit status 1\): phontab is broken"):
        synthesize([])
