"""Any audio to the models' input: formats, rates, channels, lengths, and errors."""

import io

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoFeatureExtractor, Wav2Vec2FeatureExtractor

from speech_affect import AffectFeatureExtractor, AffectStudentConfig


@pytest.fixture
def extractor():
    return AffectFeatureExtractor()


def tone(rate: int, seconds: float = 0.5, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples, rate: int, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "options, tolerance",
    [
        ({"format": "WAV", "subtype": "PCM_16"}, 1e-4),
        ({"format": "WAV", "subtype": "PCM_U8"}, 1e-2),
        ({"format": "WAV", "subtype": "FLOAT"}, 1e-7),
        ({"format": "FLAC"}, 1e-4),
        ({"format": "OGG", "subtype": "VORBIS"}, 0.1),
        ({"format": "OGG", "subtype": "OPUS"}, 0.1),
        ({"format": "MP3"}, 0.1),
    ],
)
def test_formats(extractor, tmp_path, options, tolerance):
    data = encoded(tone(16000, 1.0), 16000, **options)
    path = tmp_path / "clip"
    path.write_bytes(data)
    output = extractor(data, return_tensors="np")["input_values"][0]
    np.testing.assert_array_equal(extractor(path, return_tensors="np")["input_values"][0], output)
    middle = output[4000:12000]
    # lossy codecs may delay: compare the level and the pitch
    assert abs(np.sqrt(np.mean(middle**2)) - 0.5 / np.sqrt(2)) < max(tolerance, 1e-3)
    assert abs(np.abs(np.fft.rfft(middle)).argmax() * 2 - 440) <= 2


def test_lists_tensors_integers_and_batches(extractor):
    wave = tone(16000)
    for given in (wave, wave.tolist(), torch.from_numpy(wave), wave.astype(np.float64)):
        np.testing.assert_allclose(extractor(given)["input_values"][0], wave, atol=1e-7)
    np.testing.assert_allclose(extractor((wave * 2**15).astype(np.int16))["input_values"][0], wave, atol=1e-4)
    batch = extractor([wave, wave[:4000]], return_tensors="pt")
    assert batch["input_values"].shape == (2, 8000)
    assert batch["attention_mask"].sum(dim=1).tolist() == [8000, 4000]
    assert not batch["input_values"][1, 4000:].any()


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_2d_array_is_a_batch(extractor, kind):
    """As for `Wav2Vec2FeatureExtractor`, whose values for the same rows these are."""
    rows = np.stack([tone(16000), tone(16000, frequency=220)])
    stock = Wav2Vec2FeatureExtractor(do_normalize=False)(rows, sampling_rate=16000, return_tensors="np")
    batch = extractor(kind(rows), return_tensors="np")
    np.testing.assert_array_equal(batch["input_values"], stock["input_values"])
    np.testing.assert_array_equal(extractor(list(kind(rows)), return_tensors="np")["input_values"], rows)
    for one in (rows[:1], rows[:1].T, [rows[:1]]):
        np.testing.assert_array_equal(extractor(one)["input_values"], rows[:1])
    mean = extractor({"array": kind(rows), "sampling_rate": 16000})["input_values"]
    np.testing.assert_allclose(mean, [rows.mean(axis=0)], atol=1e-7)
    for shape in ((8000, 2), (2, 2, 8000)):
        with pytest.raises(ValueError, match=rf"audio has shape \({shape[0]}, {shape[1]}"):
            extractor(kind(np.zeros(shape)))


def test_samples_are_clipped_to_full_scale_at_every_rate(extractor):
    files = [encoded(3 * tone(rate), rate, format="WAV", subtype="FLOAT") for rate in (16000, 48000)]
    for clip in (3 * tone(16000), *files):
        assert np.abs(extractor(clip)["input_values"][0]).max() == 1


def test_saved_and_loaded(extractor, tmp_path):
    extractor.save_pretrained(tmp_path)
    AffectStudentConfig().save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is AffectFeatureExtractor
    np.testing.assert_array_equal(loaded(tone(16000))["input_values"], extractor(tone(16000))["input_values"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300, 9.0])
def test_samples_of_files_are_checked(extractor, rate, value):
    samples = tone(rate).astype(np.float64)
    samples[1234] = value
    with pytest.raises(ValueError, match="audio reaches 9" if value == 9 else "audio has NaN or infinite samples"):
        extractor(encoded(samples, rate, format="WAV", subtype="DOUBLE"))


@pytest.mark.parametrize("rate", [0, 0.0, False, [16000], "16000", np.array([8000, 16000]), float("nan")])
def test_a_wrong_rate_is_not_replaced_by_the_default(extractor, rate):
    with pytest.raises(ValueError, match="sampling_rate is"):
        extractor(tone(16000), sampling_rate=rate)


@pytest.mark.parametrize(
    "given, message",
    [
        (np.zeros(1599, np.float32), "a clip lasts 0.100 s; at least 0.1 s are needed"),
        ([], "no clip given"),
        ("missing.wav", "'missing.wav' is no file; give the path of an audio file"),
        (np.full(4000, 32000.0, np.float32), "audio reaches 32000; floating-point samples lie in"),
        (np.zeros(4000, np.uint16), "audio has type uint16; give uint8"),
        ([np.arange(4000)], "audio has integers of type int64 up to 3999, whose full scale is unknown"),
        ((np.zeros(4000), 16000), "a clip is a tuple of samples and a number"),
    ],
)
def test_errors_say_what_to_do(extractor, given, message):
    with pytest.raises(ValueError, match=message):
        extractor(given)
    assert len(extractor(np.zeros(1600, np.float32))["input_values"][0]) == 1600
