"""Scores against numbers worked out by hand and against audmetric."""

from dataclasses import replace

import audmetric
import numpy as np
import pytest

from speech_affect_training.reports.evaluation import Evaluation
from speech_affect_training.reports.scores import (
    KEYS,
    ccc_scores,
    comparisons,
    group_scores,
    listener_scores,
    pairs,
    split_scores,
)
from speech_affect_training.settings.split_key import SplitKey
from speech_affect_training.settings.systems import system_specs


TEST = SplitKey("test1")


@pytest.fixture
def evaluation(make_table):
    """Two seeds on 60 clips: 40 by women (12 by speaker 10, 28 by speaker 9), 11 by men, the rest by whom?"""
    generator = np.random.default_rng(0)
    labels = generator.uniform(1, 7, (60, 3))
    logits = labels + generator.standard_normal((2, 60, 3))
    speakers = ["10"] * 12 + ["9"] * 28 + ["Anna"] * 11 + ["Unknown"] * 7 + [None] * 2
    genders = ["Female"] * 40 + ["Male"] * 11 + [None] * 9
    return Evaluation(make_table(60, labels=labels, speakers=speakers, genders=genders), logits)


def oracle(evaluation: Evaluation, rows) -> np.ndarray:
    """(seeds, 4) by audmetric."""
    ccc = [
        [audmetric.concordance_cc(evaluation.labels[rows, i], logits[rows, i]) for i in range(3)]
        for logits in evaluation.logits
    ]
    return np.column_stack([ccc, np.mean(ccc, axis=1)])


def check(scores: dict, expected: np.ndarray):
    for index, key in enumerate(KEYS):
        assert scores["ccc"][key] == pytest.approx(expected[:, index].mean(), abs=1e-12)
        assert scores["ccc_std_over_seeds"][key] == pytest.approx(expected[:, index].std(), abs=1e-12)


def test_a_split(evaluation):
    scores = split_scores(evaluation, 50)
    expected = oracle(evaluation, slice(None))
    check(scores, expected)
    assert scores["n"] == 60 and scores["speakers"] == 3
    assert not {"coverage", "spread", "by_corpus"} & set(scores)
    for index, key in enumerate(KEYS):
        np.testing.assert_allclose(scores["ccc_per_seed"][key], expected[:, index], atol=1e-12)
        low, high = scores["ci95"][key]
        assert low < scores["ccc"][key] < high
    check(ccc_scores(evaluation), expected)
    assert set(ccc_scores(evaluation)) == {"n", "rated", "ccc", "ccc_std_over_seeds"}


def test_groups(evaluation):
    scores = split_scores(evaluation, 10)
    assert {group: score["n"] for group, score in scores["by_gender"].items()} == {"Female": 40, "Male": 11}
    check(scores["by_gender"]["Female"], oracle(evaluation, slice(0, 40)))
    check(scores["by_gender"]["Male"], oracle(evaluation, slice(40, 51)))
    low, high = scores["by_gender"]["Female"]["ci95"]["valence"]
    assert low < scores["by_gender"]["Female"]["ccc"]["valence"] < high
    # numbers first and in their order; the unknown are no speaker
    assert list(scores["by_speaker"]) == ["9", "10", "Anna"]
    check(scores["by_speaker"]["9"], oracle(evaluation, slice(12, 40)))
    check(scores["by_speaker"]["10"], oracle(evaluation, slice(0, 12)))


def test_groups_of_few_clips_are_left_out(evaluation):
    assert list(group_scores(evaluation, ["a"] * 10 + ["b"] * 9 + ["c"] * 41)) == ["a", "c"]
    assert group_scores(evaluation, [None] * 60) == {}
    mixed = [*"ab"] * 30
    check(group_scores(evaluation, mixed)["b"], oracle(evaluation, slice(1, None, 2)))


