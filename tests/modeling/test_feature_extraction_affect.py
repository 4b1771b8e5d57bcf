"""Any audio to the models' input: formats, rates, channels, lengths, and what is refused."""

import io

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoFeatureExtractor

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


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_any_rate_becomes_16_khz(extractor, rate):
    output = extractor({"array": tone(rate), "sampling_rate": rate}, return_tensors="pt")["input_values"][0]
    assert abs(len(output) - 8000) <= 1
    middle = slice(1000, 7000)  # away from the filter's edges
    np.testing.assert_allclose(output[middle], tone(16000)[middle], atol=5e-3)


@pytest.mark.parametrize("rate", [1009, 15999, 44101, 767999])
def test_odd_rates_are_within_0_02_percent(extractor, rate):
    output = extractor({"array": tone(rate, 2.0, 400.0), "sampling_rate": rate})["input_values"][0]
    assert abs(len(output) / 32000 - 1) <= 2e-4
    crossings = np.flatnonzero((output[:-1] < 0) & (output[1:] >= 0))[20:-20]
    period = (crossings[-1] - crossings[0]) / (len(crossings) - 1)
    assert abs(period / 40 - 1) < 3e-4


@pytest.mark.parametrize(
    "options, tolerance",
    [
        ({"format": "WAV", "subtype": "PCM_16"}, 1e-4),
        ({"format": "WAV", "subtype": "PCM_24"}, 1e-6),
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
    results = [
        extractor(source, return_tensors="np")["input_values"][0]
        for source in (data, str(path), path, io.BytesIO(data), {"bytes": data, "path": None}, {"path": str(path)})
    ]
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    middle = results[0][4000:12000]
    # lossy codecs may delay: compare the level and the pitch
    assert abs(np.sqrt(np.mean(middle**2)) - 0.5 / np.sqrt(2)) < max(tolerance, 1e-3)
    assert abs(np.abs(np.fft.rfft(middle)).argmax() * 2 - 440) <= 2


@pytest.mark.parametrize("channels_first", [True, False])
def test_channels_are_averaged(extractor, channels_first):
    left, right = tone(16000), tone(16000, frequency=1000)
    stereo = np.stack([left, right], axis=0 if channels_first else 1)
    expected = (left + right) / 2
    np.testing.assert_allclose(extractor(stereo)["input_values"][0], expected, atol=1e-7)
    data = encoded(np.stack([left, right], axis=1), 16000, format="WAV", subtype="FLOAT")
    np.testing.assert_allclose(extractor(data)["input_values"][0], expected, atol=1e-7)


def test_integers_are_scaled(extractor):
    wave = tone(16000)
    expected = extractor(wave)["input_values"][0]
    for dtype, scale in ((np.int16, 2**15), (np.int32, 2**31)):
        given = extractor((wave.astype(np.float64) * scale).astype(dtype))["input_values"][0]
        np.testing.assert_allclose(given, expected, atol=1e-4)
    unsigned = np.round(wave * 128 + 128).astype(np.uint8)
    np.testing.assert_allclose(extractor(unsigned)["input_values"][0], expected, atol=1e-2)


def test_lists_tensors_and_batches(extractor):
    wave = tone(16000)
    for given in (wave, wave.tolist(), torch.from_numpy(wave), wave.astype(np.float64)):
        np.testing.assert_allclose(extractor(given)["input_values"][0], wave, atol=1e-7)
    batch = extractor([wave, wave[:4000]], return_tensors="pt")
    assert batch["input_values"].shape == (2, 8000)
    assert batch["attention_mask"].sum(dim=1).tolist() == [8000, 4000]
    assert not batch["input_values"][1, 4000:].any()


def test_values_are_clipped_to_full_scale(extractor):
    output = extractor(3 * tone(16000))["input_values"][0]
    assert output.max() == 1 and output.min() == -1


def test_saved_and_loaded(extractor, tmp_path):
    extractor.save_pretrained(tmp_path)
    AffectStudentConfig().save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is AffectFeatureExtractor
    np.testing.assert_array_equal(loaded(tone(16000))["input_values"], extractor(tone(16000))["input_values"])


REFUSED = [
    (np.zeros(1599, np.float32), "a clip lasts 0.100 s; at least 0.1 s are needed"),
    (np.zeros(0, np.float32), "a clip lasts 0.000 s"),
    ([], "no clip given"),
    ("missing.wav", "'missing.wav' is no file; give the path of an audio file"),
    (b"this is not audio", "the given bytes cannot be read as audio .*give one of wav, flac, ogg, opus, mp3"),
    (np.full(4000, np.nan, np.float32), "NaN or infinite samples"),
    (np.full(4000, np.inf, np.float32), "NaN or infinite samples"),
    (np.full(4000, 32000.0, np.float32), "audio reaches 32000; floating-point samples lie in"),
    (np.zeros((2, 3, 4000), np.float32), r"audio has shape \(2, 3, 4000\)"),
    (np.zeros(4000, bool), "type bool"),
    (np.zeros(4000, np.uint16), "audio has type uint16; give uint8"),
    ({"array": np.zeros(4000)}, "also needs its 'sampling_rate'"),
    ({"file": "x"}, "a dict needs 'array' or 'raw'"),
    ({"array": np.zeros(4000), "sampling_rate": 999}, "sampling_rate is 999; 1000 to 768000 Hz"),
    ({"array": np.zeros(4000), "sampling_rate": 16000.5}, "sampling_rate is 16000.5; give a whole number"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300, 9.0])
def test_files_that_hold_what_no_sound_is(extractor, rate, value):
    samples = tone(rate).astype(np.float64)
    samples[1234] = value
    with pytest.raises(ValueError, match="audio reaches 9" if value == 9 else "audio has NaN or infinite samples"):
        extractor(encoded(samples, rate, format="WAV", subtype="DOUBLE"))


def test_files_are_clipped_to_full_scale_at_every_rate(extractor):
    for rate in (16000, 48000):
        samples = extractor(encoded(3 * tone(rate), rate, format="WAV", subtype="FLOAT"))["input_values"][0]
        assert np.abs(samples).max() == 1


@pytest.mark.parametrize("rate", [0, 0.0, False, [16000], "16000", np.array([8000, 16000]), float("nan")])
def test_a_rate_that_is_none_is_not_replaced(extractor, rate):
    with pytest.raises(ValueError, match="sampling_rate is"):
        extractor(tone(16000), sampling_rate=rate)


@pytest.mark.parametrize("given, message", REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_refusals_say_what_to_do(extractor, given, message):
    with pytest.raises(ValueError, match=message):
        extractor(given)


def test_0_1_s_is_enough(extractor):
    assert len(extractor(np.zeros(1600, np.float32))["input_values"][0]) == 1600
