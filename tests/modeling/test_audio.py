"""Every form that a clip can take opens and gives the same mono samples."""

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

import speech_affect
from speech_affect.audio import (
    each_clip,
    is_clip,
    is_indexed,
    is_one_clip,
    load_waveform,
    open_audio,
    to_mono,
    to_waveform,
)


RATE = 22050
STEREO = np.stack([np.sin(np.arange(1600) / 7), np.cos(np.arange(1600) / 5)], axis=1).astype(np.float32) / 3
MONO = STEREO.mean(axis=1)


def read(clip, sampling_rate: int = RATE, block_samples: int = 777) -> np.ndarray:
    with open_audio(clip, sampling_rate) as source:
        assert source.sampling_rate == RATE and type(source.sampling_rate) is int
        assert source.num_samples == len(MONO)
        return np.concatenate([to_mono(block) for block in source.blocks(block_samples)])


class Decoder:
    """As torchcodec's AudioDecoder."""

    def get_all_samples(self):
        return SimpleNamespace(data=torch.from_numpy(STEREO.T.copy()), sample_rate=RATE)


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


WIDE = np.array([0, 16384, -32768, 3], dtype=np.int64)  # 16-bit samples in wider types


@pytest.mark.parametrize(
    "samples",
    [
        *(WIDE, WIDE.tolist(), tuple(WIDE.tolist()), WIDE.astype(np.int32), WIDE.astype(">i4")),
        *(torch.from_numpy(WIDE), torch.from_numpy(WIDE).int(), WIDE.astype(np.int32) * 256),  # 24 bits
    ],
    ids=["int64", "list", "tuple", "int32", "big-endian", "tensor int64", "tensor int32", "24 bits"],
)
def test_integers_wider_than_their_content_are_refused(samples):
    message = r"integers of type int(32|64) up to (32768|8388608), whose full scale is unknown: give .* as int16"
    for clip in (samples, {"array": samples, "sampling_rate": RATE}):
        with pytest.raises(ValueError, match=message):
            open_audio(clip, RATE)  # before a block is read
    with pytest.raises(ValueError, match=message):
        to_mono(samples)


def test_the_ways_that_the_message_names_give_the_right_values():
    expected = np.float32([0, 0.5, -1, 3 / 32768])
    for clip in (WIDE.astype(np.int16), WIDE / 32768, torch.from_numpy(WIDE).short(), (WIDE / 32768).tolist()):
        np.testing.assert_array_equal(to_mono(clip), expected)


def test_integers_that_use_their_type_keep_its_scale_in_quiet_blocks():
    samples = np.repeat(np.array([2**30, -(2**31), 3, -(2**22)], dtype=np.int32), 400)
    expected = np.repeat(np.float32([0.5, -1, 3 / 2**31, -(2**-9)]), 400)
    with open_audio(samples, RATE) as source:
        np.testing.assert_array_equal(np.concatenate(list(source.blocks(400))), expected)
    # alone, a block does not tell its scale; zeros need none
    with pytest.raises(ValueError, match="whose full scale is unknown"):
        to_mono(samples[800:])
    for silence in (np.zeros(9, dtype=np.int64), [0] * 9, torch.zeros(9, dtype=torch.int32)):
        assert not to_mono(silence).any()


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_2d_array_may_be_one_clip_or_several(kind):
    for shape in ((2, 1600), (1600, 2)):
        message = rf"audio has shape \({shape[0]}, {shape[1]}\), which may be clips or .* give list\(audio\) for"
        with pytest.raises(ValueError, match=message):
            is_one_clip(kind(np.zeros(shape)))
    assert all(is_one_clip(kind(np.zeros(shape))) for shape in ((1, 1600), (1600, 1), (1600,)))
    assert is_one_clip({"array": np.zeros((2, 1600)), "sampling_rate": RATE})
    assert not is_one_clip([kind(np.zeros((2, 1600)))])


