"""What the trainers minimise, log and measure."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from transformers import EvalPrediction, TrainingArguments

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect.losses import ccc_losses, embedding_distillation_loss
from speech_affect_training.jobs.prediction import Predictions, predict, read_predictions, write_predictions
from speech_affect_training.jobs.trainer import AffectTrainer, DistillationTrainer, concordance_metrics
from speech_affect_training.settings.systems import Distillation


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = AffectStudentConfig(dropout=0.0, conv_channels=8, gru_hidden_size=8, embedding_size=8)
    return AffectStudentModel(config, with_front_end=False)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return {
        "frames": {"mfb": torch.randn(5, 20, 40, generator=generator)},
        "frames_mask": {"mfb": torch.ones(5, 20, dtype=torch.bool)},
        "labels": 1 + 6 * torch.rand(5, 3, generator=generator),
        "teacher_logits": 1 + 6 * torch.rand(5, 3, generator=generator),
        "teacher_embedding": torch.randn(5, 8, generator=generator),
    }


def make(trainer_class, model, tmp_path, **extra):
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, label_names=["labels"])
    return trainer_class(model=model, args=arguments, **extra)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.0, 2.0, 0.5), (1.0, 0.0, 0.0)])
def test_distillation_adds_the_teachers_parts(model, batch, tmp_path, weights):
    trainer = make(DistillationTrainer, model, tmp_path, distillation=Distillation(*weights))
    loss = trainer.compute_loss(model.train(), dict(batch))
    outputs = model(**{key: batch[key] for key in ("frames", "frames_mask", "labels")})
    to_outputs = ccc_losses(outputs.logits, batch["teacher_logits"]).mean()
    to_embedding = embedding_distillation_loss(outputs.embedding, batch["teacher_embedding"])
    expected = weights[0] * outputs.loss + weights[1] * to_outputs + weights[2] * to_embedding
    torch.testing.assert_close(loss, expected)


def test_in_evaluation_the_labels_alone_count(model, batch, tmp_path):
    trainer = make(DistillationTrainer, model, tmp_path, distillation=Distillation())
    plain = {key: batch[key] for key in ("frames", "frames_mask", "labels")}
    torch.testing.assert_close(trainer.compute_loss(model.eval(), dict(plain)), model(**plain).loss)


def test_parts_of_the_loss_are_logged_as_means_since_the_last_log(model, batch, tmp_path):
    trainer = make(AffectTrainer, model, tmp_path)
    plain = {key: batch[key] for key in ("frames", "frames_mask", "labels")}
    trainer.compute_loss(model.train(), dict(plain))
    trainer.compute_loss(model.train(), dict(plain))
    parts = model(**plain).loss_parts
    trainer.log({"loss": 1.0})
    logged = trainer.state.log_history[-1]
    for name in ("activation", "valence", "dominance"):
        assert logged[f"loss_{name}"] == pytest.approx(float(parts[name]), abs=1e-6)


def test_metrics_are_over_the_whole_set():
    labels = np.array([[1.0, 2, 3], [3, 4, 5], [5, 6, 1]])
    predictions = labels + np.array([0.0, 1.0, 0.0])
    metrics = concordance_metrics(EvalPrediction(predictions=predictions, label_ids=labels))
    # valence: variance 8/3 on both sides, means 1 apart: (2 * 8/3) / (16/3 + 1)
    assert metrics["ccc_activation"] == pytest.approx(1) and metrics["ccc_dominance"] == pytest.approx(1)
    assert metrics["ccc_valence"] == pytest.approx((16 / 3) / (19 / 3))
    assert metrics["ccc_mean"] == pytest.approx((2 + 16 / 19) / 3)
    with_classes = EvalPrediction(predictions=(predictions, np.zeros((3, 4))), label_ids=labels)
    assert concordance_metrics(with_classes) == metrics


def test_predictions_survive_their_file_exactly(tmp_path):
    generator = np.random.default_rng(0)
    written = Predictions(["a.wav", 'b,"c".wav'], generator.random((2, 3)), generator.random((2, 3)))
    write_predictions(tmp_path / "p.csv", written)
    read = read_predictions(tmp_path / "p.csv")
    assert read.files == written.files
    np.testing.assert_array_equal(read.logits, written.logits)
    np.testing.assert_array_equal(read.labels, written.labels)
    assert read.uncertainty is None
    header = "file,activation_label,valence_label,dominance_label"
    assert (tmp_path / "p.csv").read_text().startswith(header)


def test_predicted_uncertainty_has_columns_of_its_own(tmp_path):
    generator = np.random.default_rng(0)
    values = generator.random((3, 2, 3))
    path = tmp_path / "predictions_test1@room_0.6s.csv"
    write_predictions(path, Predictions(["a", "b"], *values))
    head = path.read_text().split("\n")[0].split(",")
    assert head[7:] == ["activation_uncertainty", "valence_uncertainty", "dominance_uncertainty"]
    read = read_predictions(path)
    for found, expected in zip((read.logits, read.labels, read.uncertainty), values, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


class Clips(Dataset):
    """Items as a FrameDataset has them, of different lengths."""

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
    said = predict(model, Clips(), 2)
    assert model.training
    model.eval()
    for index in range(5):
        frames = torch.from_numpy(Clips()[index]["frames"]["mfb"])[None]
        with torch.no_grad():
            outputs = model(
                frames={"mfb": frames}, frames_mask={"mfb": torch.ones(frames.shape[:2], dtype=torch.bool)}
            )
        np.testing.assert_allclose(said.logits[index], outputs.logits[0], atol=1e-5)
        np.testing.assert_allclose(said.embedding[index], outputs.embedding[0], atol=1e-5)
        if uncertainty:
            np.testing.assert_allclose(said.uncertainty[index], outputs.uncertainty[0], atol=1e-5)
    assert said.logits.dtype == np.float64 and said.embedding.dtype == np.float32
    assert said.embedding.shape == (5, 8) and (said.uncertainty is not None) == uncertainty


def test_clips_without_a_label_learn_from_the_teacher_alone(model, batch, tmp_path):
    trainer = make(DistillationTrainer, model, tmp_path, distillation=Distillation(1.0, 2.0, 0.5))
    batch["labels"][[1, 4]] = float("nan")
    loss = trainer.compute_loss(model.train(), dict(batch))
    outputs = model(frames=batch["frames"], frames_mask=batch["frames_mask"])
    rated = [0, 2, 3]
    own = ccc_losses(outputs.logits[rated], batch["labels"][rated]).mean()
    to_outputs = ccc_losses(outputs.logits, batch["teacher_logits"]).mean()
    to_embedding = embedding_distillation_loss(outputs.embedding, batch["teacher_embedding"])
    torch.testing.assert_close(loss, own + 2 * to_outputs + 0.5 * to_embedding)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
