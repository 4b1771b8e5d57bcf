"""Classifiers on the embedding in training: losses and gradients by hand, and what a job keeps of them."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import TrainingArguments

from speech_affect import AffectFusionModel, AffectStudentConfig, AffectStudentModel
from speech_affect_training.jobs.auxiliary import AuxiliaryHeads, add_auxiliary, auxiliary_targets
from speech_affect_training.jobs.data_splits import TRAIN
from speech_affect_training.jobs.distillation import DistillationTrainer
from speech_affect_training.jobs.train_job import run_job
from speech_affect_training.jobs.trainer import AffectTrainer
from speech_affect_training.settings.auxiliary import Auxiliary
from speech_affect_training.settings.distillation import Distillation
from speech_affect_training.settings.systems import system_specs


WEIGHT = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
EMBEDDING = [[0.5, -1.0], [0.25, 0.75]]  # of the first clip the logits are 0.5 and -2; the second has no speaker
WRONG = 1 / (1 + math.exp(2.5))  # probability of the class that the first clip is not of


def heads_by_hand(**settings) -> AuxiliaryHeads:
    heads = AuxiliaryHeads({"speaker": Auxiliary(**settings)}, {"speaker": 2}, 2)
    with torch.no_grad():
        heads.classifiers["speaker"].weight.copy_(WEIGHT)
        heads.classifiers["speaker"].bias.zero_()
    return heads


@pytest.mark.parametrize(
    "settings, steps, factor",
    [
        ({"weight": 3.0}, (0, 10), 1.0),
        ({"weight": 3.0, "reversed": True}, (0, 10), 0.0),
        # 10 p = log 3: 2 / (1 + 1 / 3) - 1
        ({"weight": 3.0, "reversed": True}, (math.log(3), 10), -0.5),
        ({"weight": 3.0, "reversed": True, "ramp_steps": 5}, (math.log(3), 10), -0.8),  # 2 / (1 + 1 / 9) - 1
        ({"weight": 3.0, "reversed": True}, (10, 10), -0.9999092),
    ],
)
def test_loss_and_gradients_by_hand(settings, steps, factor):
    """The classifier learns by the whole weight, the embedding by this part of it."""
    heads, embedding = heads_by_hand(**settings), torch.tensor(EMBEDDING, requires_grad=True)
    heads.set_step(*steps)
    losses = heads(embedding, {"speaker": torch.tensor([0, -100])})
    assert losses["speaker"].item() == pytest.approx(math.log(1 + math.exp(-2.5)))
    heads.weighted({"auxiliary_speaker": losses["speaker"], "valence": torch.tensor(9.0)}).backward()
    # by the logits -WRONG and WRONG
    expected = torch.tensor([[-WRONG, 2 * WRONG], [0.0, 0.0]])
    torch.testing.assert_close(embedding.grad, 3 * factor * expected)
    classifier = heads.classifiers["speaker"]
    torch.testing.assert_close(classifier.bias.grad, 3 * torch.tensor([-WRONG, WRONG]))
    by_weight = 3 * WRONG * torch.tensor([[-0.5, 1.0], [0.5, -1.0]])
    torch.testing.assert_close(classifier.weight.grad, by_weight)


def test_without_a_known_class_nothing_is_learnt():
    heads, embedding = heads_by_hand(), torch.tensor(EMBEDDING, requires_grad=True)
    loss = heads(embedding, {"speaker": torch.tensor([-100, -100])})["speaker"]
    loss.backward()
    assert loss == 0 and not embedding.grad.any() and not heads.classifiers["speaker"].weight.grad.any()


def test_targets_are_what_is_known(make_table):
    spec = system_specs({"a": {"role": "single", "auxiliary": {task: {} for task in NAMES}}}, {}, None)["a"]
    targets = auxiliary_targets(spec, make_table(4, **COLUMNS))
    assert {task: values.tolist() for task, values in targets.items()} == {
        "speaker": [1, -100, -100, 0],
        "corpus": [1, 0, 0, -100],
        "language": [0, 0, -100, 1],
    }
    message = "'a' has auxiliary: language, but the known languages of its training clips are de; there mu"
    with pytest.raises(ValueError, match=message):
        auxiliary_targets(spec, make_table(4, **{**COLUMNS, "languages": ["de", "de", None, None]}))


NAMES = ("speaker", "corpus", "language")
COLUMNS = {
    "speakers": ["b/1", "Unknown", None, "a/2"],
    "corpora": ["b", "a", "a", "unlabelled"],
    "languages": ["de", "de", None, "en"],
}


@pytest.mark.parametrize("distils", [False, True])
def test_the_loss_of_a_trainer(tmp_path, distils):
    """Added with its own weight, whatever the labels' is; in evaluation there is none."""
    torch.manual_seed(0)
    config = AffectStudentConfig(dropout=0.0, conv_channels=8, gru_hidden_size=8, embedding_size=2)
    model = AffectStudentModel(config, with_front_end=False)
    tasks = {"speaker": Auxiliary(3.0, reversed=True, hidden_size=4), "corpus": Auxiliary(0.5)}
    add_auxiliary(model, tasks, {"speaker": np.array([0, 1, 2]), "corpus": np.array([1, 0, -100])})
    plain = {
        "frames": {"mfb": torch.randn(4, 20, 40)},
        "frames_mask": {"mfb": torch.ones(4, 20, dtype=torch.bool)},
        "labels": 1 + 6 * torch.rand(4, 3),
    }
    taught = {"teacher_logits": 1 + 6 * torch.rand(4, 3), "teacher_embedding": torch.randn(4, 2)} if distils else {}
    targets = {"auxiliary_speaker": torch.tensor([2, 0, -100, 1]), "auxiliary_corpus": torch.tensor([1, 1, 0, -100])}
    more = {"distillation": Distillation(0.0, 1.0, 0.0)} if distils else {}
    make = DistillationTrainer if distils else AffectTrainer
    trainer = make(model=model, args=TrainingArguments(output_dir=str(tmp_path), use_cpu=True), **more)
    without = trainer.compute_loss(model.train(), {**plain, **taught})
    loss = trainer.compute_loss(model, {**plain, **taught, **targets})
    embedding, heads = model(**plain).embedding, model.auxiliary.classifiers
    assert heads["speaker"][0].out_features == 4 and heads["speaker"][2].out_features == 3
    known = [0, 1, 3]
    speaker = torch.nn.functional.cross_entropy(heads["speaker"](embedding)[known], torch.tensor([2, 0, 1]))
    corpus = torch.nn.functional.cross_entropy(heads["corpus"](embedding)[:3], torch.tensor([1, 1, 0]))
    torch.testing.assert_close(loss - without, 3 * speaker + 0.5 * corpus)
    trainer.log({"loss": 1.0})
    logged = trainer.state.log_history[-1]
    assert logged["loss_auxiliary_speaker"] == pytest.approx(speaker.item(), abs=1e-6)
    torch.testing.assert_close(trainer.compute_loss(model.eval(), dict(plain)), model(**plain).loss)


