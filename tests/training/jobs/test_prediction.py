"""Predictions do not depend on the batch and survive their file."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect_training.corpora.clip_table import unlabelled_table
from speech_affect_training.jobs.prediction import Predictions, predict, read_predictions, write_predictions


class Clips(Dataset):
    """Items as a FrameDataset has them, of different lengths."""

    table = unlabelled_table(list("abcde"), list("abcde"))

    def __len__(self):
        return 5

    def __getitem__(self, index):
        frames = np.random.default_rng(index).standard_normal((10 + 7 * index, 40))
        return {"frames": {"mfb": frames.astype(np.float32)}, "labels": np.zeros(3)}


@pytest.mark.parametrize("uncertainty", [False, True])
def test_prediction_is_the_models_own_whatever_the_batch(uncertainty):
    torch.manual_seed(0)
    sizes = {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8, "dropout": 0.5}
    config = AffectStudentConfig(**sizes, predict_uncertainty=uncertainty)
    model = AffectStudentModel(config, with_front_end=False).train()
    predicted = predict(model, Clips(), 2)
    assert model.training
    model.eval()
    for index in range(5):
        frames = torch.from_numpy(Clips()[index]["frames"]["mfb"])[None]
        mask = torch.ones(frames.shape[:2], dtype=torch.bool)
        with torch.no_grad():
            outputs = model(frames={"mfb": frames}, frames_mask={"mfb": mask})
        for name in ("logits", "embedding", "uncertainty") if uncertainty else ("logits", "embedding"):
            np.testing.assert_allclose(getattr(predicted, name)[index], outputs[name][0], atol=1e-5)
    assert predicted.logits.dtype == np.float64 and predicted.embedding.dtype == np.float32
    assert predicted.files == list("abcde") and (predicted.uncertainty is not None) == uncertainty


@pytest.mark.parametrize("uncertainty", [False, True])
def test_predictions_survive_their_file_exactly(tmp_path, uncertainty):
    logits, labels, std = np.random.default_rng(0).random((3, 2, 3))
    written = Predictions(["a.wav", 'b,"c".wav'], logits, labels, std if uncertainty else None)
    path = tmp_path / "predictions_test1@room_0.6s.csv"
    write_predictions(path, written)
    read = read_predictions(path)
    assert read.files == written.files and list(tmp_path.iterdir()) == [path]
    for name in ("logits", "labels", "uncertainty"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    header = path.read_text().split("\n")[0].split(",")
    assert header[:4] == ["file", "activation_label", "valence_label", "dominance_label"]
    assert header[7:] == [f"{name}_uncertainty" for name in ("activation", "valence", "dominance") if uncertainty]


def test_a_dimension_that_the_model_does_not_have_is_empty(tmp_path):
    sizes = {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8}
    config = AffectStudentConfig(**sizes, id2label={0: "activation", 1: "dominance"})
    model = AffectStudentModel(config, with_front_end=False)
    predicted = predict(model, Clips(), 2)
    assert np.isfinite(predicted.logits[:, [0, 2]]).all() and np.isnan(predicted.logits[:, 1]).all()
    write_predictions(tmp_path / "p.csv", predicted)
    first = (tmp_path / "p.csv").read_text().split("\n")[1].split(",")
    assert first == ["a", "", "", "", str(predicted.logits[0, 0]), "", str(predicted.logits[0, 2])]
    np.testing.assert_array_equal(read_predictions(tmp_path / "p.csv").logits, predicted.logits)
    torch.nn.init.constant_(model.regressor.output.bias, torch.nan)
    with pytest.raises(ValueError, match="predicts values that are not finite"):
        predict(model, Clips(), 2)