def test_what_was_not_rated_has_no_score(evaluation):
    """Dominance by nobody, valence of the first 30 clips alone, and a mean over what listeners rated."""
    labels = evaluation.labels.copy()
    labels[30:, 1] = labels[:, 2] = np.nan
    part = evaluation.with_labels(labels)
    scores = split_scores(part, 20)
    expected = oracle(evaluation, slice(None))
    valence = oracle(evaluation, slice(0, 30))[:, 1]
    assert scores["rated"] == {"activation": 60, "valence": 30, "dominance": 0} and scores["n"] == 60
    assert scores["ccc"]["activation"] == pytest.approx(expected[:, 0].mean(), abs=1e-12)
    assert scores["ccc"]["valence"] == pytest.approx(valence.mean(), abs=1e-12)
    assert scores["ccc"]["mean"] == pytest.approx((expected[:, 0] + valence).mean() / 2, abs=1e-12)
    for name in ("ccc", "ccc_std_over_seeds", "ccc_per_seed", "ci95"):
        assert scores[name]["dominance"] is None and scores[name]["mean"] is not None
    # of speaker 9 eighteen clips have valence, of Anna and of men none, of speaker 10 all twelve
    assert scores["by_gender"]["Male"]["ccc"]["valence"] is None
    assert scores["by_gender"]["Male"]["ccc"]["mean"] == scores["by_gender"]["Male"]["ccc"]["activation"]
    by_speaker = {name: group["ccc"]["valence"] is None for name, group in scores["by_speaker"].items()}
    assert by_speaker == {"9": False, "10": False, "Anna": True}
    labels[19:, 1] = np.nan  # seven of speaker 9: too few
    assert split_scores(part, 20)["by_speaker"]["9"]["ccc"]["valence"] is None
    alone = split_scores(replace(part, averaged=(0,)), 20)
    assert alone["ccc"]["mean"] == alone["ccc"]["activation"] and alone["ci95"]["mean"] == alone["ci95"]["activation"]


def test_coverage_is_the_mean_over_seeds(make_table):
    labels = np.arange(12.0).reshape(4, 3) / 2
    # in units of the predicted deviation: 0, 0.9, 1.5 and 3, then all 0; 68% is within 0.994, 95% within 1.960
    off = np.array([0, 0.9, 1.5, 3])[:, None] * np.array([1.0, 2.0, 1.0])
    uncertainty = np.stack([np.broadcast_to([1.0, 2.0, 0.5], (4, 3)), np.ones((4, 3))])
    known = Evaluation(make_table(4, labels=labels), labels + np.stack([off, 0 * off]), uncertainty)
    covered = split_scores(known, 10)["coverage"]
    assert list(covered) == ["0.68", "0.95"]
    # the third dimension's deviations are taken to be half as large: 0, 1.8, 3 and 6
    assert covered["0.68"] == {"activation": 0.75, "valence": 0.75, "dominance": (0.25 + 1) / 2}
    assert covered["0.95"] == {"activation": 0.875, "valence": 0.875, "dominance": 0.75}


def test_several_corpora_are_scored_one_by_one(evaluation):
    """Of corpus c five clips, which count in the mean over corpora, and too few for a row of their own."""
    corpora = ["a"] * 25 + ["b"] * 30 + ["c"] * 5
    table = replace(evaluation.table, corpora=corpora, languages=["de"] * 25 + ["en"] * 33 + [None] * 2)
    logits = evaluation.logits + np.where(np.arange(60) < 25, 0, 9.0)[:, None]
    several = replace(evaluation, table=table, logits=logits)
    rows = [slice(0, 25), slice(25, 55), slice(55, 60)]
    each = [oracle(several, row) for row in rows]
    scores = split_scores(several, 40)
    check(scores, np.mean(each, axis=0))
    assert list(scores["by_corpus"]) == ["a", "b"] and list(scores["by_language"]) == ["de", "en"]
    for name, expected in zip("ab", each, strict=False):
        check(scores["by_corpus"][name], expected)
        low, high = scores["by_corpus"][name]["ci95"]["mean"]
        assert low < scores["by_corpus"][name]["ccc"]["mean"] < high
    check(scores["by_language"]["en"], each[1])  # three clips of corpus c are too few
    check(scores["by_gender"]["Female"], (each[0] + oracle(several, slice(25, 40))) / 2)
    specs = system_specs(SYSTEMS, {"w": {}}, ["fusion", "mfb"])
    better = replace(several, logits=several.labels[None] + 1.0)
    (found,) = comparisons(specs, {TEST: {"mfb": several, "fusion": better}}, 20)
    difference = np.mean([oracle(better, row) for row in rows], axis=0).mean(0) - np.mean(each, axis=0).mean(0)
    assert list(found["difference"].values()) == pytest.approx(difference.tolist())


