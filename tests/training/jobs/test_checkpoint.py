"""A checkpoint is replaced as a whole, and one that is not what was trained is found out."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.jobs.checkpoint import typical_error, verify_checkpoint, write_checkpoint
from speech_affect_training.jobs.data_splits import DEVELOPMENT
from speech_affect_training.jobs.prediction import Predictions, read_predictions, write_predictions
from speech_affect_training.jobs.train_job import run_job


def test_verification_joins_clips_by_their_names(tmp_path, write_clip):
    model = AffectStudentModel(AffectStudentConfig()).eval()
    model.save_pretrained(tmp_path)
    extractor = AffectFeatureExtractor()
    extractor.save_pretrained(tmp_path)
    files = ["a", "b", "c"]
    rows = {"file": files, "audio": [write_clip(name) for name in files], "transcript": [None] * 3}
    logits = model(**extractor(rows["audio"], return_tensors="pt")).logits.detach().double().numpy()
    job = SimpleNamespace(predictions_path=lambda key: tmp_path / f"{key}.csv")

    def predicted(files, values):
        write_predictions(tmp_path / "development.csv", Predictions(files, values, np.zeros((len(files), 3))))

    predicted(["x", *files[::-1]], np.concatenate([logits[:1], logits[::-1] + 0.03]))
    verify_checkpoint(tmp_path, job, rows)
    predicted(files, logits + 0.09)
    with pytest.raises(RuntimeError, match="differs by 0.090 from what was trained: do not use this checkpoint"):
        verify_checkpoint(tmp_path, job, rows)
    predicted(["a", "x", "c"], logits)
    with pytest.raises(ValueError, match="there are no predictions of 1 of 3 clips, such as b"):
        verify_checkpoint(tmp_path, job, rows)


def test_what_is_left_of_an_earlier_checkpoint_does_not_pass_for_it(trained_jobs, tmp_path, monkeypatch):
    """A process that is killed while it deletes the earlier one must not leave a part of it under its name."""
    library = EncoderLibrary({}, [], None)
    one, other = (
        trained_jobs.make_jobs(tmp_path / seed, "--num_train_epochs", "1", "--seeds", seed)["teacher"] for seed in "01"
    )
    for job in (one, other):
        run_job(job, 8)
    folder = write_checkpoint([one], library, tmp_path / "system", {}, ())
    names = {path.name for path in folder.iterdir()}
    run = json.loads((folder / "run.json").read_text())
    assert run["learnt_clips"] == {"train": "", "development": ""}  # of no clip that is known to be the corpus's
    written = run["typical_error"]
    assert written == typical_error(read_predictions(one.predictions_path(DEVELOPMENT)))
    rmtree = shutil.rmtree

    def killed(path, **options):
        if path.is_dir():
            (path / "model.safetensors").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr("speech_affect_training.jobs.checkpoint.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint([other], library, folder, {}, ())
    monkeypatch.setattr("speech_affect_training.jobs.checkpoint.shutil.rmtree", rmtree)
    for job in (one, other):
        write_checkpoint([job], library, folder, {}, ())
        assert {path.name for path in folder.iterdir()} == names
        assert json.loads((folder / "run.json").read_text())["fingerprint"] == job.fingerprint
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_typical_error_by_hand():
    # off by 3 and 4 in activation: sqrt((9 + 16) / 2); by 1 in valence; dominance is right
    labels = np.array([[1.0, 4.0, 2.0], [7.0, 4.0, 6.0]])
    predictions = Predictions(["a", "b"], labels + [[3.0, 1.0, 0.0], [-4.0, -1.0, 0.0]], labels)
    rmse = {"activation": pytest.approx(12.5**0.5), "valence": 1.0, "dominance": 0.0}
    assert typical_error(predictions) == {"split": "development", "clips": 2, "rmse": rmse}
    labels[1, 0] = labels[0, 2] = labels[1, 2] = np.nan  # not rated
    rmse = {"activation": 3.0, "valence": 1.0, "dominance": None}
    assert typical_error(predictions) == {"split": "development", "clips": 2, "rmse": rmse}