@pytest.mark.parametrize("pair", [(MONO, 16000), (16000, MONO), [torch.zeros(1, 9), 16000], (MONO.tolist(), 8000)])
def test_samples_with_their_rate_beside_them_are_refused(pair):
    message = r"a clip is a (tuple|list) of samples and a number; give {'array': samples, 'sampling_rate': rate}"
    for function in (is_one_clip, lambda clip: open_audio(clip, RATE)):
        with pytest.raises(ValueError, match=message):
            function(pair)


def test_files_and_dicts(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, STEREO, RATE, subtype="FLOAT")
    encoded = path.read_bytes()
    for clip in (
        str(path),
        path,
        encoded,
        io.BytesIO(encoded),
        {"path": str(path), "bytes": None},
        {"path": "elsewhere.wav", "bytes": encoded},
        {"path": path, "bytes": b""},
        {"bytes": io.BytesIO(encoded)},
        {"raw": MONO, "sampling_rate": RATE},
        {"array": MONO, "sampling_rate": float(RATE), "path": "elsewhere.wav"},
        Decoder(),
    ):
        assert is_clip(clip)
        np.testing.assert_allclose(read(clip, sampling_rate=8000), MONO, atol=1e-7)


def test_several_clips_are_not_one():
    for several in ([], (), ["a.wav"], ("a.wav", b""), [MONO, MONO], [[0.1, 0.2], [0.3]], iter(["a.wav"]), None, 3.0):
        assert not is_clip(several)
    for one in ([0.1, 0.2], (1, 2), [np.float32(0.1)], "a.wav", Path("a.wav"), b"", MONO, {}, io.BytesIO()):
        assert is_clip(one)


@pytest.mark.parametrize(
    "clip, message",
    [
        (None, "a clip is a NoneType; give a path, an http address, bytes, a binary file object, an array"),
        (["a.wav"], "a clip is a list"),
        (np.float32(0.5), "a clip is a float32"),
        ({"array": MONO}, "a dict with 'array' or 'raw' also needs its 'sampling_rate'"),
        ({}, "a dict needs 'array' or 'raw' with 'sampling_rate', or 'path' or 'bytes'; this one has nothing"),
        ({"audio": "a.wav", "label": 3}, "this one has 'audio', 'label'"),
        ({"path": None, "bytes": None}, "a dict needs"),
        ({"array": MONO, "sampling_rate": 1e7}, "sampling_rate is 10000000.0; 1000 to 768000 Hz"),
        ({"array": MONO, "sampling_rate": "16000"}, "sampling_rate is '16000'; give a whole number of hertz"),
        ({"array": 0.5, "sampling_rate": RATE}, r"audio has shape \(\) and type float64"),
        ({"array": {"array": MONO}, "sampling_rate": RATE}, r"audio has shape \(\) and type object"),
        ({"array": [MONO, MONO[1:]], "sampling_rate": RATE}, "audio is a list that is no array of numbers"),
        ({"bytes": 5}, "a dict has a int as 'bytes' or 'path'; give bytes, or a path as text"),
        ({"path": ["a.wav"]}, "a dict has a list as 'bytes' or 'path'"),
        ({"path": ""}, "'' is no file"),
        (torch.zeros(8, device="meta"), "audio is a Tensor that is no array of numbers"),
        (np.zeros((2, 3, 4)), r"audio has shape \(2, 3, 4\)"),
    ],
)
def test_clips_that_cannot_be_opened(clip, message):
    with pytest.raises(ValueError, match=message):
        open_audio(clip, RATE)


def test_errors_of_decoders_and_datasets_are_those_of_the_clip():
    class Broken:
        def get_all_samples(self):
            raise RuntimeError("no frames " * 1000)

    class Rows:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return MONO if index else {}["audio"]

    with pytest.raises(ValueError, match=r"the decoder cannot read the clip \(no frames .{190}\); give a path"):
        open_audio(Broken(), RATE)
    assert is_indexed(Rows()) and not any(map(is_indexed, (np.float64(0.5), None, iter([MONO]), {"a": MONO}.values())))
    first, second = each_clip(Rows())
    assert second is MONO
    with pytest.raises(ValueError, match=r"the dataset does not give this clip: KeyError\('audio'\)"):
        open_audio(first, RATE)


