"""Files are decoded in blocks that are the whole decoding, cut."""

import io
import os
import sys

import numpy as np
import pytest
import soundfile

from speech_affect import audio_file
from speech_affect.audio import decode_audio
from speech_affect.audio_file import AudioFile


FORMATS = {
    "wav": {"subtype": "PCM_16"},
    "flac": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
}


def melody(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """(samples, channels), changing all the time, so that no block is like another."""
    times = np.arange(round(seconds * rate)) / rate
    sweep = np.sin(2 * np.pi * (200 + 40 * np.sin(2 * np.pi * 0.7 * times)) * times)
    hiss = 0.05 * np.random.default_rng(0).standard_normal((len(times), channels))
    return (0.4 * sweep[:, None] * np.linspace(1, 0.5, channels) + hiss).astype(np.float32)


@pytest.fixture(scope="module", params=sorted(FORMATS))
def encoded(request, tmp_path_factory):
    """A file of 5 s in each format, in stereo at 48 kHz."""
    path = tmp_path_factory.mktemp("audio") / f"clip.{request.param}"
    soundfile.write(path, melody(5, 48000, 2), 48000, **FORMATS[request.param])
    return path


def test_blocks_joined_are_the_whole_decoding(encoded):
    whole, rate = soundfile.read(encoded, dtype="float32")
    expected = whole.mean(axis=1)
    for block_samples in (1237, 48000, 10_000_000):
        with AudioFile(encoded) as file:
            assert (file.sampling_rate, file.num_samples) == (rate, len(whole))
            blocks = list(file.blocks(block_samples))
        assert all(len(block) == block_samples for block in blocks[:-1])
        np.testing.assert_array_equal(np.concatenate(blocks), expected)
    np.testing.assert_array_equal(decode_audio(encoded)[0], expected)


class Pipe:
    """A file object that reads and nothing else, as of a socket; at most 1,000 bytes at a time."""

    def __init__(self, content: bytes):
        self._stream = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, 1000))


class UnseekablePipe(Pipe):
    def seekable(self) -> bool:
        return False

    def seek(self, *_):
        raise OSError("no seeking here")

    tell = seek


class Stuck(io.BytesIO):
    """Says that it can seek."""

    def seek(self, *_):
        raise OSError(29, "Illegal seek")


class Reads:
    """Reads what it was given."""

    def __init__(self, value):
        self._value = value

    def read(self, *_):
        return self._value


def test_bytes_and_file_objects_equal_the_path(encoded):
    content = encoded.read_bytes()
    expected, rate = decode_audio(str(encoded))
    at_end = io.BytesIO(content)
    at_end.seek(0, io.SEEK_END)
    with open(encoded, "rb") as opened:
        for source in (encoded, content, bytearray(content), opened, at_end, Pipe(content), UnseekablePipe(content)):
            samples, got_rate = decode_audio(source)
            assert got_rate == rate
            np.testing.assert_array_equal(samples, expected)
        assert not opened.closed


def test_a_copy_is_closed_with_the_file(encoded):
    file = AudioFile(Pipe(encoded.read_bytes()))
    copy = file._copy
    file.close()
    assert copy.closed


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_many_channels_are_mixed_few_samples_at_a_time(subtype, monkeypatch):
    file = io.BytesIO()
    soundfile.write(file, melody(0.5, 8000, 48), 8000, format="WAV", subtype=subtype)
    expected, _ = decode_audio(file)
    monkeypatch.setattr(audio_file, "MOST_VALUES", 4800)
    asked, read = [], audio_file._SequentialFile.read

    def counted(self, frames, **options):
        asked.append(frames)
        return read(self, frames, **options)

    monkeypatch.setattr(audio_file._SequentialFile, "read", counted)
    with AudioFile(file) as opened:
        blocks = list(opened.blocks(1030))
    assert [len(block) for block in blocks] == [1030, 1030, 1030, 910]
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
    # 48 channels of 100 samples; 3 x (10 x 100 + 30), 910 and the end
    assert asked == [*([100] * 10 + [30]) * 3, *[100] * 10, 100]


@pytest.mark.filterwarnings("error")
def test_channels_of_infinities_are_mixed_without_a_warning():
    file = io.BytesIO()
    soundfile.write(file, np.array([[np.inf, -np.inf], [3e38, 3e38]]), 8000, format="WAV", subtype="FLOAT")
    assert not np.isfinite(decode_audio(file)[0]).any()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names that are no text exist there alone")
def test_a_name_that_is_no_text(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.wav")
    content = io.BytesIO()
    soundfile.write(content, melody(0.2, 8000), 8000, format="WAV")
    with open(path, "wb") as file:
        file.write(content.getvalue())
    np.testing.assert_array_equal(decode_audio(os.fsdecode(path))[0], decode_audio(content)[0])


@pytest.mark.parametrize("name", ["wav", "ogg", "mp3", "flac"])
def test_half_a_file_is_half_the_audio_or_an_error(name, tmp_path):
    path = tmp_path / f"clip.{name}"
    soundfile.write(path, melody(6, 16000), 16000, **FORMATS[name])
    whole, _ = decode_audio(path)
    content = path.read_bytes()
    half = content[: len(content) // 2]
    if name == "flac":
        with pytest.raises(ValueError, match="the given bytes cannot be read as audio .*lost sync.*give one of wav"):
            decode_audio(half)
        return
    samples, _ = decode_audio(half)
    # what was there, and nothing that was not
    assert 0.3 < len(samples) / len(whole) < 0.7
    inner = len(samples) - 3000
    np.testing.assert_allclose(samples[:inner], whole[:inner], atol=1e-4)


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"'nowhere\.wav' is no file; give the path of an audio file"):
        AudioFile("nowhere.wav")
    with pytest.raises(ValueError, match="is no file"):
        AudioFile(tmp_path)
    with pytest.raises(ValueError, match="is no file"):
        AudioFile("x" * 5000)
    (tmp_path / "text.wav").write_text("no audio at all")
    with pytest.raises(
        ValueError, match=r"text.wav' cannot be read as audio \(.*give one of wav, flac, ogg, opus, mp3"
    ):
        AudioFile(tmp_path / "text.wav")
    with pytest.raises(ValueError, match="the given bytes cannot be read"):
        AudioFile(b"")
    for stream in (Pipe(b"no audio at all"), io.BytesIO(b"no audio at all")):
        with pytest.raises(ValueError, match="the given file object cannot be read as audio"):
            AudioFile(stream)
    with (
        open(tmp_path / "text.wav", encoding="utf-8") as text,
        pytest.raises(ValueError, match="the given file object is open as text; open it in binary mode, 'rb'"),
    ):
        AudioFile(text)


def test_file_objects_that_do_not_read(tmp_path):
    closed = io.BytesIO(b"RIFF")
    closed.close()
    with open(tmp_path / "clip.wav", "wb") as writing:
        for file, reason in ((closed, "closed"), (writing, "read"), (Stuck(b"RIFF"), "Illegal seek")):
            message = rf"the given file object cannot be read \(.*{reason}.*\); open it in binary mode, 'rb'"
            with pytest.raises(ValueError, match=message):
                AudioFile(file)
    for value, kind in ((None, "NoneType"), (3, "int"), ([b"RIFF"], "list")):
        with pytest.raises(ValueError, match=f"reads a {kind}; give an object whose read\\(\\) gives bytes"):
            AudioFile(Reads(value))