def history(job) -> list[dict]:
    return json.loads((job.folder / "history.json").read_text())


def test_a_job_keeps_nothing_of_them(trained_jobs, tmp_path, monkeypatch, interrupt):
    """Nor does an interrupted one end otherwise; the ramp goes on with the updates."""
    in_steps = ("--save_strategy", "steps", "--eval_strategy", "steps", "--save_steps", "2", "--eval_steps", "2")
    job, other = (trained_jobs.make_jobs(tmp_path / name, *in_steps)["teacher"] for name in "ab")
    ramps, forward = [], AuxiliaryHeads.forward

    def watched(self, embedding, targets):
        ramps.append(self.ramps["language"])
        return forward(self, embedding, targets)

    monkeypatch.setattr(AuxiliaryHeads, "forward", watched)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, AffectTrainer, "training_step", 8)
        run_job(job, 8)
    run_job(job, 8)
    expected = [2 / (1 + math.exp(-10 * step / 9)) - 1 for step in range(9)]
    assert ramps == pytest.approx([*expected[:7], *expected[6:]])
    run_job(other, 8)
    assert [e for e in history(job) if "loss" in e] == [e for e in history(other) if "loss" in e]
    assert len([entry for entry in history(job) if "loss_auxiliary_language" in entry]) == 9
    first, second = (each.folder / "model" / "model.safetensors" for each in (job, other))
    torch.testing.assert_close(load_file(first), load_file(second), atol=0, rtol=0)
    with safe_open(first, "pt") as weights:
        assert set(weights.keys()) == set(job.new_model().state_dict())
    model = AffectFusionModel.from_pretrained(first.parent, with_front_end=False)
    assert job.result()["trained_parameters"] == sum(p.numel() for p in model.parameters())
    assert "auxiliary" not in (first.parent / "config.json").read_text()


def test_identity(trained_jobs, tmp_path):
    """Other classifiers and other speakers make another job; without any, nothing of them is in it."""
    job = trained_jobs.make_jobs(tmp_path)["student"]
    plain = replace(job, spec=replace(job.spec, auxiliary={}), auxiliary={})
    heavier = replace(job, spec=replace(job.spec, auxiliary={"speaker": Auxiliary(2.0)}))
    table = replace(job.tables[TRAIN], speakers=["a", "b"] * 12)
    others = replace(job, auxiliary=auxiliary_targets(job.spec, table))
    assert len({each.fingerprint for each in (job, plain, heavier, others)}) == 4
    assert "auxiliary" not in plain.settings() and "auxiliary" not in plain.settings()["system"]
