"""The second tasks, which both models share: votes, gender and uncertainty."""

import math

import pytest
import torch

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect.regressor import STD_RANGE

from .conftest import SIZES, TASKS


def make_model(**settings):
    """A small student over cached filterbanks, in evaluation mode."""
    config = AffectStudentConfig(**{**SIZES, "dropout": 0.0, **settings})
    return AffectStudentModel(config, with_front_end=False).eval()


def make_inputs(clips=4, frames=9) -> dict:
    return {
        "frames": {"mfb": torch.randn(clips, frames, 40)},
        "frames_mask": {"mfb": torch.ones(clips, frames, dtype=torch.bool)},
    }


def make_targets() -> dict:
    return {
        "labels": 1 + 6 * torch.rand(4, 3),
        "emotion_targets": torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [torch.nan] * 3, [0.0, 0.5, 0.5]]),
        "gender_targets": torch.tensor([0, 1, 1, -100]),
        "rating_variances": torch.rand(4, 3),
    }


def test_the_loss_is_the_weighted_sum_of_its_parts():
    weights = {"emotion_loss_weight": 0.5, "gender_loss_weight": 0.25, "uncertainty_loss_weight": 2.0}
    model = make_model(**TASKS, **weights, ccc_weights=(1.0, 1.0, 2.0))
    output = model(**make_inputs(), **make_targets())
    parts = output.loss_parts
    assert list(parts) == ["activation", "valence", "dominance", "emotion", "gender", "uncertainty"]
    ccc = (parts["activation"] + parts["valence"] + 2 * parts["dominance"]) / 4
    expected = ccc + 0.5 * parts["emotion"] + 0.25 * parts["gender"] + 2 * parts["uncertainty"]
    torch.testing.assert_close(output.loss, expected)


def test_a_model_without_second_tasks():
    model = make_model()
    assert not any(part in name for name in model.state_dict() for part in ("gender", "uncertainty", "emotion"))
    output = model(**make_inputs(), labels=1 + torch.rand(4, 3))
    assert list(output.keys()) == ["loss", "logits", "embedding", "loss_parts"]


def test_each_part_alone():
    model, inputs, targets = make_model(**TASKS), make_inputs(), make_targets()
    output = model(**inputs, gender_targets=targets["gender_targets"])
    assert list(output.loss_parts) == ["gender"]
    cross_entropy = torch.nn.functional.cross_entropy(output.gender_logits[:3], torch.tensor([0, 1, 1]))
    torch.testing.assert_close(output.loss_parts["gender"], cross_entropy)
    torch.testing.assert_close(output.loss, 0.1 * cross_entropy)
    output = model(**inputs, emotion_targets=targets["emotion_targets"])
    assert list(output.loss_parts) == ["emotion"]
    torch.testing.assert_close(output.loss, 0.2 * output.loss_parts["emotion"])


def test_uncertainty_loss_by_hand_from_the_outputs():
    model = make_model(predict_uncertainty=True, label_range=(1.0, 5.0))  # half the range is 2
    regressor = model.regressor
    with torch.no_grad():  # outputs of 3.5 (0.25 in unit scale), where s is 0.2, 0.5 and 1 in unit scale
        low, high = (math.log(bound) for bound in STD_RANGE)
        shares = (torch.tensor([0.2, 0.5, 1.0]).log() - low) / (high - low)
        for layer, bias in (
            (regressor.output, torch.full((3,), 0.25)),
            (regressor.uncertainty_output, shares.logit()),
        ):
            layer.weight.zero_()
            layer.bias.copy_(bias)
    inputs = make_inputs(2)
    output = model(**inputs)
    torch.testing.assert_close(output.logits, torch.full((2, 3), 3.5))
    torch.testing.assert_close(output.uncertainty, torch.tensor([[0.4, 1.0, 2.0]] * 2))

    labels = torch.tensor([[4.5, 3.5, 3.5], [3.5, torch.nan, 1.5]])  # errors of 1, 0, 0; 0, -, -2: unit scale half
    variances = torch.tensor([[0.0, 4.0, torch.nan], [0.16, 1.0, 1.0]])  # unit scale a quarter
    first = math.log(0.2) + (0.25 / 0.08 + 0.04 / 0.08) / 2
    second = math.log(0.5) + 1.0 / 0.5
    third = math.log(1.0) + (0 + (1 + 0.25) / 2) / 2
    part = model(**inputs, labels=labels, rating_variances=variances).loss_parts["uncertainty"]
    torch.testing.assert_close(part.detach(), torch.tensor((first + second + third) / 3))

    model.regressor.set_uncertainty_scale(torch.tensor([2.0, 1.0, 0.5]))
    torch.testing.assert_close(model(**inputs).uncertainty, torch.tensor([[0.8, 1.0, 1.0]] * 2))
    scaled = model(**inputs, labels=labels, rating_variances=variances).loss_parts["uncertainty"]
    torch.testing.assert_close(scaled, part)  # the loss knows no calibration