def test_messages_stay_short():
    several = dict.fromkeys(map(str, range(10_000)), 1)
    for clip in (
        b"RIFF" * 10**6,
        "UklGR" * 10**5,
        "a/" * 500,
        [0.1, "b" * 10**6],
        {"array": ["a" * 10**6] * 2, "sampling_rate": RATE},
        {"array": MONO, "sampling_rate": [1.0] * 10**6},
        {"array": [MONO, [MONO] * 999], "sampling_rate": RATE},
        several,
        "ftp://" + "a" * 4000,
        "http://127.0.0.1:9/" + "a" * 4000,
    ):
        with pytest.raises(ValueError) as caught:
            open_audio(clip, RATE)
        assert len(str(caught.value)) < 400
    with pytest.raises(ValueError, match=r"a text of 500000 characters is no path \('UklG.*GR'\); if it is base64,"):
        open_audio("UklGR" * 10**5, RATE)


def test_the_rate_of_a_file_is_checked(tmp_path):
    path = tmp_path / "slow.wav"
    soundfile.write(path, MONO, 500)
    with pytest.raises(ValueError, match="sampling_rate is 500; 1000 to 768000 Hz are allowed"):
        open_audio(path, RATE)


def test_channels_are_on_the_shorter_axis_unless_it_is_given():
    wide = np.arange(12).reshape(4, 3) / 12  # more channels than samples
    np.testing.assert_allclose(to_mono(wide, channel_axis=0), wide.mean(axis=0), atol=1e-7)
    assert len(to_mono(wide)) == 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_any_type(dtype):
    tensor = torch.tensor([0.5, -0.25, 1.0], dtype=dtype, requires_grad=True)
    np.testing.assert_array_equal(to_mono(tensor), np.float32([0.5, -0.25, 1.0]))
    np.testing.assert_array_equal(to_mono(torch.tensor([2**14], dtype=torch.int16)), np.float32([0.5]))
    values = torch.tensor([0.5 + 0.25j, -1 - 0.125j]).conj()
    np.testing.assert_array_equal(to_mono(values.imag), np.float32([-0.25, 0.125]))
    with pytest.raises(ValueError, match="type complex64; give numbers as"):
        to_mono(values)


@pytest.mark.filterwarnings("error")
def test_samples_beyond_float32_and_no_samples_give_no_warning():
    for loudest in (1e300, np.finfo(np.float64).max):
        with pytest.raises(ValueError, match="NaN or infinite samples"):
            to_mono(np.full((4, 2), loudest))
    with pytest.raises(ValueError, match="NaN or infinite samples"):
        to_mono(np.array([[np.inf, -np.inf]], dtype=np.float32).T, channel_axis=0)
    for shape in ((5, 0), (0, 5), (0,), (0, 0)):
        assert to_mono(np.zeros(shape)).shape == (0,)


def test_the_input_of_a_model():
    tone = np.sin(np.arange(4800) / 20).astype(np.float32)
    assert to_waveform(tone, 48000, 16000).shape == (1600,)
    np.testing.assert_array_equal(to_waveform(tone, 16000, 16000), tone)
    np.testing.assert_array_equal(load_waveform(tone), tone)
    for samples, rate, seconds in ((tone[:4700], 48000, "0.098"), (tone[:0], 16000, "0.000")):
        with pytest.raises(ValueError, match=rf"a clip lasts {seconds} s; at least 0.1 s are needed: drop it or join"):
            to_waveform(samples, rate, 16000)
    assert np.abs(to_waveform(np.sign(tone), 48000, 16000)).max() == 1


def test_audio_needs_no_torch():
    script = (
        "import importlib, sys, types\n"
        "sys.modules.update({name: None for name in ('torch', 'torchaudio', 'transformers')})\n"
        "package = types.ModuleType('speech_affect')\n"
        "package.__path__ = [sys.argv[1]]\n"
        "sys.modules['speech_affect'] = package\n"
        "audio = importlib.import_module('speech_affect.audio')\n"
        "print(len(audio.load_waveform([0.0] * 4410, 44100)))\n"
    )
    folder = Path(speech_affect.__file__).parent
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "1600"), done.stderr
