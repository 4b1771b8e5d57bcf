"""Which recordings are accepted, the message for every other one, and when a visitor's files are deleted."""

import os
import time

import numpy as np
import pytest
import soundfile
from page.limits import Deadline, Settings, UserError
from page.recording import KEPT_S, VisitorFiles, clock, read_recording

from speech_affect.audio_file import AudioFile


LIMITS = Settings(max_size_mb=1.0, max_length_s=20.0)


def test_length_and_loudness(tmp_path):
    # 4 s: silence, then half of full scale; 400 parts of 10 ms each
    samples = np.concatenate([np.zeros(32000), np.full(32000, 0.5)])
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    recording = read_recording(str(tmp_path / "a.wav"), LIMITS, Deadline(20.0))
    assert recording.duration_s == 4.0
    np.testing.assert_allclose(recording.peaks, np.repeat([0, 0.5], 200), atol=1e-4)


def message(path) -> str:
    with pytest.raises(UserError) as caught:
        read_recording(path and str(path), LIMITS, Deadline(20.0))
    return str(caught.value)


def test_every_message(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "large.wav").write_bytes(bytes(1_600_000))
    (tmp_path / "text.wav").write_text("Dear diary, today I was renamed.")
    soundfile.write(tmp_path / "short.wav", np.zeros(800), 16000)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "hours.flac", np.zeros(3 * 3600 * 1000, dtype=np.int16), 1000)
    for name, expected in {
        "gone.wav": "This file is no longer here: upload it again.",
        "empty.wav": "This file is empty.",
        "large.wav": "This file has 2 MB; at most 1 MB are allowed.",
        "text.wav": "This file cannot be read as audio: give a wav, flac, ogg, opus or mp3 file.",
        "short.wav": "This recording lasts 0.050 s; at least 0.1 s are needed.",
        "none.wav": "This recording lasts 0.000 s; at least 0.1 s are needed.",
        "hours.flac": "This recording lasts 3:00:00; at most 0:20 are allowed: cut it, or run the package on your "
        "machine.",
    }.items():
        assert message(tmp_path / name) == expected
    assert message(None) == "Give a recording first: upload a file, record one, or choose an example."


def test_a_header_is_not_believed(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "wrong.wav", np.zeros(25 * 8000), 8000)
    opened = AudioFile.__init__

    def with_a_wrong_length(self, *arguments):
        opened(self, *arguments)
        self.num_samples = 8000

    monkeypatch.setattr(AudioFile, "__init__", with_a_wrong_length)
    assert "is longer than its header says; at most 0:20 are allowed" in message(tmp_path / "wrong.wav")


def test_decoding_has_a_time_limit(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    with pytest.raises(UserError, match=r"took longer than 1e-09 s and was stopped: try a shorter clip"):
        read_recording(str(tmp_path / "a.wav"), LIMITS, Deadline(1e-9))


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "0:05"), (65, "1:05"), (10800, "3:00:00")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_files_are_deleted_when_they_are_replaced_or_the_page_is_left(tmp_path):
    files, paths = VisitorFiles(tmp_path), [tmp_path / f"{number}.wav" for number in range(4)]
    for path in paths:
        path.touch()
    files.show("a", "clip", str(paths[0]))
    files.show("a", "clip", str(paths[0]))  # estimated again
    files.show("a", "compared", str(paths[1]))
    files.show("b", "clip", str(paths[1]))  # gradio stores equal files once
    files.show("a", "clip", str(paths[2]))
    assert [path.exists() for path in paths] == [False, True, True, True]
    files.leave("a")
    assert [path.exists() for path in paths] == [False, True, False, True]
    files.show("b", "clip", None)
    assert [path.exists() for path in paths] == [False, False, False, True]
    files.leave("nobody")


def test_interrupted_uploads_are_deleted_and_files_elsewhere_are_not(tmp_path):
    folder, elsewhere = tmp_path / "uploads", tmp_path / "voice.wav"
    folder.mkdir()
    files, old, new = VisitorFiles(folder), folder / "tmpa1", folder / "tmpa2"
    for path in (old, new, elsewhere):
        path.touch()
    os.utime(old, (0, time.time() - KEPT_S - 60))
    files.show("a", "clip", str(elsewhere))
    files.leave("a")
    assert [path.exists() for path in (old, new, elsewhere)] == [False, True, True]
