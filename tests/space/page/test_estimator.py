"""The page's numbers are the pipeline's, within a time limit."""

import json
import shutil

import pytest
from page import estimator as module
from page.estimator import Estimator, TypicalError, curve_windows
from page.limits import Deadline, UserError


RMSE = {"activation": 0.5, "valence": 1.25, "dominance": 0.75}


def test_equal_to_the_pipeline(estimator, expected, clip):
    estimate = estimator.estimate(str(clip), 6.3, Deadline(30.0))
    assert (estimate.window_s, estimate.hop_s) == (2.0, 0.5)
    assert estimate.whole == expected(str(clip))
    assert estimate.windows == expected(str(clip), window_s=2.0, hop_s=0.5, batch_size=8)
    assert estimator.estimate(str(clip), 6.3, Deadline(30.0), "unit", 3.0, 3.0).windows == expected(
        str(clip), window_s=3.0, hop_s=3.0, batch_size=8, scale="unit"
    )


def test_computation_stops_at_the_time_limit(estimator, clip):
    with pytest.raises(UserError, match=r"took longer than 1e-06 s and was stopped"):
        estimator.estimate(str(clip), 6.3, Deadline(1e-6))
    assert estimator.estimate(str(clip), 6.3, Deadline(30.0)).windows  # the next one has its own time


@pytest.mark.parametrize(
    ("duration_s", "expected"), [(4, (2, 0.5)), (120, (2, 0.5)), (121, (2, 1)), (900, (10, 5)), (72000, (600, 300))]
)
def test_a_curve_has_at_most_240_windows(duration_s, expected):
    assert curve_windows(duration_s) == expected
    assert duration_s / expected[1] <= 240


@pytest.mark.parametrize("options", [(400.0, 0.4), (5.1, 0.1)])
def test_a_program_may_not_ask_for_too_many_windows(estimator, clip, options):
    with pytest.raises(UserError, match=r"at most 2000 windows, and 50 that overlap, are estimated: give a longer"):
        estimator.estimate(str(clip), 900.0, Deadline(30.0), "label", *options)
    with pytest.raises(UserError, match=r"window_s is no number of seconds\."):
        estimator.estimate(str(clip), 6.3, Deadline(30.0), "label", "abc")


@pytest.mark.parametrize(
    ("run", "corpus", "error"),
    [
        ({"corpus": {"name": "emodb"}, "typical_error": {"clips": 98, "rmse": RMSE}}, "emodb", TypicalError(RMSE, 98)),
        ({"corpus": {"name": "emodb"}}, "emodb", None),
        (
            {"corpus": {"name": "emodb"}, "typical_error": {"clips": 98, "rmse": {"valence": 1, "dominance": None}}},
            "emodb",
            TypicalError({"valence": 1.0}, 98),
        ),
        ({"corpus": {"name": "emodb"}, "typical_error": [1]}, "emodb", None),
        ({"typical_error": {"clips": 98, "rmse": RMSE}}, None, None),
        ([], None, None),
        ("no JSON", None, None),
    ],
)
def test_corpus_and_typical_error_of_a_run(tmp_path, run, corpus, error):
    (tmp_path / "run.json").write_text(run if isinstance(run, str) else json.dumps(run))
    assert module._provenance(str(tmp_path / "run.json")) == (corpus, error, [])


def test_a_folder_with_and_without_a_run(estimator, checkpoint, tmp_path):
    assert (estimator.corpus, estimator.typical_error) == (None, None)
    assert estimator.bytes == (checkpoint / "model.safetensors").stat().st_size
    shutil.copytree(checkpoint, tmp_path / "model")
    (tmp_path / "model" / "run.json").write_text('{"corpus": {"name": "emodb", "word_labelled": ["dominance"]}}')
    trained = Estimator(str(tmp_path / "model"))
    assert (trained.corpus, trained.word_labelled) == ("emodb", ["dominance"])
