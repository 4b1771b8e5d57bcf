"""Test conditions are checked and have names."""

import pytest

from speech_affect_training.settings.conditions import Condition


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        (Condition("white", 10), "white_10db"),
        (Condition("babble", -2.5), "babble_-2.5db"),
        (Condition("room", 0.6), "room_0.6s"),
    ],
)
def test_conditions_have_names(condition, name):
    assert condition.name == name and Condition.parse(name) == condition


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("white", float("inf"), "value of white is inf; give a finite signal-to-noise ratio in decibels"),
        ("room", 0, "value of a room is 0; 0.01 to 10 s are allowed"),
    ],
)
def test_conditions_are_checked(kind, value, message):
    with pytest.raises(ValueError, match=message):
        Condition(kind, value)
