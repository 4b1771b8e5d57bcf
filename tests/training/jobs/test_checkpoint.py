"""A checkpoint that is not what was trained is found out."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.jobs.checkpoint import typical_error, verify_checkpoint, write_checkpoint
from speech_affect_training.jobs.job import run_job
from speech_affect_training.jobs.prediction import Predictions, read_predictions, write_predictions


@pytest.mark.parametrize("error, refused", [(0.03, False), (0.09, True)])
def test_verification(tmp_path, error, refused):
    model = AffectStudentModel(AffectStudentConfig()).eval()
    model.save_pretrained(tmp_path / "system")
    extractor = AffectFeatureExtractor()
    extractor.save_pretrained(tmp_path / "system")
    clips = []
    for index in range(3):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(index).standard_normal(8000), 16000)
        clips.append({"path": str(path), "bytes": None})
    logits = model(**extractor(clips, return_tensors="pt")).logits.detach().double().numpy()
    noted = Predictions(["0", "1", "2"], logits + error, np.zeros((3, 3)))
    write_predictions(tmp_path / "predictions_development.csv", noted)
    if refused:
        with pytest.raises(RuntimeError, match="differs by 0.090 from what was trained: do not use this checkpoint"):
            verify_checkpoint(tmp_path / "system", tmp_path, "development", clips)
    else:
        verify_checkpoint(tmp_path / "system", tmp_path, "development", clips)


def test_what_is_left_of_an_earlier_checkpoint_does_not_pass_for_it(trained_jobs, tmp_path, monkeypatch):
    """A process that is killed while it takes away the earlier one must not leave a part of it under its name."""
    library = EncoderLibrary({}, [], None)
    one, other = (
        [make_teacher(trained_jobs, tmp_path / name, ("--seeds", seed))] for name, seed in (("a", "0"), ("b", "1"))
    )
    folder = write_checkpoint(one, library, tmp_path / "system", {})
    names = {path.name for path in folder.iterdir()}
    noted = json.loads((folder / "run.json").read_text())["typical_error"]
    assert noted == typical_error(read_predictions(one[0].folder / "predictions_development.csv"))
    rmtree = shutil.rmtree

    def killed(path, **options):
        if path.is_dir():
            (path / "model.safetensors").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr("speech_affect_training.jobs.checkpoint.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(other, library, folder, {})
    monkeypatch.setattr("speech_affect_training.jobs.checkpoint.shutil.rmtree", rmtree)
    for jobs in (one, other):
        write_checkpoint(jobs, library, folder, {})
        assert {path.name for path in folder.iterdir()} == names
        assert json.loads((folder / "run.json").read_text())["fingerprint"] == jobs[0].fingerprint
    (folder / "run.json").write_text("{")
    write_checkpoint(other, library, folder, {})
    assert json.loads((folder / "run.json").read_text())["fingerprint"] == other[0].fingerprint
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_typical_error_by_hand():
    # off by 3 and 4 in activation: sqrt((9 + 16) / 2); by 1 in valence; dominance is right
    labels = np.array([[1.0, 4.0, 2.0], [7.0, 4.0, 6.0]])
    noted = Predictions(["a", "b"], labels + [[3.0, 1.0, 0.0], [-4.0, -1.0, 0.0]], labels)
    rmse = {"activation": pytest.approx(12.5**0.5), "valence": 1.0, "dominance": 0.0}
    assert typical_error(noted) == {"split": "development", "clips": 2, "rmse": rmse}


def make_teacher(trained_jobs, folder, arguments):
    teacher = trained_jobs.make_jobs(folder, "--num_train_epochs", "1", *arguments)["teacher"]
    run_job(teacher, 8)
    return teacher
