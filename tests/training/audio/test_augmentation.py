"""Augmented copies: each augmentation by itself, repeatable everywhere, and never across speakers."""

from dataclasses import fields, replace

import numpy as np
import pytest
import soundfile

from speech_affect import AffectFeatureExtractor
from speech_affect_training.audio import augmentation
from speech_affect_training.audio.acoustics import clip_rng, rms
from speech_affect_training.audio.augmentation import (
    AugmentationParameters,
    AugmentedClip,
    EpochCopies,
    augment,
    augmented_copies,
    augmented_table,
    change_speed,
    draw_parameters,
    tilt_spectrum,
)
from speech_affect_training.audio.clip_loading import SourceClip
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.settings.augmentation import AugmentationSettings


PROBABILITIES = [field.name for field in fields(AugmentationSettings) if field.name.endswith("probability")]
NEVER = AugmentationSettings(**dict.fromkeys(PROBABILITIES, 0))
ALWAYS = AugmentationSettings(**dict.fromkeys(PROBABILITIES, 1))
UNCHANGED = AugmentationParameters(None, None, None, None, None, "white", None)


def clip(seed, samples=4000):
    return (0.05 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def generator(seed=0):
    return np.random.default_rng(seed)


def augmented(*args, seed=0, **parameters):
    """Clip 0 with these parameters and no other augmentation."""
    return augment(clip(0), UNCHANGED._replace(**parameters), generator(seed), *args)


@pytest.mark.parametrize("samples", [4000, 4001, 31_999])
@pytest.mark.parametrize("factor", [0.85, 0.999, 1.0, 1.2])
def test_speed_divides_the_length(factor, samples):
    changed = change_speed(clip(0, samples), factor)
    assert changed.dtype == np.float32
    quantised = round(factor * 160) / 160
    assert abs(quantised - factor) <= 1 / 320
    assert len(changed) == int(np.ceil(round(samples / quantised, 6)))


def test_a_clip_does_not_become_too_short_for_the_extractor():
    short = clip(0, 1800)
    assert change_speed(short, 1.2) is short  # 1,500 samples
    assert len(change_speed(short, 1.125)) == 1600
    AffectFeatureExtractor()(change_speed(short, 1.125))


def test_tilt_by_hand():
    # [1, 0, 2] filtered with 1 + .5 z^-1: [1, .5, 2], energy 5.25 for 5
    waveform = np.float32([1, 0, 2])
    np.testing.assert_allclose(tilt_spectrum(waveform, 0.5), np.array([1, 0.5, 2]) * np.sqrt(5 / 5.25), atol=1e-6)
    np.testing.assert_array_equal(waveform, [1, 0, 2])
    np.testing.assert_array_equal(tilt_spectrum(np.zeros(3, np.float32), 0.5), np.zeros(3))


def test_joined_end_to_end():
    first, second = np.float32([0.25, 0.5]), np.float32([1])
    joined = augment(first, UNCHANGED._replace(pause_s=3 / 16000), generator(), second)
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, [0.25, 0.5, 0, 0, 0, 1])


def test_gain_gives_what_fits_full_scale():
    np.testing.assert_array_equal(augmented(), clip(0))
    np.testing.assert_allclose(augmented(gain_db=-12.0), clip(0) * 10 ** (-12 / 20), rtol=1e-6)
    np.testing.assert_allclose(augmented(gain_db=60.0), clip(0) / np.abs(clip(0)).max(), rtol=1e-6)


@pytest.mark.parametrize("kind, voices", [("white", []), ("pink", []), ("babble", [5]), ("babble", [])])
def test_noise_has_its_ratio(kind, voices):
    # babble of silent voices gives way to pink noise
    clips = [clip(seed) for seed in voices] or [np.zeros(4000, np.float32)]
    noise = augmented(None, clips, snr_db=10.0, noise=kind) - clip(0)
    assert 20 * np.log10(rms(clip(0)) / rms(noise)) == pytest.approx(10, abs=1e-3)


def test_reverberation_keeps_length_and_level_and_smears():
    clicks = np.zeros(16000, np.float32)
    clicks[:8000:4000] = 0.3
    changed = augment(clicks, UNCHANGED._replace(t60_s=0.5), generator())
    assert len(changed) == 16000 and rms(changed) == pytest.approx(rms(clicks), rel=1e-6)
    assert np.argmax(np.abs(changed[:4000])) == 0  # the direct sound is not delayed
    assert np.count_nonzero(np.abs(changed) > 1e-6) > 8000


def test_parameters_have_their_probabilities_and_ranges():
    settings = AugmentationSettings(tilt_probability=0.8, pause_range_s=(0.1, 0.2))
    drawn = [draw_parameters(settings, generator(seed), True, True) for seed in range(1000)]
    for name, probability, low, high in [
        ("pause_s", 0.3, 0.1, 0.2),
        ("speed", 1, 0.85, 1.2),
        ("tilt", 0.8, -0.5, 0.5),
        ("t60_s", 0.3, 0.1, 0.6),
        ("snr_db", 0.5, 5, 30),
        ("gain_db", 1, -12, 12),
    ]:
        values = [value for value in (getattr(parameters, name) for parameters in drawn) if value is not None]
        assert len(values) / 1000 == pytest.approx(probability, abs=0.05)
        assert low <= min(values) < low + 0.03 * (high - low) and high - 0.03 * (high - low) < max(values) <= high
    kinds = [parameters.noise for parameters in drawn]
    assert min(kinds.count(kind) for kind in ("white", "pink", "babble")) > 270
    alone = [draw_parameters(ALWAYS, generator(seed), False, False) for seed in range(50)]
    assert {parameters.noise for parameters in alone} == {"white", "pink"}
    assert {parameters.pause_s for parameters in alone} == {None}


