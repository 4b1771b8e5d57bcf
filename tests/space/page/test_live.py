"""Pieces of a microphone's audio give what the whole clip gives."""

from base64 import b64encode
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from page.estimator import Estimator
from page.handlers import FAILED, Handlers
from page.limits import Settings, UserError
from page.live import SHOWN_S, LiveSession, LiveSessions, read_piece
from page.views import live_html
from space_server import voice

from speech_affect import AffectStudentConfig, AffectStudentModel


def session_of(estimator, samples, rate=16000, pieces=1, max_length_s=60.0):
    session = LiveSession(estimator, rate, max_length_s)
    for piece in np.array_split(samples, pieces):
        session.push(piece)
    return session


def int16(samples):
    return (samples * 32767).astype(np.int16)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_the_last_estimate_is_that_of_the_whole(estimator, rate):
    samples = int16(voice(5.0, rate))
    session = session_of(estimator, samples, rate, pieces=11)
    whole = estimator.pipeline({"array": samples, "sampling_rate": rate})
    assert session.whole == pytest.approx(whole, abs=1e-4)
    assert [second["start_s"] for second in session.seconds] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert session.duration_s == pytest.approx(5.0)


def test_seconds_are_read_by_name_whatever_their_order():
    names = {0: "valence", 1: "activation"}
    model = AffectStudentModel(AffectStudentConfig(id2label=names, label_range=(0, 1))).eval()
    model.regressor.output.weight.detach().zero_()
    model.regressor.output.bias.detach().copy_(torch.tensor([0.4, -0.5]))
    session = session_of(SimpleNamespace(model=model), int16(voice(3.0)))
    [first, *_] = session.seconds
    assert first == {"start_s": 0.0, "end_s": 1.0, "valence": pytest.approx(0.7), "activation": pytest.approx(0.25)}
    assert session.whole["valence"] == pytest.approx(0.7) and session.whole["activation"] == pytest.approx(0.25)


def test_the_uncertainty_that_the_model_predicts(teacher):
    estimator = Estimator(str(teacher))
    samples = int16(voice(3.0))
    session = session_of(estimator, samples, pieces=4)
    whole = estimator.pipeline({"array": samples, "sampling_rate": 16000})
    assert session.whole["uncertainty"] == pytest.approx(whole["uncertainty"], abs=1e-4)
    assert f"± {whole['uncertainty']['valence']:.2f}" in live_html(session, estimator)


def test_a_session_ends_and_forgets(estimator):
    session = session_of(estimator, voice(65.0))
    assert len(session.seconds) == SHOWN_S and session.seconds[-1]["start_s"] == 64.0
    with pytest.raises(UserError, match="A live session ends after 1:00: record again"):
        session.push(voice(0.5))


def test_silence_has_no_values(estimator):
    session = session_of(estimator, np.zeros(32000, dtype=np.int16))
    assert session.whole == {"activation": None, "valence": None, "dominance": None, "speech_ratio": 0.0}
    html = live_html(session, estimator)
    assert 'data-seconds="2.000"' in html and "0% of it stands out" in html


def test_sessions_are_limited_and_idle_ones_end(estimator):
    sessions = LiveSessions(2, idle_s=1000.0)
    first = sessions.of("a", 16000, estimator, 60.0)
    sessions.of("b", 16000, estimator, 60.0)
    assert sessions.of("a", 16000, estimator, 60.0) is first
    with pytest.raises(UserError, match="The page is busy: 2 microphones are in use"):
        sessions.of("c", 16000, estimator, 60.0)
    sessions.end("b")
    sessions.end("never was")
    sessions.of("c", 16000, estimator, 60.0)
    assert sessions.of("a", 48000, estimator, 60.0) is not first  # another microphone
    for session in sessions._sessions.values():
        session.last_used -= 2000.0
    sessions.of("d", 16000, estimator, 60.0)
    assert len(sessions) == 1


def piece(**changes):
    samples = b64encode(np.arange(5, dtype="<i2").tobytes()).decode()
    return {"session": "name", "sampling_rate": 16000, "samples": samples, "last": False, **changes}


def test_a_piece():
    name, rate, samples, last = read_piece(piece(sampling_rate=44100.0, last=True))
    assert (name, rate, samples.tolist(), last) == ("name", 44100, [0, 1, 2, 3, 4], True)


NAMES, RATES = [{"session": name} for name in (5, "", "x" * 65)], [{"sampling_rate": rate} for rate in ("16000", 5)]
SAMPLES = [{"samples": samples} for samples in ("§", b64encode(b"odd").decode(), 7)]


@pytest.mark.parametrize(
    "given", [None, [], {}, *(piece(**changes) for changes in (*NAMES, *RATES, *SAMPLES, {"last": "yes"}))]
)
def test_a_piece_of_another_form(given):
    with pytest.raises(UserError, match="This is no piece of a microphone's audio: record again"):
        read_piece(given)


def test_a_piece_that_is_too_long():
    with pytest.raises(UserError, match="lasts at most 10 s"):
        read_piece(piece(samples=b64encode(bytes(20 * 1001)).decode(), sampling_rate=1000))


def test_a_session_goes_on_until_the_last_piece(estimator):
    handlers = Handlers(Settings(live_sessions=1), [estimator])
    sound = b64encode(int16(voice(1.0)).tobytes()).decode()
    first = handlers.push_audio(piece(samples=sound))
    assert first["ended"] is False and 'data-seconds="1.000"' in first["html"] and len(handlers.live) == 1
    busy = handlers.push_audio(piece(session="other"))
    assert busy["ended"] is True and "The page is busy" in busy["html"]
    last = handlers.push_audio(piece(samples="", last=True))
    assert last["ended"] is True and 'data-seconds="1.000"' in last["html"] and len(handlers.live) == 0
    wrong = handlers.push_audio({"session": "name"})
    assert wrong["ended"] is True and "no piece of a microphone" in wrong["html"]


def test_a_session_that_breaks_is_forgotten(estimator, monkeypatch, caplog):
    handlers = Handlers(Settings(), [estimator])
    monkeypatch.setattr(LiveSession, "push", lambda *_: SimpleNamespace().absent)
    answer = handlers.push_audio(piece())
    assert FAILED in answer["html"] and answer["ended"] is True and len(handlers.live) == 0
    assert "AttributeError" in caplog.text
