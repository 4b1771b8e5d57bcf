"""Degraded test clips: the same in every run, babble of other speakers, labels unchanged."""

import numpy as np
import pytest
import soundfile

from speech_affect import AffectFeatureExtractor
from speech_affect_training.audio.acoustics import (
    add_noise,
    babble,
    clip_rng,
    impulse_response,
    reverberate,
    white_noise,
)
from speech_affect_training.audio.degradation import degrade, degraded_clips
from speech_affect_training.settings.conditions import Condition


BABBLE = Condition("babble", 5.0)
CONDITIONS = [Condition("white", 10.0), BABBLE, Condition("room", 0.3)]


def generator():
    return np.random.default_rng(7)


def noise(seed, samples=8000):
    return (0.05 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_each_condition_is_what_its_parts_make_of_it():
    waveform, voices = noise(0), [noise(1, 5000), noise(2, 9000)]
    for kind, value, expected in (
        ("white", 5, lambda rng: add_noise(waveform, white_noise(8000, rng), 5)),
        ("babble", 5, lambda rng: add_noise(waveform, babble(voices, 8000, rng), 5)),
        ("room", 0.2, lambda rng: reverberate(waveform, impulse_response(0.2, rng))),
    ):
        degraded = degrade(waveform, Condition(kind, value), voices, generator())
        np.testing.assert_array_equal(degraded, expected(generator()))


def test_silence_stays_finite():
    for condition in (Condition("white", 0), Condition("babble", 0), Condition("room", 0.3)):
        degraded = degrade(np.zeros(800, np.float32), condition, [noise(2)], generator())
        assert np.isfinite(degraded).all() and np.abs(degraded).max() < 0.01


def test_a_loud_room_is_scaled_down():
    clicks = np.zeros(8000, np.float32)
    clicks[::4000] = 1
    response = impulse_response(0.01, generator())
    degraded = degrade(clicks, Condition("room", 0.01), [], generator())
    assert np.abs(degraded).max() <= 1
    np.testing.assert_allclose(degraded[:161] / degraded[0], response / response[0], atol=1e-5)


@pytest.fixture
def table(clips, make_table):
    return make_table(5, fingerprints=list(clips), speakers=["1", "1", "2", "2", "3"])


def voices_of(clip) -> set[str]:
    return {voice.fingerprint for voice in clip.voices}


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_a_clip_is_always_degraded_alike(table, clips, condition):
    first, again = (degraded_clips(table, clips, condition) for _ in range(2))
    for clip, same, source in zip(first, again, clips.values(), strict=True):
        assert clip == same and clip.fingerprint == same.fingerprint
        loaded = clip.load()
        np.testing.assert_array_equal(loaded["array"], same.load()["array"])
        assert loaded["sampling_rate"] == 16000 and loaded["array"].dtype == np.float32
        assert loaded["array"].shape == soundfile.read(source["path"])[0].shape
        assert AffectFeatureExtractor()(loaded)["input_values"][0].shape == loaded["array"].shape
    assert len({clip.load()["array"].tobytes() for clip in first}) == 5


def test_the_noise_is_the_clips_own(table, clips):
    (clip, *_) = degraded_clips(table, clips, CONDITIONS[0])
    waveform = soundfile.read(next(iter(clips.values()))["path"], dtype="float32")[0]
    own = white_noise(len(waveform), clip_rng(table.fingerprints[0], "white_10db"))
    np.testing.assert_array_equal(clip.load()["array"], add_noise(waveform, own, 10.0))


def test_babble_is_of_other_speakers(table, clips):
    for clip, speaker in zip(degraded_clips(table, clips, BABBLE), table.speakers, strict=True):
        others = {f for f, who in zip(table.fingerprints, table.speakers, strict=True) if who != speaker}
        assert voices_of(clip) <= others and len(clip.voices) == min(4, len(others))
        voices = [soundfile.read(clips[voice.fingerprint]["path"], dtype="float32")[0] for voice in clip.voices]
        expected = degrade(clip.source.waveform(), BABBLE, voices, clip_rng(clip.source.fingerprint, BABBLE.name))
        np.testing.assert_allclose(clip.load()["array"], expected, atol=1e-6)


def test_babble_of_one_speaker_is_of_the_other_clips(clips, make_table):
    for speaker in ("1", None):
        table = make_table(5, fingerprints=list(clips), speakers=[speaker] * 5)
        for clip in degraded_clips(table, clips, BABBLE):
            assert voices_of(clip) == set(clips) - {clip.source.fingerprint}
        (clip,) = degraded_clips(table.take([2]), clips, BABBLE)
        with pytest.raises(ValueError, match="no voices given; babble needs at least one other clip"):
            clip.load()


def test_four_voices_of_babble_and_not_the_same_for_all(make_table):
    table = make_table(40, speakers=[str(index % 20) for index in range(40)])
    made = degraded_clips(table, dict.fromkeys(table.fingerprints), BABBLE)
    assert all(len(clip.voices) == len(voices_of(clip)) == 4 for clip in made)
    assert len(set.union(*map(voices_of, made))) > 30
    order = [4, 2, 0, 1, 3, *range(5, 40)]  # which does not matter
    again = degraded_clips(table.take(order), dict.fromkeys(table.fingerprints), BABBLE)
    assert again == [made[index] for index in order]


def test_identity_is_of_source_condition_and_voices(table, clips):
    conditions = [*CONDITIONS, Condition("white", 5.0), Condition("babble", 10.0), Condition("room", 0.6)]
    made = [clip for condition in conditions for clip in degraded_clips(table, clips, condition)]
    fewer = degraded_clips(table.take([0, 1, 2]), clips, BABBLE)
    assert len({clip.fingerprint for clip in made + fewer}) == 5 * 6 + 3
    assert all(len(clip.fingerprint) < 200 for clip in made)  # it names a file
    white = degraded_clips(table.take([0, 1, 2]), clips, CONDITIONS[0])
    assert [clip.fingerprint for clip in white] == [clip.fingerprint for clip in made[:3]]
