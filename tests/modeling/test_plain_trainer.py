"""Both models under transformers' own Trainer and collator, as any user trains a model of the Hub."""

import audmetric
import numpy as np
import pytest
import torch
from transformers import DataCollatorWithPadding

from speech_affect import DIMENSIONS, AffectFeatureExtractor

from .conftest import TASKS


pytest.importorskip("accelerate", reason="Trainer needs accelerate, of the extra `train`")
datasets = pytest.importorskip("datasets", reason="of the extra `train`")
from transformers import Trainer, TrainingArguments  # noqa: E402


LABELS = [[5.5, 2.0, 4.25], [3.0, 6.0, 1.0], [2.0, 4.5, 6.5], [6.0, 3.0, 5.0]]


def dataset(clips, **columns):
    """Rows as an extractor gives them, and a column that no model reads."""
    values = [AffectFeatureExtractor()(clip.numpy())["input_values"][0] for clip in clips]
    columns = {"input_values": values, "labels": LABELS, "speaker": list("abcd"), **columns}
    return datasets.Dataset.from_dict(columns)


def ccc(prediction) -> dict[str, float]:
    columns = zip(DIMENSIONS, prediction.label_ids.T, prediction.predictions.T, strict=True)
    values = {name: audmetric.concordance_cc(labels, logits) for name, labels, logits in columns}
    return {**values, "mean": float(np.mean(list(values.values())))}


def make_trainer(model, rows, folder, metric_for_best_model="mean", **options) -> Trainer:
    settings = {"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 2, "report_to": []}
    settings |= {"load_best_model_at_end": True, "metric_for_best_model": metric_for_best_model, "learning_rate": 0.01}
    arguments = TrainingArguments(folder, use_cpu=True, disable_tqdm=True, **settings)
    return Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, **options)


@pytest.mark.parametrize("kind", ["student", "fusion"])
def test_it_trains_evaluates_and_keeps_the_best(kind, make_model, clips, tmp_path):
    model, extractor = make_model(kind), AffectFeatureExtractor()
    trainer = make_trainer(
        model, dataset(clips), tmp_path, data_collator=DataCollatorWithPadding(extractor), compute_metrics=ccc
    )
    with torch.no_grad():
        logits = model(**extractor([clip.numpy() for clip in clips], return_tensors="pt")).logits.numpy()
    before = trainer.evaluate()
    by_hand = [audmetric.concordance_cc(np.array(LABELS)[:, index], logits[:, index]) for index in range(3)]
    assert [before[f"eval_{name}"] for name in DIMENSIONS] == pytest.approx(by_hand, abs=1e-5)
    assert before["eval_loss"] == pytest.approx(1 - np.mean(by_hand), abs=1e-5)

    trainer.train()
    evaluated = [log["eval_mean"] for log in trainer.state.log_history if "eval_mean" in log]
    assert len(set(evaluated)) == 2 and trainer.state.best_metric == max(evaluated)
    after = trainer.evaluate()
    assert after["eval_mean"] == pytest.approx(trainer.state.best_metric, abs=1e-6)

    done = trainer.predict(dataset(clips))
    assert done.predictions.shape == (4, 3) and done.label_ids.tolist() == LABELS
    assert done.metrics["test_mean"] == after["eval_mean"]
    without = trainer.predict(dataset(clips).remove_columns("labels"))
    assert without.label_ids is None and np.array_equal(without.predictions, done.predictions)


def test_targets_of_second_tasks_are_trained_on(make_model, clips, tmp_path):
    model, extractor = make_model("student", **TASKS), AffectFeatureExtractor()
    targets = {"emotion_targets": [0, 2, -100, 1], "gender_targets": [1, 0, 0, -100]}
    variances = np.full((4, 3), 0.25)
    rows = dataset(clips, **targets, rating_variances=variances.tolist())
    # the collator that Trainer takes for an extractor
    trainer = make_trainer(model, rows, tmp_path, processing_class=extractor, metric_for_best_model="loss")
    inputs = extractor([clip.numpy() for clip in clips], return_tensors="pt")
    targets = {name: torch.tensor(values) for name, values in targets.items()}
    expected = model(**inputs, labels=torch.tensor(LABELS), **targets, rating_variances=torch.tensor(variances))
    assert list(expected.loss_parts) == [*DIMENSIONS, "emotion", "gender", "uncertainty"]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected.loss.item(), abs=1e-6)
    before = {name: values.clone() for name, values in model.named_parameters()}
    trainer.train()
    for head in ("output", "emotion_output", "gender_output", "uncertainty_output"):
        assert not torch.equal(model.get_parameter(f"regressor.{head}.weight"), before[f"regressor.{head}.weight"])


def test_several_scales_of_ratings_are_kept_apart(make_model, clips, tmp_path):
    model, extractor = make_model("student"), AffectFeatureExtractor()
    trainer = make_trainer(model, dataset(clips, rating_scales=[0, 1, 0, 1]), tmp_path, processing_class=extractor)
    inputs = extractor([clip.numpy() for clip in clips], return_tensors="pt")
    with torch.no_grad():
        halves = [({k: v[first::2] for k, v in inputs.items()}, torch.tensor(LABELS)[first::2]) for first in (0, 1)]
        each = [model(**half, labels=labels).loss.item() for half, labels in halves]
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] == pytest.approx(np.mean(each), abs=1e-6)
    without = trainer.predict(dataset(clips, rating_scales=[0, 1, 0, 1]).remove_columns("labels"))
    assert without.label_ids is None and without.predictions.shape == (4, 3)


@pytest.mark.parametrize(
    "labels", [np.array([[5, 2, 4], [3, 6, 1]]), np.array([[5.5, 2, 4], [3, 6, np.nan]])], ids=["int64", "float64"]
)
def test_numbers_of_any_type_are_labels(labels, make_model, clips):
    model, collate = make_model("student"), DataCollatorWithPadding(AffectFeatureExtractor())
    rows = [{"input_values": clip.numpy(), "labels": row} for clip, row in zip(clips, labels, strict=False)]
    batch = collate(rows)
    expected = model(**{**batch, "labels": torch.from_numpy(labels).float()})
    output = model(**batch)
    assert output.loss.dtype == torch.float32 and output.loss == expected.loss
