"""What a student learns from its teachers: its losses, by values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from speech_affect import AffectStudentConfig, AffectStudentModel, losses
from speech_affect.losses import ccc_losses, embedding_distillation_loss
from speech_affect_training.jobs.distillation import (
    DistillationTrainer,
    class_probabilities,
    combine_teachers,
    emotion_distillation_loss,
)
from speech_affect_training.settings.distillation import Distillation


INPUTS = ("frames", "frames_mask")


@pytest.fixture
def model():
    torch.manual_seed(0)
    sizes = {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8}
    config = AffectStudentConfig(dropout=0.0, emotion_names=["anger", "sadness"], **sizes)
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


def make(model, tmp_path, distillation):
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    return DistillationTrainer(model=model, args=arguments, distillation=distillation)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.0, 2.0, 0.5), (1.0, 0.0, 0.0)])
@pytest.mark.parametrize("unlabelled", [[], [1, 4]])
def test_distillation_adds_the_teachers_parts(model, batch, tmp_path, weights, unlabelled):
    """Of clips without a label the teacher's parts alone."""
    trainer = make(model, tmp_path, Distillation(*weights))
    batch["labels"][unlabelled] = float("nan")
    loss = trainer.compute_loss(model.train(), dict(batch))
    outputs = model(**{key: batch[key] for key in INPUTS})
    labelled = [index for index in range(5) if index not in unlabelled]
    own = ccc_losses(outputs.logits[labelled], batch["labels"][labelled]).mean()
    to_outputs = ccc_losses(outputs.logits, batch["teacher_logits"]).mean()
    to_embedding = embedding_distillation_loss(outputs.embedding, batch["teacher_embedding"])
    torch.testing.assert_close(loss, weights[0] * own + weights[1] * to_outputs + weights[2] * to_embedding)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_in_evaluation_the_labels_alone_count(model, batch, tmp_path):
    trainer = make(model, tmp_path, Distillation())
    plain = {key: batch[key] for key in (*INPUTS, "labels")}
    torch.testing.assert_close(trainer.compute_loss(model.eval(), dict(plain)), model(**plain).loss)


def test_classes_are_distilled_by_the_divergence_at_a_temperature(model, batch, tmp_path, monkeypatch):
    # logits of 4 log 3 and 0 at temperature 2 are 9 : 1; at the student's end 2 log 3 and 0 are 3 : 1
    target = class_probabilities(torch.tensor([[4 * math.log(3), 0.0]]), ["a", "b"], ["a", "b"], 2.0)
    torch.testing.assert_close(target, torch.tensor([[0.9, 0.1]]))
    loss = emotion_distillation_loss(torch.tensor([[2 * math.log(3), 0.0]]), target, 2.0)
    by_hand = 4 * (0.9 * math.log(0.9 / 0.75) + 0.1 * math.log(0.1 / 0.25))
    assert loss.item() == pytest.approx(by_hand, abs=1e-6)
    # a second clip on which both agree halves the mean
    both = emotion_distillation_loss(
        torch.tensor([[2 * math.log(3), 0.0], [1.0, 1.0]]), torch.tensor([[0.9, 0.1], [0.5, 0.5]]), 2.0
    )
    assert both.item() == pytest.approx(by_hand / 2, abs=1e-6)
    with monkeypatch.context() as patch:  # another process has two clips on which both agree
        patch.setattr(losses, "sum_over_processes", lambda sums, several: sums + torch.tensor([0.0, 2.0]) * several)
        spread = emotion_distillation_loss(torch.tensor([[2 * math.log(3), 0.0]]), target, 2.0, True)
    assert spread.item() == pytest.approx(by_hand / 3, abs=1e-6)
    # one without a target does not count
    nothing = torch.tensor([[math.nan, math.nan], [0.9, 0.1]])
    logits = torch.tensor([[5.0, 0.0], [2 * math.log(3), 0.0]], requires_grad=True)
    alone = emotion_distillation_loss(logits, nothing, 2.0)
    alone.backward()
    # T (softmax(logits / T) - target)
    torch.testing.assert_close(logits.grad, 2 * torch.tensor([[0.0, 0.0], [0.75 - 0.9, 0.25 - 0.1]]))
    assert alone.item() == pytest.approx(by_hand, abs=1e-6)
    trainer = make(model, tmp_path, Distillation(0.0, 0.0, 0.0, emotion_weight=0.5, temperature=3.0))
    targets = torch.tensor([[1.0, 0.0]] * 5)  # of a class without probability nothing is learnt
    loss = trainer.compute_loss(model.train(), {**batch, "teacher_emotions": targets})
    student = model(**{key: batch[key] for key in INPUTS}).emotion_logits
    torch.testing.assert_close(loss, -0.5 * 9 * (student / 3).log_softmax(dim=1)[:, 0].mean())
    loss.backward()
    assert model.regressor.emotion_output.weight.grad.abs().sum() > 0


