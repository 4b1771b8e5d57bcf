"""Every form that a clip can take opens and gives the same samples."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from speech_affect.audio import is_clip, open_audio, to_mono


RATE = 22050
STEREO = np.stack([np.sin(np.arange(1600) / 7), np.cos(np.arange(1600) / 5)], axis=1).astype(np.float32) / 3
MONO = STEREO.mean(axis=1)


def read(clip, sampling_rate: int = RATE, block_samples: int = 777) -> np.ndarray:
    with open_audio(clip, sampling_rate) as source:
        assert source.sampling_rate == RATE and source.num_samples == len(MONO)
        return np.concatenate([to_mono(block) for block in source.blocks(block_samples)])


class Decoder:
    """As torchcodec's AudioDecoder."""

    def get_all_samples(self):
        return SimpleNamespace(data=torch.from_numpy(STEREO.T.copy()), sample_rate=RATE)


@pytest.fixture
def encoded() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, STEREO, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.mark.parametrize("block_samples", [1, 777, 100_000])
@pytest.mark.parametrize(
    "samples",
    [
        MONO,
        MONO.astype(np.float64),
        MONO.tolist(),
        tuple(MONO.tolist()),
        torch.from_numpy(MONO),
        STEREO,
        STEREO.T,
        torch.from_numpy(STEREO.T.copy()),
        STEREO.tolist(),
    ],
    ids=["array", "float64", "list", "tuple", "tensor", "samples first", "channels first", "tensor 2-D", "lists"],
)
def test_samples(samples, block_samples):
    # a block may hold fewer samples than there are channels
    clip = {"array": samples, "sampling_rate": RATE}
    np.testing.assert_allclose(read(clip, 8000, block_samples), MONO, atol=1e-7)
    if is_clip(samples):
        np.testing.assert_allclose(read(samples, RATE, block_samples), MONO, atol=1e-7)


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8"])
def test_integers_are_scaled_in_every_block(dtype):
    full_scale, middle = -int(np.iinfo(dtype).min) or 128, 128 * (dtype == "uint8")
    samples = (STEREO.astype(np.float64) * full_scale + middle).round().astype(dtype)
    np.testing.assert_allclose(read(samples), MONO, atol=0.51 / full_scale + 1e-7)


def test_half_precision_tensors():
    np.testing.assert_allclose(read(torch.from_numpy(MONO).bfloat16()), MONO, atol=2e-3)


def test_files_and_dicts(encoded, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(encoded)
    clips = [
        str(path),
        path,
        encoded,
        io.BytesIO(encoded),
        {"path": str(path), "bytes": None},
        {"path": "elsewhere.wav", "bytes": encoded},
        {"path": path, "bytes": b""},
        {"bytes": io.BytesIO(encoded)},
        {"raw": MONO, "sampling_rate": RATE},
        {"array": MONO, "sampling_rate": np.int64(RATE), "path": "elsewhere.wav"},
        Decoder(),
    ]
    for clip in clips:
        assert is_clip(clip)
        np.testing.assert_allclose(read(clip, sampling_rate=8000), MONO, atol=1e-7)


def test_several_are_not_one():
    for several in ([], (), ["a.wav"], ("a.wav", b""), [MONO, MONO], [[0.1, 0.2], [0.3]], iter(["a.wav"]), None, 3.0):
        assert not is_clip(several)
    for one in ([0.1, 0.2], (1, 2), [np.float32(0.1)], "a.wav", Path("a.wav"), b"", MONO, {}, io.BytesIO()):
        assert is_clip(one)


@pytest.mark.parametrize(
    "clip, message",
    [
        (None, "a clip is a NoneType; give a path, an http address, bytes, a binary file object, an array"),
        (["a.wav"], "a clip is a list"),
        ({"array": MONO}, "a dict with 'array' or 'raw' also needs its 'sampling_rate'"),
        ({}, "a dict needs 'array' or 'raw' with 'sampling_rate', or 'path' or 'bytes'; this one has nothing"),
        ({"audio": "a.wav", "label": 3}, "this one has 'audio', 'label'"),
        ({"path": None, "bytes": None}, "a dict needs"),
        ({"array": MONO, "sampling_rate": 0}, "sampling_rate is 0; 1000 to 768000 Hz are allowed"),
        ({"array": MONO, "sampling_rate": 1e7}, "sampling_rate is 10000000.0; 1000 to 768000 Hz"),
        ({"array": MONO, "sampling_rate": 16000.5}, "sampling_rate is 16000.5; give a whole number of hertz"),
        ({"array": MONO, "sampling_rate": "16000"}, "sampling_rate is '16000'; give a whole number of hertz"),
        ({"array": 0.5, "sampling_rate": RATE}, r"audio has shape \(\) and type float64"),
        ({"array": {"array": MONO}, "sampling_rate": RATE}, r"audio has shape \(\) and type object"),
        ({"array": [MONO, MONO[1:]], "sampling_rate": RATE}, "audio is a list that is no array of numbers"),
        ({"bytes": 5}, "a dict has a int as 'bytes' or 'path'; give bytes, or a path as text"),
        ({"bytes": MONO, "path": "a.wav"}, "a dict has a ndarray as 'bytes' or 'path'"),
        ({"path": ["a.wav"]}, "a dict has a list as 'bytes' or 'path'"),
        ({"path": ""}, "'' is no file"),
        (np.zeros((2, 3, 4)), r"audio has shape \(2, 3, 4\)"),
        (np.float32(0.5), "a clip is a float32"),
    ],
)
def test_refusals(clip, message):
    with pytest.raises(ValueError, match=message):
        open_audio(clip, RATE)


@pytest.mark.parametrize("rate", [22050.0, np.int16(22050), np.float64(22050), torch.tensor(22050)])
def test_a_rate_is_an_int_whatever_it_was(rate):
    for clip, default in (({"array": MONO, "sampling_rate": rate}, 8000), (MONO, rate)):
        with open_audio(clip, default) as source:
            assert source.sampling_rate == RATE and type(source.sampling_rate) is int


def test_a_rate_of_a_file_that_cannot_be(tmp_path):
    path = tmp_path / "slow.wav"
    soundfile.write(path, MONO, 500)
    with pytest.raises(ValueError, match="sampling_rate is 500; 1000 to 768000 Hz are allowed"):
        open_audio(path, RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, 9.0])
def test_samples_that_cannot_be_are_refused_when_they_are_read(value):
    samples = MONO.copy()
    samples[1000] = value
    with pytest.raises(ValueError, match="NaN or infinite|audio reaches 9"):
        read(samples)
