"""A microphone's pieces give what the whole clip gives."""

from base64 import b64encode
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from space_sounds import voice

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel


@pytest.fixture(scope="module")
def estimator(checkpoint):
    from estimator import Estimator

    return Estimator(str(checkpoint))


def heard(estimator, samples, rate=16000, pieces=1, max_length_s=60.0):
    from live import LiveSession

    session = LiveSession(estimator, rate, max_length_s)
    for piece in np.array_split(samples, pieces):
        session.hear(piece)
    return session


def int16(samples):
    return (samples * 32767).astype(np.int16)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_the_last_estimate_is_that_of_the_whole(estimator, rate):
    samples = int16(voice(5.0, rate))
    session = heard(estimator, samples, rate, pieces=11)
    whole = estimator._pipeline({"array": samples, "sampling_rate": rate})
    assert session.now == pytest.approx(whole, abs=1e-4)
    assert [second["start_s"] for second in session.seconds] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert session.duration_s == pytest.approx(5.0)


def test_the_models_uncertainty_is_told(tmp_path):
    from estimator import Estimator
    from live_view import live_html

    torch.manual_seed(0)
    sizes = {"conv_channels": 16, "gru_hidden_size": 16, "embedding_size": 16}
    AffectStudentModel(AffectStudentConfig(**sizes, predict_uncertainty=True)).save_pretrained(tmp_path)
    AffectFeatureExtractor().save_pretrained(tmp_path)
    estimator = Estimator(str(tmp_path))
    samples = int16(voice(3.0))
    session = heard(estimator, samples, pieces=4)
    whole = estimator._pipeline({"array": samples, "sampling_rate": 16000})
    assert session.now["uncertainty"] == pytest.approx(whole["uncertainty"], abs=1e-4)
    assert f"± {whole['uncertainty']['valence']:.2f}" in live_html(session, estimator)


def test_a_session_ends_and_forgets(estimator):
    from declined import Refusal
    from live import SHOWN_S

    session = heard(estimator, voice(65.0))
    assert len(session.seconds) == SHOWN_S and session.seconds[-1]["start_s"] == 64.0
    with pytest.raises(Refusal, match="A live session ends after 1:00: record again"):
        session.hear(voice(0.5))


def test_silence_has_no_values(estimator):
    from live_view import live_html

    session = heard(estimator, np.zeros(32000, dtype=np.int16))
    assert session.now == {"activation": None, "valence": None, "dominance": None, "speech_ratio": 0.0}
    html = live_html(session, estimator)
    assert 'data-heard="2.000"' in html and "0% of it no silence" in html


def test_so_many_are_heard_and_those_who_fall_silent_make_room(estimator):
    from declined import Refusal
    from live import LiveSessions

    sessions = LiveSessions(2, idle_s=1000.0)
    first = sessions.of("a", 16000, estimator, 60.0)
    sessions.of("b", 16000, estimator, 60.0)
    assert sessions.of("a", 16000, estimator, 60.0) is first
    with pytest.raises(Refusal, match="busy just now: 2 microphones are being heard"):
        sessions.of("c", 16000, estimator, 60.0)
    sessions.end("b")
    sessions.end("never was")
    sessions.of("c", 16000, estimator, 60.0)
    assert sessions.of("a", 48000, estimator, 60.0) is not first  # another microphone
    for session in sessions._sessions.values():
        session.last_heard -= 2000.0
    sessions.forget_idle()
    assert len(sessions) == 0


def piece(**changes):
    samples = b64encode(np.arange(5, dtype="<i2").tobytes()).decode()
    return {"session": "name", "sampling_rate": 16000, "samples": samples, "last": False, **changes}


def test_a_piece():
    from live import read_piece

    name, rate, samples, last = read_piece(piece(sampling_rate=44100.0, last=True))
    assert (name, rate, samples.tolist(), last) == ("name", 44100, [0, 1, 2, 3, 4], True)


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {},
        piece(session=5),
        piece(session=""),
        piece(session="x" * 65),
        piece(sampling_rate="16000"),
        piece(sampling_rate=5),
        piece(samples="§"),
        piece(samples=b64encode(b"odd").decode()),
        piece(samples=7),
        piece(last="yes"),
    ],
)
def test_what_is_no_piece(given):
    from declined import Refusal
    from live import read_piece

    with pytest.raises(Refusal, match="This is no piece of a microphone: record again"):
        read_piece(given)


def test_a_piece_that_is_too_long():
    from declined import Refusal
    from live import read_piece

    with pytest.raises(Refusal, match="lasts at most 10 s"):
        read_piece(piece(samples=b64encode(bytes(20 * 1001)).decode(), sampling_rate=1000))


def test_the_page_hears_until_the_last_piece(estimator):
    from page import Page
    from settings import Settings

    page = Page(Settings(live_sessions=1), [estimator])
    sound = b64encode(int16(voice(1.0)).tobytes()).decode()
    first = page.hear(piece(samples=sound))
    assert first["ended"] is False and 'data-heard="1.000"' in first["html"] and len(page.live) == 1
    busy = page.hear(piece(session="other"))
    assert busy["ended"] is True and "busy just now" in busy["html"]
    last = page.hear(piece(samples="", last=True))
    assert last["ended"] is True and 'data-heard="1.000"' in last["html"] and len(page.live) == 0
    wrong = page.hear({"session": "name"})
    assert wrong["ended"] is True and "no piece of a microphone" in wrong["html"]


def test_a_session_that_breaks_is_forgotten(estimator, monkeypatch, caplog):
    from live import LiveSession
    from page import FAILED, Page
    from settings import Settings

    page = Page(Settings(), [estimator])
    monkeypatch.setattr(LiveSession, "hear", lambda *_: SimpleNamespace().absent)
    answer = page.hear(piece())
    assert FAILED in answer["html"] and answer["ended"] is True and len(page.live) == 0
    assert "AttributeError" in caplog.text
