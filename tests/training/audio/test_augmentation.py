"""Altered copies: each alteration by itself, repeatable everywhere, and never across speakers."""

import csv
import hashlib
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speech_affect import AffectFeatureExtractor
from speech_affect_training.audio import augmentation
from speech_affect_training.audio.acoustics import rms
from speech_affect_training.audio.augmentation import (
    Alterations,
    AugmentationSettings,
    AugmentedClip,
    SourceClip,
    augment,
    augmented_copies,
    change_speed,
    draw_alterations,
    join,
    tilt_spectrum,
)
from speech_affect_training.audio.degradation import clip_rng
from speech_affect_training.files import clip_fingerprint


TRAINING = Path(__file__).resolve().parents[3] / "training"
CORPUS = Path(__file__).resolve().parents[3] / "../shared/corpora/emodb-msp"
PROBABILITIES = [field.name for field in fields(AugmentationSettings) if field.name.endswith("probability")]
NOTHING = AugmentationSettings(**dict.fromkeys(PROBABILITIES, 0))


def clip(seed, samples=4000):
    return (0.05 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def generator(seed=0):
    return np.random.default_rng(seed)


# the alterations


@pytest.mark.parametrize("samples", [4000, 4001, 31_999])
@pytest.mark.parametrize("factor", [0.85, 0.9, 0.999, 1.0, 1.07, 1.2])
def test_speed_divides_the_length(factor, samples):
    altered = change_speed(clip(0, samples), factor)
    assert altered.dtype == np.float32
    quantised = round(factor * 160) / 160
    assert abs(quantised - factor) <= 1 / 320
    assert len(altered) == int(np.ceil(round(samples / quantised, 6)))


@pytest.mark.parametrize("factor", [0.85, 0.90625, 1.1, 1.2])
def test_speed_multiplies_every_frequency(factor):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    altered = change_speed(tone, factor)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * factor * np.arange(len(altered)) / 16000)
    np.testing.assert_allclose(altered[100:-100], expected[100:-100], atol=2e-3)


def test_a_clip_does_not_become_too_short_for_the_extractor():
    short = clip(0, 1800)
    assert change_speed(short, 1.2) is short  # 1,500 samples
    assert len(change_speed(short, 1.125)) == 1600
    assert change_speed(short, 0.9).shape == (2000,)
    AffectFeatureExtractor()(change_speed(short, 1.125))


def test_tilt_by_hand():
    # [1, 0, 2] filtered with 1 + .5 z^-1: [1, .5, 2], energy 5.25 for 5
    waveform = np.float32([1, 0, 2])
    np.testing.assert_allclose(tilt_spectrum(waveform, 0.5), np.array([1, 0.5, 2]) * np.sqrt(5 / 5.25), atol=1e-6)
    np.testing.assert_array_equal(waveform, [1, 0, 2])
    np.testing.assert_array_equal(tilt_spectrum(np.zeros(3, np.float32), 0.5), np.zeros(3))


@pytest.mark.parametrize("coefficient", [-0.5, 0.3])
def test_tilt_has_the_filters_response(coefficient):
    waveform = clip(0)
    waveform[-1] = 0  # so that the filter's circular response is its linear one
    tilted = tilt_spectrum(waveform, coefficient)
    assert rms(tilted) == pytest.approx(rms(waveform), rel=1e-6)
    measured = np.fft.rfft(tilted.astype(np.float64)) / np.fft.rfft(waveform.astype(np.float64))
    expected = 1 + coefficient * np.exp(-2j * np.pi * np.fft.rfftfreq(4000))
    np.testing.assert_allclose(measured / measured[0].real, expected / expected[0].real, atol=1e-3)


def test_joined_end_to_end():
    joined = join(np.float32([1, 2]), np.float32([3]), 3 / 16000)
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, [1, 2, 0, 0, 0, 3])


def always(**ranges):
    """Settings with the alterations of these ranges for certain, and no other."""
    owner = {"t60_range_s": "reverberation", "snr_range_db": "noise", "pause_range_s": "join"}
    names = {owner.get(name, name.split("_")[0]) + "_probability": 1 for name in ranges}
    return replace(NOTHING, **names, **ranges)


