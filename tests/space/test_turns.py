"""Some are served, some wait, the rest are sent away."""

import threading

import pytest


def test_the_third_is_sent_away_and_the_second_waits():
    from declined import Refusal
    from turns import Turns

    turns, served, leave = Turns(1, 1, 5.0), [], threading.Event()

    def second():
        with turns.turn():
            served.append("second")

    with turns.turn():
        waiting = threading.Thread(target=second)
        waiting.start()
        while turns._present._value:
            leave.wait(0.01)
        assert served == []
        with pytest.raises(Refusal, match="The page is busy just now: try again in a minute"), turns.turn():
            pass
    waiting.join(5)
    assert served == ["second"]


def test_nobody_waits_for_ever():
    from declined import Refusal
    from turns import Turns

    turns = Turns(1, 1, 0.05)
    with turns.turn(), pytest.raises(Refusal, match="busy"), turns.turn():
        pass
    with turns.turn():  # whoever gave up holds no place
        pass
