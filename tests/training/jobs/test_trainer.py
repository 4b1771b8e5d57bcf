"""What the trainers minimise, log and measure."""

from functools import partial

import numpy as np
import pytest
import torch
from transformers import EvalPrediction, TrainingArguments

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect_training.jobs.trainer import AffectTrainer, concordance_metrics


INPUTS = ("frames", "frames_mask")


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
    }


def test_parts_of_the_loss_are_logged_as_means_since_the_last_log(model, batch, tmp_path):
    trainer = AffectTrainer(model=model, args=TrainingArguments(output_dir=str(tmp_path), use_cpu=True))
    plain = {key: batch[key] for key in (*INPUTS, "labels")}
    trainer.compute_loss(model.train(), dict(plain))
    trainer.compute_loss(model.train(), dict(plain))
    parts = model(**plain).loss_parts
    trainer.log({"loss": 1.0})
    logged = trainer.state.log_history[-1]
    for name in ("activation", "valence", "dominance"):
        assert logged[f"loss_{name}"] == pytest.approx(parts[name].item(), abs=1e-6)


def test_metrics_are_over_the_whole_set():
    labels = np.array([[1.0, 2, 3], [3, 4, 5], [5, 6, 1]])
    predictions = labels + np.array([0.0, 1.0, 0.0])
    metrics = concordance_metrics(EvalPrediction(predictions=predictions, label_ids=labels))
    # valence: variance 8/3 on both sides, means 1 apart: (2 * 8/3) / (16/3 + 1)
    assert metrics["ccc_activation"] == pytest.approx(1) and metrics["ccc_dominance"] == pytest.approx(1)
    assert metrics["ccc_valence"] == pytest.approx((16 / 3) / (19 / 3))
    assert metrics["ccc_mean"] == pytest.approx((2 + 16 / 19) / 3)
    with_gaps = np.where([[False, False, True], [False, False, True], [True, False, False]], np.nan, labels)
    rated = concordance_metrics(EvalPrediction(predictions=predictions, label_ids=with_gaps))
    assert set(rated) == {"ccc_activation", "ccc_valence", "ccc_mean"}  # of dominance one clip was rated
    assert rated["ccc_activation"] == pytest.approx(1) and rated["ccc_mean"] == pytest.approx((1 + 16 / 19) / 2)
    with pytest.raises(ValueError, match="of 3 clips to develop on, no two were rated in the same dimension"):
        concordance_metrics(EvalPrediction(predictions=predictions, label_ids=np.full((3, 3), np.nan)))
    # of three corpora one has a single clip; the mean is over what is averaged
    each = EvalPrediction(predictions=np.tile(predictions, (3, 1))[:7], label_ids=np.tile(labels, (3, 1))[:7])
    each.predictions[3:6] += 100.0
    metrics_of = partial(concordance_metrics, corpora=["a", "a", "a", "b", "b", "b", "c"])
    within = metrics_of(each, averaged=["valence"])
    # 100 apart: 2 * 8/3 / (16/3 + 100^2), and 101^2
    far = [(16 / 3) / (16 / 3 + 100**2), (16 / 3) / (16 / 3 + 101**2)]
    assert within["ccc_activation"] == pytest.approx((1 + far[0]) / 2)
    assert within["ccc_valence"] == within["ccc_mean"] == pytest.approx((16 / 19 + far[1]) / 2)
    both = metrics_of(each, averaged=["activation", "valence"])
    assert both["ccc_mean"] == pytest.approx((both["ccc_activation"] + both["ccc_valence"]) / 2)
    assert concordance_metrics(EvalPrediction(predictions, with_gaps), averaged=["dominance"]) == rated
    with_classes = EvalPrediction(predictions=(predictions, np.zeros((3, 4))), label_ids=labels)
    assert concordance_metrics(with_classes) == metrics
