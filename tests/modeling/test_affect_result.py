"""A model's numbers by name, on three scales."""

import json
import warnings
from types import SimpleNamespace

import pytest

from speech_affect.affect_result import AffectEstimate, affect_result, check_options


def config(**changes):
    plain = {
        "id2label": {0: "activation", 1: "valence", 2: "dominance"},
        "label_range": (1.0, 7.0),
        "predict_uncertainty": False,
        "emotion_names": None,
        "gender_names": None,
    }
    return SimpleNamespace(**(plain | changes))


FULL = {"predict_uncertainty": True, "emotion_names": ["anger", "joy"], "gender_names": ["Female", "Male"]}


@pytest.mark.parametrize(
    "scale, values, uncertainty",
    [
        ("label", [1.0, 4.0, 7.0], [0.6, 3.0, 1.5]),
        ("unit", [0.0, 0.5, 1.0], [0.1, 0.5, 0.25]),
        ("signed", [-1.0, 0.0, 1.0], [0.2, 1.0, 0.5]),
    ],
)
def test_scales(scale, values, uncertainty):
    check_options(scale)
    estimate = AffectEstimate([1.0, 4.0, 7.0], uncertainty=[0.6, 3.0, 1.5])
    result = affect_result(estimate, 0.75, config(predict_uncertainty=True), scale)
    assert list(result) == ["activation", "valence", "dominance", "speech_ratio", "uncertainty"]
    assert [result[name] for name in ("activation", "valence", "dominance")] == values
    assert list(result["uncertainty"]) == ["activation", "valence", "dominance"]
    assert list(result["uncertainty"].values()) == pytest.approx(uncertainty, abs=1e-15)
    assert result["speech_ratio"] == 0.75


def test_heads_give_probabilities():
    estimate = AffectEstimate([2.0, 3.0, 4.0], [1.0, 1.0, 1.0], emotion_logits=[0.0, 0.0], gender_logits=[1000.0, 0.0])
    result = affect_result(estimate, 1, config(**FULL))
    assert result["emotions"] == {"anger": 0.5, "joy": 0.5}
    assert result["genders"] == {"Female": 1.0, "Male": 0.0}
    assert json.loads(json.dumps(result)) == result
    assert all(type(result[name]) is float for name in ("activation", "speech_ratio"))
    plain = affect_result(AffectEstimate([2.0, 3.0, 4.0]), 1, config())
    assert list(plain) == ["activation", "valence", "dominance", "speech_ratio"]


def test_nothing_estimated_is_none_by_the_same_names():
    with pytest.warns(UserWarning, match="values are None there"):
        result = affect_result(None, 0.0, config(**FULL), "unit")
    three = {"activation": None, "valence": None, "dominance": None}
    assert result == three | {
        "speech_ratio": 0.0,
        "uncertainty": three,
        "emotions": {"anger": None, "joy": None},
        "genders": {"Female": None, "Male": None},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        affect_result(AffectEstimate([2.0, 3.0, 4.0]), 0.01, config())
        assert affect_result(None, 0.5, config(), error="why") == three | {"speech_ratio": None, "error": "why"}
