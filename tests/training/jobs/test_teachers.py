"""The outputs of teachers as targets: kept once, weighted by language or by CCC, classes too."""

from dataclasses import replace

import numpy as np
import torch

from speech_affect_training.jobs import prediction, teachers
from speech_affect_training.jobs.data_splits import DEVELOPMENT, TRAIN
from speech_affect_training.jobs.teachers import concordance_weights, language_weights
from speech_affect_training.jobs.train_job import run_job
from speech_affect_training.settings.distillation import Distillation


def test_a_teacher_predicts_a_table_once_for_all_students_and_seeds(trained_jobs, tmp_path, monkeypatch):
    teacher, student = trained_jobs.make_jobs(tmp_path, "--num_train_epochs", "1").values()
    other = replace(student, seed=1, folder=student.folder.with_name("other"))
    predicted, predict = [], prediction.predict

    def noting(model, dataset, batch_size):
        predicted.append(len(dataset))
        return predict(model, dataset, batch_size)

    run_job(teacher, 8)
    for module in (prediction, teachers):
        monkeypatch.setattr(module, "predict", noting)
    for job in (student, other):
        run_job(job, 8)
    assert len(predicted) == 1 + 2 * 2  # the teacher's outputs, and two splits of each student
    monkeypatch.undo()
    expected = predict(teacher.model(), teacher.dataset(student.tables[TRAIN]), 8)
    (kept,) = teacher.folder.glob("outputs_*.safetensors")
    for change in (lambda: None, kept.unlink, lambda: kept.write_bytes(b"damaged")):
        change()
        logits, embedding = teachers.teacher_targets(student, 8).values()
        np.testing.assert_array_equal(logits, expected.logits)
        np.testing.assert_array_equal(embedding, expected.embedding)
        assert logits.dtype == np.float64 and embedding.dtype == np.float32
    # what another student trains on is another table, and batches of another size round otherwise
    half = replace(student, tables={**student.tables, TRAIN: student.tables[TRAIN].take(range(12))})
    assert len(teachers.teacher_targets(half, 8)["logits"]) == 12
    teachers.teacher_targets(student, 4)
    assert len(list(teacher.folder.glob("outputs_*.safetensors"))) == 3


