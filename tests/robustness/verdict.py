"""The allowed outcomes of a case: values within their range, silence, or a `ValueError` that this package words."""

import ast
import math
import traceback
from functools import lru_cache
from pathlib import Path

import numpy as np

from .report import OUTCOMES


VALUES, SILENCE, REFUSED, FAILED = OUTCOMES
PACKAGE = Path(__file__).resolve().parents[2] / "modeling"
MOST_UNCERTAIN = 4.0  # standard deviation in label ranges: twice the most that a model states before calibration
SHORTEST_MESSAGE = 30  # characters


class Fault(Exception):
    """A result that is not allowed."""


def require(condition: bool, fault: str) -> None:
    """Raise a [`Fault`] unless the condition holds."""
    if not condition:
        raise Fault(fault)


def check_inputs(batch) -> str:
    """Check an extractor's batch: finite, within [-1, 1], at least 0.1 s, the longest clip wholly marked as valid."""
    values, mask = batch["input_values"], batch["attention_mask"]
    require(values.dtype == np.float32 and values.ndim == 2, f"input_values {values.dtype} {values.shape}")
    require(values.shape == mask.shape and set(np.unique(mask)) <= {0, 1}, "attention_mask of other shape or values")
    lengths = mask.sum(axis=1)
    require(lengths.max() == values.shape[1], "attention_mask does not mark every sample of the longest clip")
    require(lengths.min() >= 1600, f"{lengths.min()} samples are less than 0.1 s")
    require(bool(np.isfinite(values).all()), "input_values that are not finite")
    require(float(np.abs(values).max()) <= 1, f"input_values reach {np.abs(values).max()}")
    return VALUES


def check_result(result, label_range) -> str:
    """Check a result of the pipeline or `OnnxAffect`: a dict, or a list of results."""
    from speech_affect import DIMENSIONS  # imports torch, which a child process of a test does without

    if isinstance(result, list):
        outcomes = {check_result(each, label_range) for each in result}
        return next((outcome for outcome in (REFUSED, SILENCE) if outcome in outcomes), VALUES)
    ratio, error = result["speech_ratio"], result.get("error")
    if error is None:
        require(isinstance(ratio, float) and 0 <= ratio <= 1, f"speech_ratio is {ratio!r}")
    else:
        require(ratio is None, f"speech_ratio is {ratio!r} with the error {error!r}")
        require(len(error) >= SHORTEST_MESSAGE, f"says too little, {error!r}")
    values = {name: result[name] for name in DIMENSIONS}
    extra = {name: result.get(name, {}) for name in ("uncertainty", "emotions", "genders")}
    if not ratio:
        stated = [value for part in (values, *extra.values()) for value in part.values() if value is not None]
        require(not stated, "values without any speech")
        return SILENCE if error is None else REFUSED
    _check_numbers(values, *label_range)
    _check_numbers(extra.pop("uncertainty"), 0, MOST_UNCERTAIN * (label_range[1] - label_range[0]), "uncertainty of ")
    for name, shares in extra.items():
        _check_numbers(shares, 0, 1, f"{name} of ")
        total = sum(shares.values()) if shares else 1
        require(abs(total - 1) < 1e-5, f"probabilities of {name} sum to {total}")
    return VALUES


def check_output(output, label_range) -> str:
    """Check every tensor of a model's output or of a point of a stream."""
    _check_numbers(dict(enumerate(output.logits.flatten().tolist())), *label_range)
    for name in ("uncertainty", "emotion_logits", "gender_logits", "embedding"):
        tensor = getattr(output, name, None)
        require(tensor is None or bool(tensor.isfinite().all()), f"{name} is not finite")
    return VALUES


def _check_numbers(values: dict, low: float, high: float, of: str = "") -> None:
    for name, value in values.items():
        within = isinstance(value, float) and math.isfinite(value) and low <= value <= high
        require(within, f"{of}{name} is {value!r}")


def check_error(error: Exception) -> str:
    """Check that an error is a `ValueError` which a `raise` statement of this package words, not numpy or Python."""
    summary = f"{type(error).__name__}: {error}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}:{last.lineno}"
    require(isinstance(error, ValueError), f"{summary} ({place})")
    own = PACKAGE in Path(last.filename).resolve().parents and last.lineno in _raising_lines(last.filename)
    require(own, f"raised by no statement of this package, {summary} ({place})")
    require(len(str(error)) >= SHORTEST_MESSAGE, f"says too little, {summary} ({place})")
    return REFUSED


@lru_cache
def _raising_lines(filename: str) -> frozenset[int]:
    tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return frozenset(line for node in statements for line in range(node.lineno, node.end_lineno + 1))


def check_alike(results: list, tolerance: float = 1e-3) -> None:
    """Check that the pipeline and `OnnxAffect` return the same, number by number."""
    first, second = ([value for value in _flat(result)] for result in results)
    require(len(first) == len(second), "another form of result than the pipeline's")
    for one, other in zip(first, second, strict=True):
        alike = one == other or (None not in (one, other) and abs(one - other) <= tolerance)
        require(alike, f"{other!r} where the pipeline has {one!r}")


def _flat(result):
    if isinstance(result, (dict, list)):
        for value in result.values() if isinstance(result, dict) else result:
            yield from _flat(value)
    else:
        yield result
