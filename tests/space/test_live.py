"""A microphone's chunks give what the whole clip gives."""

import numpy as np
import pytest
from space_sounds import voice


@pytest.fixture(scope="module")
def estimator(checkpoint):
    from estimator import Estimator

    return Estimator(str(checkpoint))


@pytest.mark.parametrize("rate", [16000, 48000])
def test_the_last_estimate_is_that_of_the_whole(estimator, rate):
    from live import hear

    samples = (voice(5.0, rate) * 32767).astype(np.int16)
    session = None
    for chunk in np.array_split(samples, 11):
        session = hear(session, (rate, chunk), estimator, 60.0)
    whole = estimator._pipeline({"array": samples, "sampling_rate": rate})
    for name in ("activation", "valence", "dominance"):
        assert session.now[name] == pytest.approx(whole[name], abs=1e-4)
    assert [second["start_s"] for second in session.seconds] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_stereo_is_averaged(estimator):
    from live import hear

    samples = voice(1.0)
    mono = hear(None, (16000, samples), estimator, 60.0)
    stereo = hear(None, (16000, np.stack([samples * 2, samples * 0], axis=1)), estimator, 60.0)
    assert stereo.now == mono.now


def test_a_session_ends_and_forgets(estimator):
    from declined import Refusal
    from live import SHOWN_S, hear

    session = hear(None, (16000, voice(65.0)), estimator, 60.0)
    assert len(session.seconds) == SHOWN_S and session.seconds[-1]["start_s"] == 64.0
    with pytest.raises(Refusal, match="A live session ends after 1:00: stop and start again"):
        hear(session, (16000, voice(0.5)), estimator, 60.0)


def test_silence_has_no_values(estimator):
    from live import hear
    from live_view import live_html

    session = hear(None, (16000, np.zeros(32000, dtype=np.int16)), estimator, 60.0)
    assert session.now == {"activation": None, "valence": None, "dominance": None, "speech_ratio": 0.0}
    html = live_html(session, (1.0, 7.0))
    assert 'data-heard="2.000"' in html and "0% of it no silence" in html