def test_teachers_of_a_clips_language_count_alone():
    weights = language_weights([["de"], ["en", "fr"], []], ["de", "fr", "it", None])
    assert weights[:, :, 0].tolist() == [[1, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert (weights == weights[:, :, :1]).all() and weights.shape == (3, 4, 3)


def test_teachers_count_by_their_ccc_on_the_corpus():
    nan = np.nan
    labels = np.array([[1.0, 1, 1], [3, 3, nan], [5, nan, nan], [1, 1, 1], [2, 2, 2]])
    developed = ["a", "a", "a", "b", "b"]
    # activation: exact; 2 too high everywhere, of variances 8/3 (a) and 1/4 (b); -1 of a by turning it round
    one = labels.copy()
    two = labels + 2.0
    turned = 6 - labels
    weights = concordance_weights([one, two, turned], labels, developed, ["b", "a", "unlabelled", "a"])
    a, b = (16 / 3) / (16 / 3 + 4), 0.5 / (0.5 + 4)
    np.testing.assert_allclose(weights[:, 0, 0], [1, b, 0], atol=1e-12)
    np.testing.assert_allclose(weights[:, 1, 0], [1, a, 0], atol=1e-12)
    # turned: -1 within a, and of 1, 2 against 5, 4 -0.5 / (0.5 + 9) within b: below 0 everywhere
    np.testing.assert_allclose(weights[:, 2, 0], [1, (a + b) / 2, 0], atol=1e-12)
    np.testing.assert_array_equal(weights[:, 3], weights[:, 1])
    # one clip of a has a dominance, so all of development: b alone
    np.testing.assert_allclose(weights[:, 1, 2], [1, b, 0], atol=1e-12)
    # without the second dimension a teacher does not count there; where none is above 0, all do
    one[:, 1] = nan
    weights = concordance_weights([one, turned], labels, developed, ["a"])
    np.testing.assert_allclose(weights[:, 0], [[1, 1, 1], [0, 1, 0]], atol=1e-12)


def test_a_student_learns_from_its_teachers_by_their_weights(trained_jobs, tmp_path):
    teacher, student = trained_jobs.make_jobs(tmp_path, "--num_train_epochs", "1").values()
    spoken = ["de", "en", None] * 8
    tables = {TRAIN: replace(teacher.tables[TRAIN], languages=spoken), DEVELOPMENT: teacher.tables[DEVELOPMENT]}
    pair = [
        replace(
            teacher,
            spec=replace(teacher.spec, languages=[code]),
            seed=seed,
            folder=teacher.folder.with_name(code),
            tables=tables,
        )
        for seed, code in enumerate(("de", "en"))
    ]
    learns = Distillation(emotion_weight=1.0, temperature=3.0, teacher_weights="language")
    config = replace(student.config, emotion_names=["happiness", "anger", "fear"])
    spec = replace(student.spec, distillation=learns, emotions="all")
    student = replace(student, spec=spec, config=config, emotion_codes=["H", "A", "F"], teachers=pair, tables=tables)
    for job in pair:
        run_job(job, 8)
    targets = teachers.teacher_targets(student, 8)
    each = [prediction.predict(job.model(), job.dataset(tables[TRAIN]), 8) for job in pair]
    chosen = [[0, 1, None][row % 3] for row in range(24)]
    for row, one in enumerate(chosen):
        of = each if one is None else [each[one]]
        np.testing.assert_allclose(targets["logits"][row], np.mean([p.logits[row] for p in of], axis=0), atol=1e-12)
        np.testing.assert_array_equal(targets["embedding"][row], of[0].embedding[row])
        anger, happy = np.mean([torch.tensor(p.emotion_logits[row] / 3).softmax(0).numpy() for p in of], axis=0)
        np.testing.assert_allclose(targets["emotions"][row], [happy, anger, 0.0], atol=1e-6)
    assert student.dataset(tables[TRAIN]).columns == [0, 1, 2]
    result = run_job(student, 8)
    logged = (student.folder / "history.json").read_text()
    assert '"loss_distil_emotion"' in logged and result["fingerprint"] == student.fingerprint
    # what tells clips apart by language is a part of the identity, with these weights alone
    other = {**tables, TRAIN: replace(tables[TRAIN], languages=["de"] * 24)}
    assert replace(student, tables=other).fingerprint != student.fingerprint
    equal = replace(student, spec=replace(spec, distillation=replace(learns, teacher_weights="equal")))
    assert replace(equal, tables=other).fingerprint == equal.fingerprint != student.fingerprint
    measured = replace(student, spec=replace(spec, distillation=replace(learns, teacher_weights="development")))
    ccc = [job.result()["development"] for job in pair]
    weights = teachers.teacher_weights(measured, ["", "elsewhere"], [None, None], 8)
    for column, name in enumerate(("activation", "valence", "dominance")):
        known = np.array([max(0.0, one[f"ccc_{name}"]) for one in ccc])
        expected = known if known.any() else np.ones(2)
        np.testing.assert_allclose(weights[:, 0, column], expected, atol=1e-5)
    torch.testing.assert_close(weights[:, 0], weights[:, 1])


def test_unused_settings_are_no_part_of_the_identity(trained_jobs, tmp_path):
    """Results that are there stay those of the same settings."""
    teacher, student = (
        replace(job, spec=replace(job.spec, auxiliary={}), auxiliary={})
        for job in trained_jobs.make_jobs(tmp_path).values()
    )
    assert student.settings()["system"] == {
        "name": "student",
        "role": "student",
        "branches": ["mfb"],
        "fusion_level": "embedding",
        "emotions": None,
        "gender": True,
        "uncertainty": False,
        "augmented": False,
        "unlabelled": False,
        "optional": False,
        "teacher": "teacher",
        "distillation": {"label_weight": 1.0, "output_weight": 1.0, "embedding_weight": 1.0},
        "pretraining": {
            "source": "whisper",
            "hidden_state": 2,
            "max_steps": 4,
            "learning_rate": 0.01,
            "unlabelled": False,
        },
        "config": {},
        "training": {},
    }
    assert "languages" not in student.settings() and teacher.settings()["system"]["distillation"] is None
    compared = replace(student, spec=replace(student.spec, compared_with=["teacher"]))
    assert compared.fingerprint == student.fingerprint
    assert replace(teacher, spec=replace(teacher.spec, languages=["de"])).fingerprint != teacher.fingerprint