def test_listeners_and_the_spread_of_their_grades(make_table):
    """Clips 0 to 2 have three listeners in activation, who deviate by 1, 2 and 4; seeds predict that and 1 more."""
    nan = np.nan
    grades = [np.array([[3.0, nan, nan], [4, nan, nan], [5, nan, nan]])]
    grades += [4 + 2 * (grades[0] - 4), 4 + 4 * (grades[0] - 4), grades[0][:2]]
    table = make_table(4, grades=grades, labels=np.array([[4.0, 1, 2], [4, 2, 1], [4, 3, 3], [3.5, 4, 4]]))
    uncertainty = np.array([1.0, 2, 4, 9])[:, None] * np.ones(3)
    evaluation = Evaluation(table, np.ones((2, 4, 3)), np.stack([uncertainty, uncertainty + 1]), averaged=(0, 1))
    with pytest.warns(UserWarning, match="predictions are constant"):
        spread = split_scores(evaluation, 5)["spread"]
    assert spread["clips"] == {"activation": 3, "valence": 0, "dominance": 0}
    shifted = audmetric.concordance_cc([1.0, 2, 4], [2.0, 3, 5])
    assert spread["ccc"] == {"activation": pytest.approx((1 + shifted) / 2), "valence": None, "dominance": None}
    assert spread["pearson"]["activation"] == pytest.approx(1)
    own = [3.0, 4, 5, 2, 4, 6, 0, 4, 8]
    others = [4.5, 4, 3.5, 5, 4, 3, 6, 4, 2]
    ccc = pytest.approx(audmetric.concordance_cc(others, own))
    assert listener_scores(evaluation) == {
        "ccc": {"activation": ccc, "valence": None, "dominance": None, "mean": ccc},
        "clips": {"activation": 3, "valence": 0, "dominance": 0},
        "grades": {"activation": 9, "valence": 0, "dominance": 0},
    }
    assert listener_scores(evaluation.take(np.array([3]))) is None


@pytest.fixture
def graded(make_table):
    """Makes predictions of four clips with the labels 0, 1, 2, 3 in each dimension."""
    labels = np.array([[0.0], [1], [2], [3]]) * np.ones(3)
    return lambda logits: Evaluation(make_table(4, labels=labels), np.asarray(logits))


SYSTEMS = {
    "mfb": {"role": "baseline", "branches": ["mfb"]},
    "fusion": {"role": "teacher", "branches": ["mfb"]},
    "plain": {"role": "student", "branches": [{"source": "mfb"}]},
    "pitch": {"role": "student", "branches": ["mfb_f0"]},
    "augmented": {"role": "student", "augmented": True},
    "pupil": {"role": "student", "teacher": "fusion"},
    "listener": {"role": "student", "pretraining": {"source": "w"}},
}


def test_pairs():
    specs = system_specs(SYSTEMS, {"w": {}}, None)
    against_baseline = [(name, "mfb") for name in ("fusion", "plain", "pitch", "augmented", "listener", "pupil")]
    against_students = [("listener", "plain"), ("listener", "augmented")]
    against_students += [("pupil", "plain"), ("pupil", "augmented"), ("pupil", "listener")]
    assert pairs(specs) == [*against_baseline, ("fusion", "plain"), ("fusion", "listener"), *against_students]
    without = system_specs({name: spec for name, spec in SYSTEMS.items() if name != "mfb"}, {"w": {}}, None)
    assert pairs(without) == against_students
    assert pairs(system_specs(SYSTEMS, {"w": {}}, ["mfb"])) == []


def test_improvement_by_hand(graded):
    specs = system_specs(SYSTEMS, {"w": {}}, ["fusion", "mfb"])
    labels = graded(np.zeros((1, 4, 3))).labels
    right = labels[None]
    # one too high everywhere: variances 5/4, covariance 5/4, means 1 apart: 2.5 / (2.5 + 1) = 5/7
    shifted = labels[None] + 1
    # the other way round: covariance -5/4: -1
    turned = 3 - labels[None]
    mfb = graded(np.concatenate([shifted, right]))  # mean over seeds (5/7 + 1) / 2 = 6/7
    fusion = graded(np.concatenate([right[:, :, :2], turned[:, :, 2:]], axis=2))  # 1, 1, -1
    evaluations = {TEST: {"mfb": mfb, "fusion": fusion}, SplitKey("cv", folds=3): {"fusion": mfb}}
    (found,) = comparisons(specs, evaluations, 20)
    assert (found["system"], found["against"], found["split"]) == ("fusion", "mfb", "test1")
    relative = {"activation": 1 / 6, "valence": 1 / 6, "dominance": -7 / 6 - 1, "mean": (1 / 3) / (6 / 7) - 1}
    difference = {"activation": 1 / 7, "valence": 1 / 7, "dominance": -1 - 6 / 7, "mean": 1 / 3 - 6 / 7}
    assert found["relative"] == pytest.approx(relative)
    assert found["difference"] == pytest.approx(difference)
    for key in KEYS:
        low, high = found["ci95"][key]
        assert low <= found["difference"][key] <= high and 0 < found["p_value"][key] <= 1
    rated = np.where([True, True, False], labels, np.nan)
    unrated = {TEST: {name: each.with_labels(rated) for name, each in evaluations[TEST].items()}}
    (found,) = comparisons(specs, unrated, 20)
    assert [found[name]["dominance"] for name in ("difference", "relative", "ci95", "p_value")] == [None] * 4
    assert found["difference"]["mean"] == pytest.approx(1 / 7)
    # nothing can be said relative to what does not agree at all
    backwards = {TEST: {"mfb": fusion, "fusion": mfb}}
    assert comparisons(specs, backwards, 20)[0]["relative"]["dominance"] is None
