"""Files, streams and downloads are decoded in blocks, which joined are the whole decoding."""

import gc
import io
import os
import sys
import threading
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from speech_affect import audio_file
from speech_affect.audio_file import AudioFile, download_audio, is_url


FORMATS = {
    "wav": {"subtype": "PCM_16"},
    "flac": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
}


def decode(source) -> np.ndarray:
    with AudioFile(source) as file:
        return np.concatenate(list(file.blocks(1 << 20)))


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


class Pipe:
    """A file object that cannot seek, as of a socket; at most 1,000 bytes at a time."""

    def __init__(self, content: bytes):
        self._stream = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, 1000))


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
    expected = decode(str(encoded))
    at_end = io.BytesIO(content)
    at_end.seek(0, io.SEEK_END)
    with open(encoded, "rb") as opened:
        for source in (encoded, content, bytearray(content), opened, at_end, Pipe(content)):
            np.testing.assert_array_equal(decode(source), expected)
        assert not opened.closed


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_many_channels_are_mixed_few_samples_at_a_time(subtype, monkeypatch):
    file = io.BytesIO()
    soundfile.write(file, melody(0.5, 8000, 48), 8000, format="WAV", subtype=subtype)
    expected = decode(file)
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
    assert not np.isfinite(decode(file)).any()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names that are no text exist there alone")
def test_a_name_that_is_no_text(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.wav")
    content = io.BytesIO()
    soundfile.write(content, melody(0.2, 8000), 8000, format="WAV")
    with open(path, "wb") as file:
        file.write(content.getvalue())
    np.testing.assert_array_equal(decode(os.fsdecode(path)), decode(content))


@pytest.mark.parametrize("name", ["wav", "ogg", "mp3", "flac"])
def test_half_a_file_is_half_the_audio_or_an_error(name, tmp_path):
    path = tmp_path / f"clip.{name}"
    soundfile.write(path, melody(6, 16000), 16000, **FORMATS[name])
    whole = decode(path)
    content = path.read_bytes()
    half = content[: len(content) // 2]
    if name == "flac":
        with pytest.raises(ValueError, match="the given bytes cannot be read as audio .*lost sync.*give one of wav"):
            decode(half)
        return
    samples = decode(half)
    # what was there, and nothing that was not
    assert 0.3 < len(samples) / len(whole) < 0.7
    inner = len(samples) - 3000
    np.testing.assert_allclose(samples[:inner], whole[:inner], atol=1e-4)


@pytest.mark.parametrize(
    "source, message",
    [
        ("nowhere.wav", r"'nowhere\.wav' is no file; give the path of an audio file"),
        (".", "'.' is a folder, and no file; give a list of the files in it"),
        (__file__, r"test_audio_file.py' cannot be read as audio \(.*give one of wav, flac, ogg, opus, mp3"),
        (b"", "the given bytes cannot be read as audio"),
        (Pipe(b"no audio at all"), "the given file object cannot be read as audio"),
        (io.StringIO("text"), "the given file object is open as text; open it in binary mode, 'rb'"),
        (Stuck(b"RIFF"), r"the given file object cannot be read \(.*Illegal seek.*\); open it in binary mode, 'rb'"),
        (Reads(None), r"reads a NoneType; give an object whose read\(\) gives bytes"),
        (Reads([b"RIFF"]), r"reads a list; give an object whose read\(\) gives bytes"),
    ],
)
def test_what_cannot_be_read(source, message):
    with pytest.raises(ValueError, match=message):
        AudioFile(source)


def unfinished(content: bytes, **sizes: int) -> bytes:
    """A file of a recorder that was cut off: with these sizes in the header."""
    content, order = bytearray(content), "big" if content[:4] in (b"RIFX", b".snd") else "little"
    places = {"riff": 4, "au": 8, "data": content.find(b"data") + 4, "ds64": content.find(b"ds64") + 16}
    for name, size in sizes.items():
        width = 8 if name == "ds64" else 4
        content[places[name] : places[name] + width] = size.to_bytes(width, order)
    return bytes(content)


@pytest.mark.parametrize(
    "options, sizes",
    [
        ({"format": "WAV", "subtype": "PCM_16"}, {"data": 0}),
        ({"format": "WAV", "subtype": "PCM_16"}, {"data": 0, "riff": 0}),
        ({"format": "WAV", "subtype": "PCM_16"}, {"data": 0, "riff": 8}),
        ({"format": "WAV", "subtype": "PCM_16"}, {"data": 0xFFFFFFFF, "riff": 0xFFFFFFFF}),
        ({"format": "WAV", "subtype": "PCM_24"}, {"data": 0, "riff": 36}),
        ({"format": "WAV", "subtype": "FLOAT"}, {"data": 0, "riff": 0}),
        ({"format": "WAV", "subtype": "ULAW"}, {"data": 0, "riff": 0}),
        ({"format": "WAV", "subtype": "PCM_16", "endian": "BIG"}, {"data": 0, "riff": 0}),
        ({"format": "WAVEX", "subtype": "PCM_16"}, {"data": 0}),
        ({"format": "RF64", "subtype": "PCM_16"}, {"ds64": 0}),
        ({"format": "RF64", "subtype": "PCM_16"}, {"ds64": 0, "data": 0}),
        ({"format": "AU", "subtype": "PCM_16"}, {"au": 0}),
    ],
)
def test_a_file_whose_header_has_no_length_is_read_to_its_end(options, sizes, tmp_path):
    file = io.BytesIO()
    soundfile.write(file, melody(0.7, 16000, 2), 16000, **options)
    expected = decode(file)
    assert len(expected) == 11200
    content = unfinished(file.getvalue(), **sizes)
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    before = len(os.listdir("/proc/self/fd")) if sys.platform.startswith("linux") else 0
    for source in (path, content, io.BytesIO(content), Pipe(content)):
        with AudioFile(source) as opened:
            assert opened.num_samples == len(expected)
            np.testing.assert_array_equal(np.concatenate(list(opened.blocks(1000))), expected)
    assert before in (0, len(os.listdir("/proc/self/fd")))
    with path.open("rb") as opened:
        np.testing.assert_array_equal(decode(opened), expected)
        assert not opened.closed


def test_a_file_without_audio_stays_empty():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(0), 16000, format="WAV", subtype="PCM_16")
    notes = b"LIST" + (10).to_bytes(4, "little") + b"INFOISFT.."
    for content in (file.getvalue(), unfinished(file.getvalue() + notes, data=0, riff=36 + len(notes))):
        with AudioFile(content) as opened:
            assert opened.num_samples == 0 and not list(opened.blocks(1000))


TONE = (0.3 * np.sin(np.arange(16000) / 9)).astype(np.float32)


def _wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, TONE, 16000, format="WAV", subtype="FLOAT")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = _wav()
        if self.path == "/missing.wav":
            self.send_error(404)
            return
        if self.path == "/page.html":
            content = b"<html>log in first</html>"
        self.send_response(200)
        if self.path == "/early.wav":
            self.send_header("Content-Length", str(2 * len(content)))
        elif self.path != "/unannounced.wav":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.path == "/silent.wav":
            self.server.released.wait(10)
            return
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.released = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("name", ["tone.wav", "unannounced.wav", "tone.wav?signature=a/b"])
def test_a_download_is_the_file(server, name):
    np.testing.assert_array_equal(decode(f"{server}/{name}"), TONE)


