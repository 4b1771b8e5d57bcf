"""The metric as a module of `evaluate`: offline, with any kind of array, batches and names."""

import doctest
import re
from pathlib import Path

import evaluate
import numpy as np
import pandas as pd
import pytest
import torch

from speech_affect_training.metrics.ccc.concordance import concordance_correlation


ROOT = Path(__file__).resolve().parents[3]
METRIC = ROOT / "training" / "metrics" / "ccc"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """A metric that failed keeps the lock on its cache file, for which the next one waits a second."""
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path))


@pytest.fixture
def ccc(monkeypatch):
    """The metric, loaded with the network made to fail."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the metric went to the network"))
    return evaluate.load(str(METRIC))


@pytest.fixture
def emotion():
    rng = np.random.default_rng(0)
    references = rng.normal(4, 1, size=(30, 3))
    return references + rng.normal(0.2, 1, size=(30, 3)), references


def test_loads_by_relative_folder_and_by_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    for path in ("training/metrics/ccc", "./training/metrics/ccc", str(METRIC / "ccc.py")):
        result = evaluate.load(path).compute(predictions=[1, 2, 3], references=[2, 3, 4])
        assert result == {"ccc": pytest.approx(4 / 7, abs=1e-15)} and type(result["ccc"]) is float


def test_three_dimensions_have_names(ccc, emotion):
    predictions, references = emotion
    result = ccc.compute(predictions=predictions, references=references)
    assert list(result) == ["activation", "valence", "dominance", "mean"]
    expected = concordance_correlation(predictions, references)
    assert list(result.values()) == [*expected, expected.mean()]
    assert all(type(value) is float for value in result.values())


@pytest.mark.parametrize("convert", [np.ndarray.tolist, lambda x: x.astype(np.float32), torch.from_numpy])
@pytest.mark.parametrize("columns", [slice(None), 0])
def test_every_kind_of_array(ccc, emotion, convert, columns):
    predictions, references = emotion[0][:, columns], emotion[1][:, columns]
    result = ccc.compute(predictions=convert(predictions), references=convert(references))
    expected = np.atleast_1d(concordance_correlation(predictions, references))
    np.testing.assert_allclose([result[name] for name in result if name != "mean"], expected, atol=1e-6)


def test_batches_and_single_rows_equal_the_whole(ccc, emotion):
    predictions, references = emotion
    whole = ccc.compute(predictions=predictions, references=references)
    for start, stop in ((0, 7), (7, 8), (8, 30)):
        ccc.add_batch(predictions=predictions[start:stop], references=references[start:stop])
    assert ccc.compute() == whole
    for prediction, reference in zip(predictions, references, strict=True):
        ccc.add(prediction=prediction, reference=reference)
    assert ccc.compute() == whole


def test_own_names(ccc):
    result = ccc.compute(predictions=[[0, 1], [1, 0]], references=[[0, 0], [1, 1]], names=["liking", "interest"])
    assert result == {"liking": 1.0, "interest": -1.0, "mean": 0.0}


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (None, r"0 name\(s\) \[\] for 2 dimension\(s\)"),
        (["a"], r"1 name\(s\) \['a'\] for 2 dimension\(s\)"),
        (["a", "a"], "must differ from each other"),
        (["a", "mean"], 'and from "mean"'),
    ],
)
def test_names_that_do_not_fit(ccc, names, match):
    with pytest.raises(ValueError, match=match):
        ccc.compute(predictions=[[0, 1], [1, 0]], references=[[0, 0], [1, 1]], names=names)
    with pytest.raises(ValueError, match=r"names=\['a'\] is for several dimensions"):
        ccc.compute(predictions=[0, 1], references=[0, 1], names=["a"])


@pytest.mark.parametrize(
    ("predictions", "references", "match"),
    [
        ([], [], "predictions are empty"),
        ([1.0], [], "references are empty"),
        ([1.0], [1.0, 2.0], r"Predictions have shape \(1,\) and references \(2,\)"),
        ([1.0, 2.0], [1.0, float("inf")], "references hold 1 value"),
        ([[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0, 4.0]], "predictions must be a rectangular array"),
        ([[1.0, 2.0]], [[1.0, 2.0, 3.0]], r"shape \(1, 2\) and references \(1, 3\)"),
        (["a"], [1.0], "predictions must be a rectangular array of real numbers: values of type <U1"),
        ([[1.0, 2.0, 3.0]], [1.0], r"shape \(1, 3\) and references \(1,\)"),
        ([1.0], None, "references must be a rectangular array of real numbers: values of type object"),
        (5.0, 6.0, r"Expected shape \(clips,\) or"),
    ],
)
def test_bad_input_leaves_nothing_for_the_next_call(ccc, predictions, references, match):
    for call in (ccc.compute, ccc.add_batch):
        with pytest.raises(ValueError, match=match):
            call(predictions=predictions, references=references)
        assert ccc.compute(predictions=[1, 2, 3], references=[2, 3, 4]) == {"ccc": pytest.approx(4 / 7)}


def test_a_bad_row_leaves_the_earlier_ones(ccc):
    ccc.add(prediction=1.0, reference=2.0)
    with pytest.raises(ValueError, match="predictions must be a rectangular array of real numbers"):
        ccc.add(prediction="x", reference=3.0)
    ccc.add_batch(predictions=[2.0, 3.0], references=[3.0, 4.0])
    assert ccc.compute() == {"ccc": pytest.approx(4 / 7)}


def test_filtered_columns_of_a_table(ccc):
    """Whose index does not begin at 0."""
    table = pd.DataFrame({"predicted": [9.0, 1, 2, 3], "rated": [0.0, 2, 3, 4], "words": list("abcd")}).query(
        "predicted < 9"
    )
    assert ccc.compute(predictions=table.predicted, references=table.rated) == {"ccc": pytest.approx(4 / 7)}
    both = ccc.compute(
        predictions=table[["predicted", "rated"]], references=table[["rated", "rated"]], names=["a", "b"]
    )
    assert both == {"a": pytest.approx(4 / 7), "b": 1.0, "mean": pytest.approx(11 / 14)}


def test_examples_of_the_card(monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (METRIC / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    test = doctest.DocTestParser().get_doctest("".join(blocks), {}, "README.md", None, 0)
    results = doctest.DocTestRunner().run(test)
    assert results.attempted >= 8
    assert results.failed == 0
