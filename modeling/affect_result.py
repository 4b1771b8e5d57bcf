"""What a user gets of an estimate: plain numbers by name, on the scale that was asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


SCALES = ("label", "unit", "signed")


@dataclass
class AffectEstimate:
    """
    A model's numbers for one clip.

    Args:
        logits: of the dimensions, on the label scale.
        uncertainty: of the dimensions, standard deviations on the label scale; None where the model predicts none.
        emotion_logits: of the classes; None where the model has none.
        gender_logits: of the genders; None where the model has none.
    """

    logits: Sequence[float] | None
    uncertainty: Sequence[float] | None = None
    emotion_logits: Sequence[float] | None = None
    gender_logits: Sequence[float] | None = None


def check_scale(scale: str) -> None:
    """Raise a `ValueError` unless this is a scale."""
    if scale not in SCALES:
        raise ValueError(
            f"scale is {scale!r}; it is 'label' (the scale of the labels), 'unit' (0 to 1) or 'signed' (-1 to 1)"
        )


def affect_result(estimate: AffectEstimate | None, speech_ratio: float, config, scale: str = "label") -> dict:
    """
    The result of one clip, window or segment.

    Args:
        estimate: None where nothing was estimated: the names stay, every value is None, and a warning says so.
        speech_ratio: of [`SpeechActivity`].
        config: has `id2label`, `label_range`, `predict_uncertainty`, `emotion_names` and `gender_names`, as a model's
            configuration has.
        scale: `"label"`: `config.label_range`; `"unit"`: 0 to 1; `"signed"`: -1 to 1.

    Returns:
        `activation`, `valence`, `dominance` (float or None) and `speech_ratio`; where the model tells them,
        `uncertainty`, `emotions` and `genders`, a dict each, whose probabilities sum to 1.
    """
    names = list(config.id2label.values())
    zero, unit = _scale(config.label_range, scale)
    if estimate is None:
        warnings.warn(
            "no sound stands out from silence or a steady background: values are None there (see speech_ratio)",
            stacklevel=2,
        )
        estimate = AffectEstimate(None)
    result = _named(names, estimate.logits, lambda values: (values - zero) / unit)
    result["speech_ratio"] = float(speech_ratio)
    if config.predict_uncertainty:
        result["uncertainty"] = _named(names, estimate.uncertainty, lambda values: values / unit)
    if config.emotion_names:
        result["emotions"] = _named(config.emotion_names, estimate.emotion_logits, _softmax)
    if config.gender_names:
        result["genders"] = _named(config.gender_names, estimate.gender_logits, _softmax)
    return result


def _scale(label_range, scale: str) -> tuple[float, float]:
    """What is 0 and what is 1 above it, on the label scale."""
    low, high = label_range
    if scale == "label":
        return 0.0, 1.0
    return (low, high - low) if scale == "unit" else ((high + low) / 2, (high - low) / 2)


def _named(names, values: Sequence[float] | None, convert: Callable) -> dict[str, float | None]:
    if values is None:
        return dict.fromkeys(names)
    return dict(zip(names, convert(np.asarray(values, dtype=np.float64)).tolist(), strict=True))


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()