def test_silence_stays_finite():
    silence = np.zeros(4000, np.float32)
    for seed in range(10):
        parameters = draw_parameters(ALWAYS, generator(seed), True, True)
        changed = augment(silence, parameters, generator(seed), silence, [clip(0)])
        assert np.isfinite(changed).all() and changed.any()


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
        assert len(made.voices) == 3 == len({voice.fingerprint for voice in made.voices})
        for other in (made.partner, *made.voices):
            assert other.fingerprint != made.source.fingerprint
            assert speaker_of[other.fingerprint] == speaker_of[made.source.fingerprint]
            assert clip_fingerprint(other.audio) == other.fingerprint
            used.add((made.source.fingerprint, other.fingerprint))
    pools = [[f for f, speaker in speaker_of.items() if speaker == name] for name in ("a", "b", "Unknown")]
    assert used == {(f, g) for pool in pools for f in pool for g in pool if f != g}  # and each pair occurs


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
    for made in augmented_copies(clips[:7], 4, AugmentationSettings(noise_probability=1)):
        rng = clip_rng(made.fingerprint)
        parameters = draw_parameters(made.settings, rng, made.partner is not None, bool(made.voices))
        partner = made.partner and made.partner.waveform()
        voices = [voice.waveform() for voice in made.voices]
        expected = augment(made.source.waveform(), parameters, rng, partner, voices)
        loaded = made.load()
        assert loaded["sampling_rate"] == 16000
        assert loaded["array"].tobytes() == expected.tobytes()
        np.testing.assert_array_equal(AffectFeatureExtractor()([loaded])["input_values"][0], expected)


def test_what_an_epoch_has_of_a_clip_depends_on_seed_epoch_and_clip_alone(clips):
    """Of two copies to a clip a third are unchanged; no copy is joined."""

    def draws(part, seed=0):
        copies = EpochCopies(part, 2, ALWAYS, seed)
        return {part[row][0]: [copies.draw(row, epoch) for epoch in range(60)] for row in range(len(part))}

    drawn = draws(clips)
    speaker = [entry for entry in clips if entry[2] == "a"]
    assert draws(speaker[::-1]) == {name: drawn[name] for name, _, _ in speaker} != draws(speaker, seed=1)
    every = [made for of_clip in drawn.values() for made in of_clip]
    unchanged = [made for made in every if isinstance(made, SourceClip)]
    assert abs(len(unchanged) / len(every) - 1 / 3) < 4 * (2 / 9 / len(every)) ** 0.5
    copies = [made for made in every if isinstance(made, AugmentedClip)]
    assert len({made.fingerprint for made in copies}) == len(copies) and not any(made.joined for made in copies)


def test_joined_is_known_without_the_audio(clips):
    settings = replace(NEVER, join_probability=0.3, pause_range_s=(0.05, 0.05))
    copies = augmented_copies([entry for entry in clips if entry[2] == "a"], 20, settings)
    for made in copies:
        samples = len(made.source.waveform())
        expected = samples + 800 + len(made.partner.waveform()) if made.joined else samples
        assert len(made.load()["array"]) == expected
    assert 20 < sum(made.joined for made in copies) < 55


def test_audio_that_is_not_used_is_not_read(clips):
    nowhere = SourceClip("ab", {"path": "nowhere.wav", "bytes": None})
    made = AugmentedClip(SourceClip(*clips[0][:2]), 1, NEVER, nowhere, (nowhere,))
    np.testing.assert_array_equal(made.load()["array"], clip(0, 3000))
    with pytest.raises(ValueError, match="'nowhere.wav' is no file"):
        replace(made, settings=replace(NEVER, join_probability=1)).load()


def test_a_joined_copy_has_no_label_of_its_own(make_table):
    known = {"speakers": ["1", "2", "2"], "genders": ["Male", "Female", "Female"], "emotions": ["A", "H", "S"]}
    table = make_table(3, **known, votes=[("A", "H"), ("H",), ()], rating_variances=np.ones((3, 3)))
    table = replace(table, grades=[np.ones((2, 3))] * 3)
    partner = SourceClip("partner", {})
    copies = [
        AugmentedClip(SourceClip(fingerprint, {}), 1, settings, partner)
        for fingerprint, settings in zip(table.fingerprints[::-1], (ALWAYS, ALWAYS, NEVER), strict=True)
    ]
    assert [copy.joined for copy in copies] == [True, True, False]
    augmented = augmented_table(table, copies)
    assert augmented.files == ["clip2.wav#1", "clip1.wav#1", "clip0.wav#1"]
    assert augmented.fingerprints == [copy.fingerprint for copy in copies]
    assert np.isnan(augmented.labels[:2]).all()
    np.testing.assert_array_equal(augmented.labels[2], table.labels[0])
    np.testing.assert_array_equal(augmented.rating_variances, [[np.nan] * 3, [np.nan] * 3, [1] * 3])
    assert [len(grades) for grades in augmented.grades] == [0, 0, 2]
    assert augmented.emotions == [None, None, "A"] and augmented.votes == [(), (), ("A", "H")]
    assert augmented.speakers == ["2", "2", "1"] and augmented.genders == ["Female", "Female", "Male"]
    assert augmented_table(table, []).labels.shape == (0, 3)