def test_without_alterations_a_clip_is_itself():
    np.testing.assert_array_equal(augment(clip(0), NOTHING, generator(), clip(1), [clip(2)]), clip(0))


@pytest.mark.parametrize("gain_db", [-12.0, 6.0])
def test_gain(gain_db):
    altered = augment(clip(0), always(gain_range_db=(gain_db, gain_db)), generator())
    np.testing.assert_allclose(altered, clip(0) * 10 ** (gain_db / 20), rtol=1e-6)


def test_gain_beyond_full_scale_gives_what_fits():
    altered = augment(clip(0), always(gain_range_db=(60, 60)), generator())
    np.testing.assert_allclose(altered, clip(0) / np.abs(clip(0)).max(), rtol=1e-6)


def test_noise_has_its_ratio():
    settings = always(snr_range_db=(10, 10))
    for seed, voices in [(0, []), (1, []), (2, [clip(5)]), (3, [clip(5)]), (4, [clip(5)])]:
        noise = augment(clip(0), settings, generator(seed), voices=voices) - clip(0)
        assert 20 * np.log10(rms(clip(0)) / rms(noise)) == pytest.approx(10, abs=1e-3)


def test_noise_is_white_pink_or_babble_in_equal_parts():
    settings = always(snr_range_db=(10, 10))
    drawn = [draw_alterations(settings, generator(seed), False, True).noise for seed in range(600)]
    counts = [drawn.count(kind) for kind in ("white", "pink", "babble")]
    assert sum(counts) == 600 and min(counts) > 160
    assert {draw_alterations(settings, generator(s), False, False).noise for s in range(50)} == {"white", "pink"}


def test_babble_of_silent_voices_gives_way_to_noise(monkeypatch):
    babbled = Alterations(None, None, None, None, 10.0, "babble", None)
    monkeypatch.setattr(augmentation, "draw_alterations", lambda *args: babbled)
    altered = augment(clip(0), NOTHING, generator(), voices=[np.zeros(4000, np.float32)])
    assert 20 * np.log10(rms(clip(0)) / rms(altered - clip(0))) == pytest.approx(10, abs=1e-3)


def test_reverberation_keeps_length_and_level_and_smears():
    clicks = np.zeros(16000, np.float32)
    clicks[:8000:4000] = 0.3
    altered = augment(clicks, always(t60_range_s=(0.5, 0.5)), generator())
    assert len(altered) == 16000 and rms(altered) == pytest.approx(rms(clicks), rel=1e-6)
    assert np.argmax(np.abs(altered[:4000])) == 0  # the direct sound is not delayed
    assert np.count_nonzero(np.abs(altered) > 1e-6) > 8000


def test_joining_needs_a_partner():
    settings = always(pause_range_s=(0.1, 0.1))
    altered = augment(clip(0), settings, generator(), clip(1))
    np.testing.assert_array_equal(altered, np.concatenate([clip(0), np.zeros(1600), clip(1)]))
    np.testing.assert_array_equal(augment(clip(0), settings, generator()), clip(0))


def test_probabilities_and_ranges_are_kept():
    settings = AugmentationSettings(tilt_probability=0.8, pause_range_s=(0.1, 0.2))
    drawn = [draw_alterations(settings, generator(seed), True, True) for seed in range(1000)]
    for name, probability, low, high in [
        ("pause_s", 0.3, 0.1, 0.2),
        ("speed", 1, 0.85, 1.2),
        ("tilt", 0.8, -0.5, 0.5),
        ("t60_s", 0.3, 0.1, 0.6),
        ("snr_db", 0.5, 5, 30),
        ("gain_db", 1, -12, 12),
    ]:
        values = [value for value in (getattr(alterations, name) for alterations in drawn) if value is not None]
        assert len(values) / 1000 == pytest.approx(probability, abs=0.05)
        assert low <= min(values) < low + 0.03 * (high - low) and high - 0.03 * (high - low) < max(values) <= high


def test_the_same_state_gives_the_same_bits():
    settings = AugmentationSettings(join_probability=1, noise_probability=1, reverberation_probability=1)
    first, again, other = (augment(clip(0), settings, generator(s), clip(1), [clip(2)]) for s in (3, 3, 4))
    assert first.dtype == np.float32 and np.abs(first).max() <= 1
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_silence_stays_finite():
    settings = AugmentationSettings(**dict.fromkeys(PROBABILITIES, 1))
    for seed in range(10):
        altered = augment(np.zeros(4000, np.float32), settings, generator(seed), np.zeros(4000, np.float32), [clip(0)])
        assert np.isfinite(altered).all() and altered.any()


