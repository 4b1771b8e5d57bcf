"""What is taken, and what is said of what is not."""

import numpy as np
import pytest
import soundfile


LIMITS = {"max_size_mb": 1.0, "max_length_s": 20.0}


def refusal(path) -> str:
    from deadline import Deadline
    from declined import Refusal
    from upload import read_recording

    with pytest.raises(Refusal) as caught:
        read_recording(path and str(path), **LIMITS, deadline=Deadline(20.0))
    return str(caught.value)


def test_length_and_loudness(tmp_path):
    from deadline import Deadline
    from upload import read_recording

    # 4 s: silence, then half of full scale; 400 parts of 10 ms each
    samples = np.concatenate([np.zeros(32000), np.full(32000, 0.5)])
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    recording = read_recording(str(tmp_path / "a.wav"), **LIMITS, deadline=Deadline(20.0))
    assert recording.duration_s == 4.0
    np.testing.assert_allclose(recording.peaks, np.repeat([0, 0.5], 200), atol=1e-4)


def test_every_refusal(tmp_path):
    assert refusal(None) == "Give a recording first: upload a file, record one, or choose an example."
    assert refusal(tmp_path / "gone.wav") == "This file is no longer here: upload it again."
    (tmp_path / "empty.wav").touch()
    assert refusal(tmp_path / "empty.wav") == "This file is empty."
    (tmp_path / "large.wav").write_bytes(bytes(1_600_000))
    assert refusal(tmp_path / "large.wav") == "This file has 2 MB; at most 1 MB are taken."
    (tmp_path / "text.wav").write_text("Dear diary, today I was renamed.")
    assert (
        refusal(tmp_path / "text.wav") == "This file cannot be read as audio: give a wav, flac, ogg, opus or mp3 file."
    )
    soundfile.write(tmp_path / "short.wav", np.zeros(800), 16000)
    assert refusal(tmp_path / "short.wav") == "This recording lasts 0.050 s; at least 0.1 s are needed."
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    assert refusal(tmp_path / "none.wav") == "This recording lasts 0.000 s; at least 0.1 s are needed."
    soundfile.write(tmp_path / "hours.flac", np.zeros(3 * 3600 * 1000, dtype=np.int16), 1000)
    assert refusal(tmp_path / "hours.flac") == (
        "This recording lasts 3:00:00; at most 0:20 are taken: cut it, or run the package on your machine."
    )


def test_a_header_is_not_believed(tmp_path, monkeypatch):
    from speech_affect.audio_file import AudioFile

    soundfile.write(tmp_path / "lies.wav", np.zeros(25 * 8000), 8000)
    opened = AudioFile.__init__

    def with_a_lie(self, *arguments):
        opened(self, *arguments)
        self.num_samples = 8000

    monkeypatch.setattr(AudioFile, "__init__", with_a_lie)
    assert "is longer than its header says; at most 0:20 are taken" in refusal(tmp_path / "lies.wav")


def test_decoding_has_a_time_limit(tmp_path):
    from deadline import Deadline
    from declined import Refusal
    from upload import read_recording

    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    with pytest.raises(Refusal, match=r"took longer than 1e-09 s and was stopped: try a shorter clip"):
        read_recording(str(tmp_path / "a.wav"), **LIMITS, deadline=Deadline(1e-9))


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "0:05"), (65, "1:05"), (10800, "3:00:00")])
def test_clock(seconds, text):
    from upload import clock

    assert clock(seconds) == text
