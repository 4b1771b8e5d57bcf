"""Audio of the web, from a server of this process."""

import gc
import io
import threading
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from speech_affect import audio_file as audio_download
from speech_affect import audio_file as temporary_copy
from speech_affect.audio import decode_audio
from speech_affect.audio_file import AudioFile, download_audio, is_url


TONE = (0.3 * np.sin(np.arange(16000) / 9)).astype(np.float32)


def _wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, TONE, 16000, format="WAV", subtype="FLOAT")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = _wav()
        if self.path == "/moved.wav":
            self.send_response(302)
            self.send_header("Location", "/tone.wav")
            self.end_headers()
            return
        if self.path in ("/missing.wav", "/broken.wav"):
            self.send_error(404 if self.path == "/missing.wav" else 500)
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


@pytest.mark.parametrize("name", ["tone.wav", "moved.wav", "unannounced.wav", "tone.wav?signature=a/b"])
def test_a_download_is_the_file(server, name):
    samples, rate = decode_audio(f"{server}/{name}")
    assert rate == 16000
    np.testing.assert_array_equal(samples, TONE)


def test_the_file_has_no_name_and_goes_when_it_is_closed(server):
    with AudioFile(f"{server}/tone.wav") as file:
        copy = file._copy
        assert isinstance(copy.name, int)  # a descriptor: there is no directory entry to be left behind
        next(file.blocks(100))
    assert copy.closed
    with pytest.raises(ValueError, match=r"page.html' cannot be read as audio"):
        decode_audio(f"{server}/page.html")


def test_nothing_is_left_open_after_an_error(server, monkeypatch):
    made = []
    original = temporary_copy.tempfile.TemporaryFile
    monkeypatch.setattr(
        temporary_copy.tempfile, "TemporaryFile", lambda: made.append(weakref.ref(file := original())) or file
    )
    for name in ("page.html", "early.wav"):
        with pytest.raises(ValueError):
            decode_audio(f"{server}/{name}")
    gc.collect()
    assert len(made) == 2 and all(file() is None or file().closed for file in made)


@pytest.mark.parametrize(
    "name, message",
    [
        ("missing.wav", r"missing.wav cannot be downloaded \(.*404.*check the address and the connection"),
        ("broken.wav", r"broken.wav cannot be downloaded \(.*500"),
        ("early.wav", r"early.wav ended after \d+ of \d+ bytes; try again"),
        ("übung.wav", r"übung.wav cannot be downloaded"),
    ],
)
def test_errors_of_a_server(server, name, message):
    with pytest.raises(ValueError, match=message):
        download_audio(f"{server}/{name}")


def test_no_server_no_host_and_other_schemes():
    with pytest.raises(ValueError, match=r"http://127.0.0.1:9/a.wav cannot be downloaded \(.*[Cc]onnection refused"):
        download_audio("http://127.0.0.1:9/a.wav")
    with pytest.raises(ValueError, match="cannot be downloaded"):
        download_audio("http:///a.wav")
    for address in ("ftp://host/a.wav", "s3://bucket/a.wav", "file:///etc/hosts"):
        assert is_url(address)
        with pytest.raises(ValueError, match="is no http or https address; give one, or the path of an audio file"):
            decode_audio(address)
    assert not any(map(is_url, ("a.wav", "C:/a.wav", r"C:\a.wav", "/a//b.wav", b"http://host", None)))


def test_a_server_that_says_nothing(server, monkeypatch):
    monkeypatch.setattr(audio_download, "TIMEOUT_S", 0.3)
    with pytest.raises(ValueError, match=r"silent.wav cannot be read \(timed out\)"):
        download_audio(f"{server}/silent.wav")


@pytest.mark.parametrize("name", ["tone.wav", "unannounced.wav"])
def test_the_limit_holds_whether_the_size_is_announced_or_not(server, name, monkeypatch):
    size = len(_wav())
    for module in (audio_download, temporary_copy):
        monkeypatch.setattr(module, "LARGEST_BYTES", size)
    download_audio(f"{server}/{name}").close()
    for module in (audio_download, temporary_copy):
        monkeypatch.setattr(module, "LARGEST_BYTES", size - 1)
    with pytest.raises(ValueError, match=rf"{size - 1} .*store it as a file and give its path"):
        download_audio(f"{server}/{name}")


def test_the_default_limits():
    assert (audio_download.LARGEST_BYTES, audio_download.TIMEOUT_S) == (2 * 1024**3, 30)