def test_what_is_no_waveform():
    with pytest.raises(ValueError, match=r"waveform is float32 \(0,\)"):
        augment(np.zeros(0, np.float32), NOTHING, generator())
    with pytest.raises(ValueError, match="partner has NaN"):
        augment(clip(0), always(pause_range_s=(0, 0)), generator(), np.float32([np.nan]))


# the settings


def test_settings_of_a_recipe():
    settings = AugmentationSettings.from_mapping({"speed_range": [1, 1.1], "join_probability": 0})
    assert settings == AugmentationSettings(speed_range=(1.0, 1.1), join_probability=0.0)
    assert isinstance(settings.speed_range[0], float) and isinstance(settings.join_probability, float)
    assert AugmentationSettings.from_mapping({}) == AugmentationSettings()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (["speed"], r"augmentation is \['speed'\]; give a mapping of settings"),
        ({"pitch": 1}, "unknown setting 'pitch'; allowed are speed_probability, speed_range, .*, pause_range_s$"),
        ({"noise_probability": 1.5}, "noise_probability is 1.5; give a probability, 0 to 1"),
        ({"noise_probability": -0.1}, "noise_probability is -0.1; give"),
        ({"noise_probability": float("nan")}, "noise_probability is nan; give"),
        ({"noise_probability": True}, "noise_probability is True; give"),
        ({"noise_probability": "often"}, "noise_probability is 'often'; give"),
        ({"speed_range": (0.4, 1)}, r"speed_range is \(0.4, 1\); give two numbers, the lower first, within 0.5 to 2"),
        ({"speed_range": (1.2, 0.9)}, "speed_range is .*the lower first"),
        ({"speed_range": 1.2}, "speed_range is 1.2; give two numbers"),
        ({"speed_range": (1, 1, 1)}, "speed_range is .*give two numbers"),
        ({"speed_range": ("1", 2)}, "speed_range is .*give two numbers"),
        ({"speed_range": (False, 2)}, "speed_range is .*give two numbers"),
        ({"speed_range": (1, float("nan"))}, "speed_range is .*give two numbers"),
        ({"tilt_range": (-1, 0)}, "tilt_range is .*within -0.99 to 0.99"),
        ({"gain_range_db": (0, 61)}, "gain_range_db is .*within -60 to 60"),
        ({"t60_range_s": (0, 1)}, "t60_range_s is .*within 0.01 to 10"),
        ({"snr_range_db": (-61, 1)}, "snr_range_db is .*within -60 to 100"),
        ({"pause_range_s": (-1, 1)}, "pause_range_s is .*within 0 to 10"),
        ({"babble_voices": 17}, "babble_voices is 17; give a whole number, 0 to 16"),
        ({"babble_voices": 2.0}, "babble_voices is 2.0; give a whole number"),
        ({"babble_voices": True}, "babble_voices is True; give a whole number"),
    ],
)
def test_settings_are_checked(mapping, message):
    with pytest.raises(ValueError, match=message):
        AugmentationSettings.from_mapping(mapping)