def test_classes_are_aligned_by_name():
    logits = torch.tensor([[math.log(2), 50.0, 0.0], [0.0, -50.0, math.log(4)]])
    given = class_probabilities(logits, ["fear", "boredom", "anger"], ["anger", "calm", "fear"], 1.0)
    # the student knows no boredom, the teacher no calm
    torch.testing.assert_close(given, torch.tensor([[1 / 3, 0, 2 / 3], [0.8, 0, 0.2]]))
    with pytest.raises(ValueError, match="classes are fear, and its student's calm: none in common; leave the"):
        class_probabilities(logits[:, :1], ["fear"], ["calm"], 1.0)


NAN = math.nan


def test_teachers_are_combined_clip_by_clip():
    logits = [
        torch.tensor([[2.0, 4.0], [1.0, NAN], [3.0, NAN]]),
        torch.tensor([[6.0, 2.0], [5.0, 7.0], [3.0, NAN]]),
    ]
    embeddings = [torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[10.0], [20.0], [30.0]])]
    # of the first clip shares of 1/4 and 3/4, and of 1/2 and 1/2; of the second 1 and 0 in both; equal in the third
    weights = torch.tensor([[[0.2, 0.3], [0.5, 0.1], [1.0, 1.0]], [[0.6, 0.3], [0.0, 0.0], [1.0, 1.0]]])
    emotions = [torch.tensor([[1.0, 0.0]] * 3), torch.tensor([[0.2, 0.8]] * 3)]
    found = combine_teachers(logits, embeddings, weights, emotions)
    # 2/4 + 3 * 6/4 = 5; (4 + 2) / 2; nobody with a weight has the second dimension of the second clip
    torch.testing.assert_close(
        found["logits"], torch.tensor([[5.0, 3.0], [1.0, NAN], [3.0, NAN]]), equal_nan=True, rtol=0, atol=1e-6
    )
    assert found["embedding"].tolist() == [[10.0], [2.0], [3.0]]
    # 5/8 for the second teacher of the first clip: .375 + .625 * .2
    torch.testing.assert_close(found["emotions"], torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.6, 0.4]]))
    assert "emotions" not in combine_teachers(logits, embeddings, weights)
    with pytest.raises(
        ValueError, match=r"teachers' embeddings have sizes \[1, 2\]; give all the same embedding_size"
    ):
        combine_teachers(logits, [embeddings[0], torch.zeros(3, 2)], weights)


def test_equal_weights_are_the_plain_mean_to_the_last_bit():
    given = np.random.default_rng(0).uniform(1, 7, (5, 200, 3))
    embeddings = [torch.full((200, size), float(size)) for size in (8, 8, 8, 8, 9)]  # the first one's counts
    found = combine_teachers(list(torch.from_numpy(given)), embeddings, torch.ones(5, 200, 3, dtype=torch.float64))
    np.testing.assert_array_equal(found["logits"].numpy(), np.mean(list(given), axis=0))
    assert found["embedding"] is embeddings[0]
