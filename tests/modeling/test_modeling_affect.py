"""Both models: cached frames, label scale, losses, front ends, and what they raise."""

import pytest
import torch
from transformers import AutoModel

from speech_affect import AffectFeatureExtractor, AffectFusionModel, AffectStudentConfig, AffectStudentModel

from .conftest import LOADED_ATOL, TASKS, padded


@pytest.fixture(params=["student", "student_f0_running", "mfb", "weighted_sum", "fusion", "fusion_frame"])
def model(request, make_model):
    return make_model(request.param)


@torch.no_grad()
def test_padding_and_batching_never_change_an_estimate_of_a_clip_or_a_frame(model, clips):
    together = model(**padded(clips), output_frame_logits=True)
    for row, clip in enumerate(clips):
        alone = model(clip[None], output_frame_logits=True)
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=0)
        frames = together.frame_logits[row][together.frame_mask[row]]
        torch.testing.assert_close(frames, alone.frame_logits[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_cached_frames_give_the_same_output_as_the_waveform(model, clips):
    batch = padded(clips)
    frames, masks = model.front_end(**batch)
    from_frames = model(frames=frames, frames_mask=masks)
    torch.testing.assert_close(from_frames.logits, model(**batch).logits, atol=0, rtol=0)


@torch.no_grad()
def test_frames_of_some_branches_beside_the_waveform_are_not_computed(make_model, clips):
    model, batch = make_model("fusion"), padded(clips)
    expected = model(**batch).logits
    frames, masks = model.front_end(**batch)
    for name in frames:
        given = {name: frames[name]}
        computed, _ = model.front_end(**batch, given=given)
        assert set(computed) == set(frames) - {name}
        mixed = model(**batch, frames=given, frames_mask={name: masks[name]}).logits
        torch.testing.assert_close(mixed, expected, atol=0, rtol=0)
        shifted = model(**batch, frames={name: frames[name] + 1.0}, frames_mask={name: masks[name]}).logits
        assert (shifted - expected).abs().max() > 1e-4


def test_a_checkpoint_needs_no_second_download(make_model, clips, tmp_path, monkeypatch):
    model = make_model("fusion")
    model.save_pretrained(tmp_path)

    def connect(*args, **kwargs):
        raise AssertionError(f"asked the Hub for {args} {kwargs}")

    monkeypatch.setattr("socket.socket.connect", connect)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(clips[0][None]).logits, model(clips[0][None]).logits, atol=LOADED_ATOL, rtol=0)


def test_weights_that_settings_add_to_a_checkpoint_are_initialised(make_model, tmp_path):
    make_model("student", num_gru_layers=1).save_pretrained(tmp_path)
    loaded = AffectStudentModel.from_pretrained(tmp_path, num_gru_layers=2, **TASKS)
    new = loaded.regressor.tc_grus[0].gru.weight_hh_l1
    torch.testing.assert_close(new.T @ new, torch.eye(16), atol=1e-4, rtol=0)  # orthogonal
    assert not loaded.regressor.tc_grus[0].gru.bias_hh_l1.any() and not loaded.regressor.emotion_output.bias.any()
    torch.testing.assert_close(loaded.regressor.uncertainty_scale, torch.ones(3))


def test_an_argument_that_does_not_exist(make_model, tmp_path):
    make_model("student").save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_argument'"):
        AffectStudentModel.from_pretrained(tmp_path, no_such_argument=1)


def test_logits_are_on_the_label_scale(make_model, clips):
    unit, wide = make_model("student", label_range=(-1.0, 1.0)), make_model("student", label_range=(1.0, 7.0))
    wide.load_state_dict(unit.state_dict())
    with torch.no_grad():
        expected = 4 + 3 * unit(clips[0][None]).logits
        torch.testing.assert_close(wide(clips[0][None]).logits, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_in_evaluation_no_value_leaves_the_label_range(make_model, clips):
    model = make_model("student", dropout=0.0, label_range=(1.0, 5.0))
    model.regressor.output.bias.copy_(torch.tensor([4.0, -4.0, 0.0]))
    output = model(**padded(clips), output_frame_logits=True)
    assert (output.logits[:, 0] == 5).all() and (output.logits[:, 1] == 1).all()
    assert (output.logits[:, 2] > 1).all() and (output.logits[:, 2] < 5).all()
    assert output.frame_logits.min() >= 1 and output.frame_logits.max() <= 5
    in_training = model.train()(**padded(clips)).logits
    assert (in_training[:, 0] > 5).all() and (in_training[:, 1] < 1).all()


def test_loss_is_the_weighted_mean_of_one_minus_ccc(make_model, clips):
    model = make_model("student", ccc_weights=(1.0, 2.0, 1.0))
    labels = torch.rand(4, 3) * 6 + 1
    output = model(**padded(clips), labels=labels)
    x, y = output.logits.detach().double(), labels.double()
    covariance = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    ccc = 2 * covariance / (x.var(0, unbiased=False) + y.var(0, unbiased=False) + (x.mean(0) - y.mean(0)) ** 2)
    expected = ((1 - ccc) * torch.tensor([0.25, 0.5, 0.25])).sum().float()
    torch.testing.assert_close(output.loss.detach(), expected, atol=1e-5, rtol=0)
    assert list(output.loss_parts) == ["activation", "valence", "dominance"]


def test_every_trained_parameter_gets_a_gradient(model, clips):
    model.train()
    model(**padded(clips), labels=torch.rand(4, 3) * 6 + 1).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.requires_grad:
            assert torch.isfinite(parameter.grad).all(), name


def test_frame_logits_follow_the_stated_hop(make_model, clips):
    model = make_model("student")
    output = model(clips[0][None], output_frame_logits=True)
    assert model.frame_hop_s == pytest.approx(0.08)
    assert output.frame_logits.shape[1] == -(-((len(clips[0]) - 400) // 160 + 1) // 8)


def test_the_student_is_small():
    assert AffectStudentModel(AffectStudentConfig()).num_parameters() <= 300_000


def test_a_model_without_front_end_can_be_given_one(make_model, clips, tmp_path):
    model = make_model("fusion")
    model.save_pretrained(tmp_path)
    head = AffectFusionModel.from_pretrained(tmp_path, with_front_end=False).eval()
    with pytest.raises(ValueError, match="takes frames only; attach_front_end first"):
        head(clips[0][None])
    with pytest.raises(ValueError, match=r"encoders given: \[\]; this model has \['hubert', 'whisper'\]"):
        head.attach_front_end({})
    head.attach_front_end({name: encoder.backbone for name, encoder in model.front_end.encoders.items()})
    torch.testing.assert_close(head(clips[0][None]).logits, model(clips[0][None]).logits, atol=LOADED_ATOL, rtol=0)


WRONG_INPUTS = [
    ({}, "either input_values .* or frames"),
    ({"input_values": torch.zeros(16000)}, r"input_values has shape \(16000,\); it must be \(batch, samples\)"),
    ({"input_values": torch.zeros(1, 399)}, "a clip has 399 samples; 400 at 16 kHz are one frame of mfb"),
    (
        {"input_values": torch.zeros(1, 800), "attention_mask": torch.ones(1, 700)},
        r"attention_mask has shape \(1, 700\); it must be that of input_values, \(1, 800\)",
    ),
    ({"frames": {"other": torch.zeros(1, 4, 40)}}, "frames or frames_mask of branch 'mfb' are missing"),
    (
        {"frames": {"mfb": torch.zeros(1, 4, 39)}, "frames_mask": {"mfb": torch.ones(1, 4)}},
        r"frames of branch 'mfb' have shape \(1, 4, 39\); they must be \(batch, frames, 40\)",
    ),
    (
        {"frames": {"mfb": torch.zeros(1, 4, 40)}, "frames_mask": {"mfb": torch.zeros(1, 4)}},
        r"frames_mask of branch 'mfb' must be \(1, 4\), with at least one valid frame per clip",
    ),
    ({"input_values": torch.zeros(1, 800), "labels": torch.zeros(1, 2)}, r"labels have shape \(1, 2\)"),
    (
        {"input_values": torch.zeros(1, 800), "labels": torch.tensor([[4.0, torch.nan, 93.0]])},
        r"labels reach from 4 to 93, but config.label_range is 1 to 7: .* label_range=\(lowest, highest\)",
    ),
    ({"input_values": torch.zeros(1, 800), "labels": torch.tensor([[4, 0, 7]])}, "labels reach from 0 to 7"),
    ({"input_values": torch.zeros(1, 800), "labels": torch.full((1, 3), torch.inf)}, "labels reach from inf"),
    ({"input_values": torch.zeros(1, 800), "emotion_targets": torch.zeros(1).long()}, "this model has no classes"),
]


@pytest.mark.parametrize("inputs, message", WRONG_INPUTS, ids=[message[:40] for _, message in WRONG_INPUTS])
def test_inputs_that_do_not_fit(make_model, inputs, message):
    with pytest.raises(ValueError, match=message):
        make_model("student")(**inputs)


@torch.no_grad()
def test_lengths_from_a_tenth_of_a_second_up(model):
    extractor = AffectFeatureExtractor()
    for seconds in (0.1, 0.5, 31.0):
        generator = torch.Generator().manual_seed(1)
        clip = 0.1 * torch.randn(round(seconds * 16000), generator=generator)
        logits = model(**extractor(clip, return_tensors="pt")).logits
        assert logits.shape == (1, 3) and torch.isfinite(logits).all()
