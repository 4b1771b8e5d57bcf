"""The outputs of teachers as targets: kept once."""

from dataclasses import replace

import numpy as np

from speech_affect_training.jobs import prediction, teachers
from speech_affect_training.jobs.data_splits import TRAIN
from speech_affect_training.jobs.train_job import run_job


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
