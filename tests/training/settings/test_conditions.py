"""Test conditions are checked and have names."""

import pytest

from speech_affect_training.settings.conditions import Condition


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        (Condition("clean"), "clean"),
        (Condition("white", 10), "white_10db"),
        (Condition("babble", -2.5), "babble_-2.5db"),
        (Condition("room", 0.6), "room_0.6s"),
    ],
)
def test_conditions_have_names(condition, name):
    assert condition.name == name


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("pink", 0, "kind of condition is 'pink'; allowed are clean, white, babble, room"),
        ("clean", 3, "value is 3 of a clean condition; leave it out"),
        ("white", float("inf"), "value of white is inf; give a finite signal-to-noise ratio in decibels"),
        ("room", 0, "value of a room is 0; 0.01 to 10 s are allowed"),
    ],
)
def test_conditions_are_checked(kind, value, message):
    with pytest.raises(ValueError, match=message):
        Condition(kind, value)
