"""Finished models on a run's clips: predictions on the labels' scale, kept values, what their reader should know."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from speech_affect_training.encoders import finished_model
from speech_affect_training.encoders.finished_model import FinishedModel, load_finished
from speech_affect_training.jobs.data_splits import DEVELOPMENT, TRAIN, make_data_splits
from speech_affect_training.jobs.finished import FinishedJob, evaluate_models, finished_jobs, warnings_of
from speech_affect_training.jobs.learnt_clips import digests, joined, to_json
from speech_affect_training.jobs.prediction import read_predictions
from speech_affect_training.settings.finished import CheckpointSpec
from speech_affect_training.settings.recipe import parse_arguments
from speech_affect_training.settings.split_key import SplitKey


TEST1 = SplitKey("test1")
NOISY = SplitKey("test1", "white_10db")


@pytest.fixture
def corpus(make_corpus):
    people = {"train": "abb", "development": "c", "test1": "ddde"}
    return make_corpus(
        {
            split: [{"file": f"{split}{i}", "speaker": who} for i, who in enumerate(speakers)]
            for split, speakers in people.items()
        }
    )


@pytest.fixture
def run(audeering_like, tmp_path):
    settings = {
        "systems": {"peer": {"role": "checkpoint", "id": str(audeering_like)}},
        "conditions": {"systems": ["peer"], "white_db": [10]},
        "folds": 3,
        "extraction_batch_size": 2,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    return parse_arguments(["--recipe", str(tmp_path / "run.yaml"), "--output_dir", str(tmp_path / "out")])[0]


def test_predictions_of_splits_folds_and_conditions(run, corpus, audeering_like, tmp_path):
    all_splits = make_data_splits(corpus, run.folds, 0, run.augmentation, run.conditions)
    evaluated = evaluate_models(run, all_splits, tmp_path)
    jobs = finished_jobs(run, evaluated, all_splits, (1.0, 7.0), tmp_path / "out")
    tables = {name: list(systems["peer"][0].tables) for name, systems in jobs.items()}
    assert tables == {"": [DEVELOPMENT, TEST1, NOISY], "fold0": [TEST1], "fold1": [TEST1], "fold2": [TEST1]}
    assert jobs["fold1"]["peer"][0].evaluated_as == SplitKey("cv", folds=3)
    model = load_finished(run.checkpoints["peer"], None)
    by_file = {}
    for name, systems in jobs.items():
        job = systems["peer"][0]
        for key, table in job.tables.items():
            found = read_predictions(tmp_path / "out" / "jobs" / "peer" / name / f"predictions_{key}.csv")
            assert found.files == table.files and found.uncertainty is None
            audio = all_splits[list(jobs).index(name)].audio
            degraded = {clip.fingerprint: clip for clip in all_splits[0].conditions[NOISY]}
            clips = [degraded.get(f) or audio[f] for f in table.fingerprints]
            values = model.estimate(clips, [None] * len(clips))[:, 0].astype(float)
            # arousal, dominance, valence in 0 to 1 -> activation, valence, dominance in 1 to 7
            np.testing.assert_allclose(found.logits, 1 + 6 * values[:, [0, 2, 1]], atol=1e-12)
            np.testing.assert_array_equal(found.labels, table.labels)
            by_file.setdefault(key, {}).update(zip(found.files, found.logits[:, 0].tolist(), strict=True))
    assert len(by_file[TEST1]) == 8  # every clip is tested by a fold
    assert all(by_file[NOISY][file] != by_file[TEST1][file] for file in by_file[NOISY])


def test_values_are_kept_and_an_interrupted_run_goes_on(run, corpus, tmp_path, monkeypatch, interrupt):
    all_splits = make_data_splits(corpus, run.folds, 0, run.augmentation, run.conditions)
    head = finished_model.Wav2Vec2ForSpeechClassification
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, head, "forward", 8)
        evaluate_models(run, all_splits, tmp_path)
    with monkeypatch.context() as patch:
        calls = interrupt(patch, head, "forward", 99)
        first = evaluate_models(run, all_splits, tmp_path)["peer"]
        assert len(calls) == 12 - 6  # 8 clips and 4 noisy ones, two a batch; three batches were kept
    with monkeypatch.context() as patch:
        interrupt(patch, head, "forward", 1)
        again = evaluate_models(run, all_splits, tmp_path)["peer"]
    clips = all_splits[0].tables[TEST1].fingerprints
    assert [first.cache.read(clip).tolist() for clip in clips] == [again.cache.read(clip).tolist() for clip in clips]


def test_values_that_are_not_finite_are_refused(run, corpus, tmp_path, monkeypatch):
    head = finished_model.Wav2Vec2ForSpeechClassification
    forward = head.forward
    monkeypatch.setattr(head, "forward", lambda self, values: forward(self, values) / 0)
    all_splits = make_data_splits(corpus, None, 0, run.augmentation, [])
    with pytest.raises(ValueError, match="system 'peer' gives values that are not finite"):
        evaluate_models(run, all_splits, tmp_path)


LABELS = np.column_stack([np.linspace(1, 7, 12), np.linspace(7, 1, 12) ** 2 / 7, np.full(12, np.nan)])


@pytest.fixture
def job(make_table):
    """Makes the job of a model with these values of 12 clips, valence first."""

    def make(values: np.ndarray, output_range=(0.0, 1.0), run=None) -> FinishedJob:
        table = make_table(12, labels=LABELS)
        kept = dict(zip(table.fingerprints, values, strict=True))
        source = SimpleNamespace(name="a", revision="b", license=None)
        model = FinishedModel(source, ["valence", "activation"], output_range, 9, False, run or {}, [], None)
        spec = CheckpointSpec("peer", "checkpoint", "lab/peer")
        cache = SimpleNamespace(read=kept.__getitem__)
        return FinishedJob(spec, model, {TEST1: table}, cache, (1.0, 7.0), Path("nowhere"), None)

    return make


def test_uncertainty_is_moved_too_and_no_dimension_is_made_up(job):
    values = np.arange(48.0).reshape(12, 2, 2)
    found = job(values, (-1.0, 1.0)).predictions(job(values).tables[TEST1])
    assert found.logits[1].tolist()[:2] == [4 + 3 * 5, 4 + 3 * 4] and np.isnan(found.logits[:, 2]).all()
    assert found.uncertainty[1].tolist()[:2] == [3 * 7, 3 * 6] and np.isnan(found.uncertainty[:, 2]).all()
    same = job(values, (1.0, 7.0)).predictions(job(values).tables[TEST1])
    assert same.logits[:, [1, 0]].tolist() == values[:, 0].tolist()


def test_values_outside_the_range_and_against_the_labels(job):
    right = np.column_stack([LABELS[:, 1], LABELS[:, 0]])[:, None] / 7
    assert told(job(right), {}) == []
    (wrong_range,) = told(job(7 * right), {})
    assert wrong_range == (
        "19 of 24 values lie outside its range, 0 to 1, by more than a tenth of it (from 0.143 to 7): check "
        "output_range"
    )
    (reversed_,) = told(job(1 - right), {})
    assert reversed_ == (
        "values go down where labels go up in every dimension (r: activation -1.00, valence -1.00): check outputs and "
        "labels"
    )
    # in the wrong order both dimensions go down here
    (order,) = told(job(right[:, :, ::-1]), {})
    assert "in every dimension (r: activation -0.98, valence -0.98)" in order


def told(job: FinishedJob, corpus: dict, *parts: FinishedJob) -> list[str]:
    return warnings_of(job, corpus, [job, *parts])


def sizes(**splits) -> dict:
    return {"splits": {name: {"clips": clips, "speakers": people} for name, (clips, people) in splits.items()}}


def test_a_corpus_that_the_model_was_trained_on(job):
    right = np.column_stack([LABELS[:, 1], LABELS[:, 0]])[:, None] / 7
    own = {"name": "own", **sizes(train=(20, 4), development=(6, 2), test1=(9, 2))}
    learnt = {"corpus": {"name": "two", "corpora": {"old": own, "other": sizes(train=(3, 1))}}}

    of = job(right, run=learnt)
    (same,) = told(of, own)
    assert same.startswith("was trained on old by its run.json, with as many clips and speakers as own here: figures ")
    assert same.endswith("are no test; by the same numbers test1 was held out, and no other split")
    (dealt_anew,) = told(of, {"corpora": {"a": sizes(test1=(35, 8)), "b": sizes(test1=(34, 8))}})
    assert "with as many clips and speakers as a here: figures on clips" in dealt_anew
    assert dealt_anew.endswith("are no test")
    assert told(of, {"name": "x", **sizes(train=(20, 4), development=(6, 2), test1=(10, 2))}) == []
    assert TRAIN  # is nowhere predicted


def test_clips_that_the_model_learnt_from(job, make_table):
    right = np.column_stack([LABELS[:, 1], LABELS[:, 0]])[:, None] / 7
    clips = make_table(12).fingerprints  # of test1
    learnt = {"train": digests([*clips[:5], "others"]), "development": digests(clips[4:6])}
    run = {"corpus": {"name": "own", **sizes(test1=(12, 4))}, "learnt_clips": to_json(joined([learnt, learnt]))}
    corpus = {"name": "own", **sizes(test1=(12, 4))}  # the same numbers do not count where clips are known
    (told_of,) = told(job(right, run=run), corpus)
    assert told_of == (
        "has heard clips of this table before: 5 for training and 2 to choose its epoch (of 12 in test1): figures on "
        "these are no test"
    )
    fold = replace(job(right, run=run), evaluated_as=SplitKey("cv", folds=2))
    (pooled,) = told(job(right, run=run), corpus, fold, fold)
    assert (
        pooled.count("(of 12 in test1)") == 1 and "10 for training and 4 to choose its epoch (of 24 in cv2)" in pooled
    )
    others = {"learnt_clips": to_json(joined([{"train": digests(["others"])}]))}
    assert told(job(right, run={**run, **others}), corpus) == []
    (damaged,) = told(job(right, run={**run, "learnt_clips": {"train": "=", "development": 3}}), corpus)
    assert damaged.startswith("was trained on own by its run.json, with as many clips")
