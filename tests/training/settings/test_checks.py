from typing import Literal

import pytest
from transformers.trainer_utils import IntervalStrategy

from speech_affect_training.settings.checks import check_names, check_type, did_you_mean


def test_names_and_the_closest_known_one():
    assert did_you_mean("sedes", ["seeds", "folds"]) == "; did you mean 'seeds'?"
    assert did_you_mean("qqq", ["seeds"]) == did_you_mean(3, ["seeds"]) == ""
    check_names("x", ["a"], ["a", "b"])
    with pytest.raises(
        ValueError, match=r"^x has an unknown key 'seed'; did you mean 'seeds'\?; allowed are seeds, a$"
    ):
        check_names("x", ["seed"], ["seeds", "a"])
    with pytest.raises(ValueError, match=r"^x has an unknown option 3; allowed are a$"):
        check_names("x", [3], ["a"], "option")


@pytest.mark.parametrize(
    "value, annotation, expected",
    [
        (1, float | None, None),
        (None, float | None, None),
        (True, float | None, "a number; YAML reads no, off and yes as true or false: put them in quotes"),
        (1, bool, "true or false"),
        ("no", IntervalStrategy | str, None),
        ([1.5, "a"], list[float | str], None),
        ([[1], 2], list[list[int]], "a list of lists of whole numbers"),
        ("a", Literal["a", False], None),
        (0, Literal["a", False], "one of a, False"),
        ({}, object | None, None),
        (3, IntervalStrategy | str | dict, "a text or a mapping"),
        (3, TypeError, "a value of type TypeError"),
    ],
)
def test_types(value, annotation, expected):
    if expected is None:
        check_type("x", "a", value, annotation)
    else:
        with pytest.raises(ValueError) as caught:
            check_type("x", "a", value, annotation)
        assert str(caught.value) == f"x has a: {value!r}; give {expected}"