# the copies


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Eighteen clips of four speakers, two of them unknown, as (fingerprint, audio, speaker)."""
    folder = tmp_path_factory.mktemp("clips")
    speakers = ["a"] * 6 + ["b"] * 6 + ["lonely"] + [None] * 2 + ["Unknown"] * 3
    found = []
    for index, speaker in enumerate(speakers):
        path = folder / f"{index}.wav"
        soundfile.write(path, clip(index, 3000 + 100 * index), 16000, subtype="FLOAT")
        audio = {"path": str(path), "bytes": None}
        found.append((clip_fingerprint(audio), audio, speaker))
    return found


def described(copies):
    """What decides each copy, by its clip and number."""
    return {
        (made.source.fingerprint, made.copy): (
            made.fingerprint,
            made.partner and made.partner.fingerprint,
            [voice.fingerprint for voice in made.voices],
        )
        for made in copies
    }


def test_copies_come_copy_by_copy(clips):
    copies = augmented_copies(clips, 3, AugmentationSettings())
    order = [(made.copy, made.source.fingerprint) for made in copies]
    assert order == [(copy, fingerprint) for copy in (1, 2, 3) for fingerprint, _, _ in clips]
    assert [made.source.audio for made in copies[: len(clips)]] == [audio for _, audio, _ in clips]
    assert len({made.fingerprint for made in copies} | {fingerprint for fingerprint, _, _ in clips}) == 4 * len(clips)
    assert augmented_copies(clips, 0, AugmentationSettings()) == []


def test_nothing_crosses_between_speakers(clips):
    speaker_of = {fingerprint: speaker or "Unknown" for fingerprint, _, speaker in clips}
    used = set()
    for made in augmented_copies(clips, 8, AugmentationSettings()):
        if speaker_of[made.source.fingerprint] == "lonely":
            assert made.partner is None and not made.voices and not made.joined
            continue
        others = [made.partner, *made.voices]
        assert len(made.voices) == 3 == len({voice.fingerprint for voice in made.voices})
        for other in others:
            assert other.fingerprint != made.source.fingerprint
            assert speaker_of[other.fingerprint] == speaker_of[made.source.fingerprint]
            assert clip_fingerprint(other.audio) == other.fingerprint
            used.add((made.source.fingerprint, other.fingerprint))
    pools = [[f for f, speaker in speaker_of.items() if speaker == name] for name in ("a", "b", "Unknown")]
    assert used == {(f, g) for pool in pools for f in pool for g in pool if f != g}  # and each pair is met


def test_copies_depend_on_the_speakers_own_clips_alone(clips):
    settings = AugmentationSettings()
    everything = described(augmented_copies(clips, 4, settings))
    for speakers in (["a"], ["b", "lonely"], ["b", None, "Unknown"]):
        few = [entry for entry in clips if entry[2] in speakers]
        for listed in (few, few[::-1], few + few[:2]):
            got = described(augmented_copies(listed, 4, settings))
            assert got == {key: everything[key] for key in got}
            assert {fingerprint for fingerprint, _ in got} == {fingerprint for fingerprint, _, _ in few}
    fewer = [entry for entry in clips if entry[2] == "a"][:-1]
    changed = described(augmented_copies(fewer, 4, settings))
    assert changed != {key: everything[key] for key in changed}  # the speaker's own clips do count


def test_fewer_clips_than_voices(clips):
    made = augmented_copies(clips[:2], 1, AugmentationSettings())[0]
    assert made.partner.fingerprint == clips[1][0] and [voice.fingerprint for voice in made.voices] == [clips[1][0]]
    made = augmented_copies(clips[:6], 1, AugmentationSettings(babble_voices=0))[0]
    assert made.partner and made.voices == ()


def test_counts_are_checked(clips):
    with pytest.raises(ValueError, match="copies is -1; give 0 or more"):
        augmented_copies(clips, -1, AugmentationSettings())
    with pytest.raises(ValueError, match="copy is 0; copies are numbered from 1 on"):
        AugmentedClip(SourceClip(*clips[0][:2]), 0, AugmentationSettings())


def test_the_fingerprint_is_of_all_that_decides_the_result(clips, monkeypatch):
    made = augmented_copies(clips, 1, AugmentationSettings())[0]
    other = SourceClip(*clips[7][:2])
    changed = [
        replace(made, source=other),
        replace(made, copy=2),
        replace(made, settings=AugmentationSettings(join_probability=0.31)),
        replace(made, partner=other),
        replace(made, partner=None),
        replace(made, voices=(*made.voices[:2], other)),
        replace(made, voices=made.voices[::-1]),
    ]
    fingerprints = {made.fingerprint, *(version.fingerprint for version in changed)}
    assert len(fingerprints) == 8 and all(len(f) == 64 and int(f, 16) for f in fingerprints)
    moved = replace(made, source=SourceClip(made.source.fingerprint, {"path": "elsewhere.wav", "bytes": None}))
    assert moved.fingerprint == made.fingerprint
    monkeypatch.setattr(augmentation, "AUGMENTATION_VERSION", 2)
    assert made.fingerprint not in fingerprints


def test_a_loaded_copy_is_the_augmented_clip(clips):
    settings = AugmentationSettings(noise_probability=1)
    for made in augmented_copies(clips[:7], 4, settings):
        partner = made.partner and made.partner.waveform()
        voices = [voice.waveform() for voice in made.voices]
        expected = augment(made.source.waveform(), settings, clip_rng(made.fingerprint), partner, voices)
        loaded = made.load()
        assert loaded["sampling_rate"] == 16000
        assert loaded["array"].tobytes() == expected.tobytes()
        np.testing.assert_array_equal(AffectFeatureExtractor()([loaded])["input_values"][0], expected)


def test_joined_is_known_without_the_audio(clips):
    settings = replace(NOTHING, join_probability=0.3, pause_range_s=(0.05, 0.05))
    copies = augmented_copies([entry for entry in clips if entry[2] == "a"], 20, settings)
    for made in copies:
        samples = len(made.source.waveform())
        expected = samples + 800 + len(made.partner.waveform()) if made.joined else samples
        assert len(made.load()["array"]) == expected
    assert 20 < sum(made.joined for made in copies) < 55
    nowhere = SourceClip("ab", {"path": "nowhere.wav", "bytes": None})
    assert AugmentedClip(nowhere, 1, replace(settings, join_probability=1), nowhere).joined


def test_audio_that_is_not_played_is_not_read(clips):
    nowhere = SourceClip("ab", {"path": "nowhere.wav", "bytes": None})
    made = AugmentedClip(SourceClip(*clips[0][:2]), 1, NOTHING, nowhere, (nowhere,))
    np.testing.assert_array_equal(made.load()["array"], clip(0, 3000))
    with pytest.raises(ValueError, match="'nowhere.wav' is no file"):
        replace(made, settings=replace(NOTHING, join_probability=1)).load()
    with pytest.raises(ValueError, match="'nowhere.wav' is no file"):
        AugmentedClip(nowhere, 1, NOTHING).load()


def test_any_audio_becomes_mono_at_16_khz(tmp_path):
    path = tmp_path / "stereo.wav"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    soundfile.write(path, np.stack([tone, np.zeros(8000)], axis=1), 8000, subtype="FLOAT")
    waveform = SourceClip("ab", {"path": "not read", "bytes": path.read_bytes()}).waveform()
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform[100:-100], expected[100:-100], atol=1e-3)


def test_a_copy_is_the_same_in_every_process(clips):
    settings = dict.fromkeys(PROBABILITIES, 1)
    clips = clips[:3]
    code = (
        "import hashlib; from augmentation import *\n"
        f"for made in augmented_copies({clips!r}, 2, AugmentationSettings(**{settings})):\n"
        "    print(made.fingerprint, made.joined, hashlib.sha256(made.load()['array'].tobytes()).hexdigest())\n"
    )
    # with two threads, for not every function of torch rounds as it does with one
    environment = {**os.environ, "PYTHONPATH": str(TRAINING), "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = [
            f"{made.fingerprint} {made.joined} {hashlib.sha256(made.load()['array'].tobytes()).hexdigest()}"
            for made in augmented_copies(clips, 2, AugmentationSettings(**settings))
        ]
    finally:
        torch.set_num_threads(threads)
    assert done.stdout.splitlines() == here and len(here) == 6


@pytest.mark.skipif(
    not CORPUS.is_dir(), reason="needs the real speech of shared/corpora/emodb-msp beside the repository"
)
def test_real_speech_is_heard_in_every_copy():
    with open(CORPUS / "Labels/labels_consensus.csv", newline="") as file:
        rows = list(csv.DictReader(file))[::6]
    audios = [{"path": str(CORPUS / "Audios" / row["FileName"]), "bytes": None} for row in rows]
    clips = [(clip_fingerprint(audio), audio, row["SpkrID"]) for audio, row in zip(audios, rows, strict=True)]
    for made in augmented_copies(clips, 1, AugmentationSettings()):
        array = made.load()["array"]
        assert array.dtype == np.float32 and array.ndim == 1
        assert np.isfinite(array).all() and rms(array) > 1e-4 and np.abs(array).max() <= 1
        seconds = len(made.source.waveform()) / 16000
        assert made.joined or seconds / 1.21 < len(array) / 16000 < seconds / 0.84