def test_a_download_has_no_name_and_is_closed_even_after_an_error(server, monkeypatch):
    made = []
    original = audio_file.tempfile.TemporaryFile
    monkeypatch.setattr(
        audio_file.tempfile, "TemporaryFile", lambda: made.append(weakref.ref(file := original())) or file
    )
    with AudioFile(f"{server}/tone.wav"):
        assert isinstance(made[0]().name, int)  # a descriptor: there is no directory entry to be left behind
    for name in ("page.html", "early.wav"):
        with pytest.raises(ValueError):
            decode(f"{server}/{name}")
    gc.collect()
    assert len(made) == 3 and all(file() is None or file().closed for file in made)


@pytest.mark.parametrize(
    "name, message",
    [
        ("missing.wav", r"missing.wav' cannot be downloaded \(.*404.*check address and connection"),
        ("early.wav", r"early.wav' ended after \d+ of \d+ bytes; try again"),
        ("übung.wav", r"übung.wav' cannot be downloaded"),
        ("page.html", r"page.html' cannot be read as audio"),
    ],
)
def test_errors_of_a_server(server, name, message):
    with pytest.raises(ValueError, match=message):
        AudioFile(f"{server}/{name}")


def test_no_server_no_host_and_other_schemes():
    with pytest.raises(ValueError, match=r"http://127.0.0.1:9/a.wav' cannot be downloaded \(.*[Cc]onnection refused"):
        download_audio("http://127.0.0.1:9/a.wav")
    with pytest.raises(ValueError, match="cannot be downloaded"):
        download_audio("http:///a.wav")
    for address in ("ftp://host/a.wav", "s3://bucket/a.wav", "file:///etc/hosts"):
        assert is_url(address)
        with pytest.raises(ValueError, match="is no http or https address; give one, or the path of an audio file"):
            AudioFile(address)
    assert not any(map(is_url, ("a.wav", "C:/a.wav", r"C:\a.wav", "/a//b.wav", b"http://host", None)))


def test_a_server_that_does_not_answer(server, monkeypatch):
    monkeypatch.setattr(audio_file, "TIMEOUT_S", 0.3)
    with pytest.raises(ValueError, match=r"silent.wav' cannot be read \(timed out\)"):
        download_audio(f"{server}/silent.wav")


@pytest.mark.parametrize("name", ["tone.wav", "unannounced.wav"])
def test_the_limit_holds_whether_the_size_is_announced_or_not(server, name, monkeypatch):
    assert (audio_file.LARGEST_BYTES, audio_file.TIMEOUT_S) == (2 * 1024**3, 30)
    size = len(_wav())
    monkeypatch.setattr(audio_file, "LARGEST_BYTES", size)
    download_audio(f"{server}/{name}").close()
    monkeypatch.setattr(audio_file, "LARGEST_BYTES", size - 1)
    with pytest.raises(ValueError, match=rf"{size - 1} .*store it as a file and give its path"):
        download_audio(f"{server}/{name}")