def test_the_loss_reads_estimates_that_evaluation_would_clip():
    model = make_model(predict_uncertainty=True, label_range=(-1.0, 1.0))
    with torch.no_grad():
        model.regressor.output.weight.zero_()
        model.regressor.output.bias.fill_(3.0)
    inputs, labels = make_inputs(), torch.zeros(4, 3)
    output = model(**inputs, labels=labels)
    assert (output.logits == 1).all()
    s = output.uncertainty
    torch.testing.assert_close(output.loss_parts["uncertainty"], (s.log() + 9 / (2 * s**2)).mean())


def test_predicted_standard_deviations_stay_in_range_and_keep_a_gradient():
    model = make_model(predict_uncertainty=True, label_range=(1.0, 7.0))
    for raw, bound in ((-12.0, 0.01), (12.0, 4.0)):
        with torch.no_grad():
            model.regressor.uncertainty_output.weight.zero_()
            model.regressor.uncertainty_output.bias.fill_(raw)
        uncertainty = model(**make_inputs()).uncertainty
        torch.testing.assert_close(uncertainty, torch.full((4, 3), 3 * bound), rtol=1e-3, atol=0)
        model.zero_grad()
        uncertainty.sum().backward()
        assert (model.regressor.uncertainty_output.bias.grad > 0).all()


def test_with_all_labels_every_parameter_gets_a_gradient():
    model = make_model(**TASKS).train()
    model(**make_inputs(), **make_targets()).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


HEADS = ["logits", "emotion_logits", "gender_logits", "uncertainty"]


@pytest.mark.parametrize("tasks, heads", [({}, ["logits"]), (TASKS, HEADS)], ids=["alone", "all"])
def test_a_plain_trainer_predicts_what_the_model_has_heads_for(tasks, heads, tmp_path):
    pytest.importorskip("accelerate", reason="Trainer needs accelerate, of the extra `train`")
    from transformers import Trainer, TrainingArguments

    model, inputs, targets = make_model(**tasks), make_inputs(), make_targets()
    targets = targets if tasks else {"labels": targets["labels"]}

    def collate(rows):
        batch = {name: values[rows] for name, values in targets.items()}
        return batch | {key: {"mfb": inputs[key]["mfb"][rows]} for key in ("frames", "frames_mask")}

    trainer = Trainer(model, TrainingArguments(tmp_path, use_cpu=True, report_to=[]), data_collator=collate)
    done, output = trainer.predict([0, 1, 2, 3]), model(**inputs, **targets)
    predicted = [output[name].detach() for name in heads]
    predictions = done.predictions if tasks else [done.predictions]
    torch.testing.assert_close([torch.from_numpy(values) for values in predictions], predicted)
    torch.testing.assert_close(torch.from_numpy(done.label_ids), targets["labels"])
    assert done.metrics["test_loss"] == pytest.approx(output.loss.item(), abs=1e-6)


WRONG_CONFIGS = [
    ({"gender_names": ["F", "M", "F"]}, r"gender_names repeat: \['F', 'M', 'F'\]; give each class once"),
    ({"gender_loss_weight": -0.1}, "gender_loss_weight is -0.1; it must be finite and at least 0"),
    ({"uncertainty_loss_weight": math.nan}, "uncertainty_loss_weight is nan"),
    (
        {"predict_uncertainty": True, "uncertainty_loss_weight": 0.0},
        "uncertainty_loss_weight is 0 with predict_uncertainty=True.*give a weight greater than 0",
    ),
]


@pytest.mark.parametrize("settings, message", WRONG_CONFIGS)
def test_configurations_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        AffectStudentConfig(**settings)


VARIANCES = torch.ones(4, 3)
WRONG_LABELS = [
    ({}, {"gender_targets": torch.zeros(4).long()}, "gender_targets given, but config.gender_names is empty"),
    ({}, {"labels": VARIANCES, "rating_variances": VARIANCES}, "here it is False, and labels are given"),
    (TASKS, {"rating_variances": VARIANCES}, "rating_variances are read beside labels.*here it is True.*are missing"),
    (TASKS, {"gender_targets": torch.zeros(4)}, r"gender_targets are float32 of shape \(4,\); .* 0 to 1, or -100"),
]


@pytest.mark.parametrize("settings, targets, message", WRONG_LABELS)
def test_labels_that_do_not_fit(settings, targets, message):
    with pytest.raises(ValueError, match=message):
        make_model(**settings)(**make_inputs(), **targets)


WRONG_SCALES = [
    (torch.ones(2), r"the uncertainty scale has shape \(2,\); it must be \(3,\)"),
    (torch.tensor([1.0, 0.0, 1.0]), r"the uncertainty scale is \[1.0, 0.0, 1.0\]; every number must be positive"),
    (torch.tensor([1.0, torch.nan, 1.0]), "every number must be positive and finite"),
    (torch.tensor([1.0, torch.inf, 1.0]), "every number must be positive and finite"),
]


@pytest.mark.parametrize("scale, message", WRONG_SCALES)
def test_uncertainty_scales_that_do_not_fit(scale, message):
    with pytest.raises(ValueError, match=message):
        make_model(**TASKS).regressor.set_uncertainty_scale(scale)


def test_a_model_without_uncertainty_takes_no_scale():
    with pytest.raises(ValueError, match="predicts no uncertainty to scale: config.predict_uncertainty is False"):
        make_model().regressor.set_uncertainty_scale(torch.ones(3))
