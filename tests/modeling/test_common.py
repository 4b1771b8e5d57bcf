"""Of both models, beside the common tests of transformers in `tests/peers/`: weights, gradients, outputs, settings."""

import copy
import inspect
import json

import pytest
import torch
from transformers import AutoConfig
from transformers.utils import find_labels

from speech_affect import AffectFusionConfig, AffectFusionModel, AffectOutput

from .conftest import SIZES, assert_same_output


@pytest.fixture(params=["student", "student_f0_running", "fusion", "fusion_mtl"])
def model(request, make_model):
    return make_model(request.param)


def targets(model):
    labels = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 1.0, 2.0], [2.0, 3.0, 3.5]])
    if model.config.gender_names is None:
        return {"labels": labels}
    classes = {"gender_targets": torch.tensor([0, 1, 1, 0]), "emotion_targets": torch.tensor([0, 1, 2, 0])}
    return {"labels": labels, **classes}


def test_weights_are_drawn_as_is_stated(make_model):
    regressor = make_model("student", gru_hidden_size=64, embedding_size=64).regressor
    recurrent = regressor.tc_grus[0].gru.weight_hh_l1
    torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(64), atol=1e-4, rtol=0)
    for weight, bound in (
        (regressor.embedding.weight, (6 / (64 + 64)) ** 0.5),  # Xavier: sqrt(6 / (in + out))
        (regressor.tc_grus[0].conv.weight, (6 / (9 * 40)) ** 0.5),  # Kaiming for ReLU: sqrt(6 / in)
    ):
        assert 0.95 * bound < weight.abs().max() <= bound
    for name, parameter in regressor.named_parameters():
        assert "bias" not in name or not parameter.any(), name


# --- gradients and training mode ---


def test_gradients_reach_the_embedding_and_the_waveform(model, batch):
    batch["input_values"] = batch["input_values"].requires_grad_()
    output = model.train()(**batch, **targets(model))
    output.embedding.retain_grad()
    output.logits.retain_grad()
    (output.loss + output.logits.sum()).backward()
    for gradient in (output.embedding.grad, output.logits.grad, batch["input_values"].grad):
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    assert not batch["input_values"].grad[batch["attention_mask"] == 0].any()


@torch.no_grad()
def test_training_drops_out(model, batch):
    model.train()
    assert not torch.equal(model(**batch).embedding, model(**batch).embedding)
    without = type(model)(type(model.config).from_dict({**model.config.to_dict(), "dropout": 0.0})).train()
    assert torch.equal(without(**batch).embedding, without(**batch).embedding)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # transformers gives it another name
def test_gradient_checkpointing_of_encoders_that_are_trained(tiny_backbone, batch):
    hubert, whisper = tiny_backbone("hubert"), tiny_backbone("whisper")
    for name in ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"):
        setattr(hubert, name, 0.0)
    hubert.apply_spec_augment, whisper.dropout = False, 0.0
    encoders = {
        "hubert": {"backbone": hubert, "frozen": False},
        "whisper": {"backbone": whisper, "frozen": False, "pad_to_window": False},
    }
    settings = {**SIZES, "dropout": 0.0, "branches": [{"source": "hubert"}, {"source": "whisper"}]}
    model = AffectFusionModel(AffectFusionConfig(encoders=encoders, **settings)).train()
    gradients, calls = [], []
    layer = model.front_end.encoders["whisper"].backbone.layers[0]
    layer.fc1.register_forward_hook(lambda *_: calls.append(1))
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing == checkpointing
        model.zero_grad()
        model(**batch, **targets(model)).loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert len(calls) == 3 * len(batch["input_values"])  # per clip once, then forwards and again backwards
    assert any("hubert.backbone.encoder.layers" in name for name in gradients[0])
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=0)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
def test_gradient_checkpointing_is_refused_without_encoders(make_model):
    with pytest.raises(ValueError, match="AffectStudentModel does not support (activation|gradient) checkpointing"):
        make_model("student").gradient_checkpointing_enable()
    with pytest.raises(ValueError, match="AffectFusionModel is not compatible with gradient checkpointing"):
        AffectFusionModel(AffectFusionConfig(**SIZES)).gradient_checkpointing_enable()


# --- outputs ---


def test_outputs_on_and_off(model, batch):
    heads = ["emotion_logits", "gender_logits", "uncertainty"] if model.config.gender_names else []
    names = ["logits", "embedding", *heads]
    assert list(model(**batch)) == names
    output = model(**batch, **targets(model), output_frame_logits=True)
    assert list(output) == ["loss", *names, "frame_logits", "frame_mask", "loss_parts"]
    model.config.return_dict = False
    assert type(model(**batch)) is tuple and type(model(**batch, return_dict=True)) is AffectOutput
    assert next(iter(inspect.signature(model.forward).parameters)) == model.main_input_name == "input_values"


@torch.no_grad()
def test_hidden_states(model, batch):
    output = model(**batch, output_hidden_states=True, output_frame_logits=True)
    assert len(output.hidden_states) == len(model.config.branches)
    for states, tc_gru in zip(output.hidden_states, model.regressor.tc_grus, strict=True):
        assert states.shape[0] == len(batch["input_values"]) and states.shape[2] == tc_gru.gru.hidden_size
    valid = [states.abs().sum(dim=2) > 0 for states in output.hidden_states]
    pooled = [s.sum(1) / v.sum(1, keepdim=True) for s, v in zip(output.hidden_states, valid, strict=True)]
    torch.testing.assert_close(model.regressor.embed(torch.cat(pooled, dim=-1)), output.embedding, atol=1e-6, rtol=0)
    assert "hidden_states" not in model(**batch)
    model.config.output_hidden_states = True
    torch.testing.assert_close(model(**batch).hidden_states, output.hidden_states, atol=0, rtol=0)
    assert model(**batch, output_hidden_states=False).hidden_states is None


def test_outputs_that_there_are_not(model, batch):
    with pytest.raises(ValueError, match="output_attentions is True, but TC-GRUs have none; leave it out, or call"):
        model(**batch, output_attentions=True)
    with pytest.raises(TypeError, match="output_attention"):
        model(**batch, output_attention=True)
    assert model(**batch, output_attentions=False).logits.shape == (4, 3)
    model.set_attn_implementation("eager")  # transformers refuses it for any other
    model.config.output_attentions = True
    with pytest.raises(ValueError, match="output_attentions is True"):
        model(**batch)


def test_trainer_finds_the_labels(model):
    assert find_labels(type(model)) == ["labels"]


# --- configuration ---


def test_configuration_round_trips(model, tmp_path):
    config = model.config
    for use_diff in (True, False):
        again = type(config).from_dict(json.loads(config.to_json_string(use_diff=use_diff)))
        assert again.to_dict() == config.to_dict()
    difference, default = config.to_diff_dict(), type(config)().to_dict()
    assert difference["conv_channels"] == 16 and difference.items() <= {**default, **config.to_dict()}.items()
    again = AutoConfig.for_model(config.model_type, **SIZES, future_setting=[1, 2])  # of a later version
    assert type(again) is type(config) and again.to_dict()["future_setting"] == [1, 2]
    again.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).future_setting == [1, 2]
    loaded, unused = type(config).from_pretrained(tmp_path, dropout=0.5, nonsense=1, return_unused_kwargs=True)
    assert (loaded.dropout, unused) == (0.5, {"nonsense": 1})


# --- precision ---


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 2e-2), (torch.float16, 4e-3)], ids=str)
@torch.no_grad()
def test_filterbanks_are_exact_under_autocast(model, dtype, tolerance):
    times = torch.arange(8000) / 16000  # powers above the greatest number of float16, and below its least
    clips = torch.stack([torch.sin(1257 * times), 1e-4 * torch.sin(1885 * times)])
    expected, _ = model.front_end(clips)
    with torch.autocast("cpu", dtype=dtype):
        frames, _ = model.front_end(clips)
        logits = model(clips).logits
    acoustic = model.config.branches[0].name
    assert frames[acoustic].dtype == torch.float32
    torch.testing.assert_close(frames[acoustic], expected[acoustic], atol=0, rtol=0)
    torch.testing.assert_close(logits.float(), model(clips).logits, atol=tolerance, rtol=0)


@torch.no_grad()
def test_double_precision(model, batch):
    assert_same_output(copy.deepcopy(model).double(), model, batch, atol=1e-5)


@torch.no_grad()
def test_compiled(make_model, clips):
    model = make_model("student")
    # traced, but no code is generated, which takes a minute; GRUs and the checks of inputs always break the graph
    compiled = torch.compile(model, backend="eager", dynamic=True)
    filterbank = model.front_end.acoustic["mfb"].mel_filterbank
    traced = torch.compile(filterbank, backend="eager", fullgraph=True, dynamic=True)
    for length in (16000, 9001):
        batch = {"input_values": torch.stack([clips[0][:length], clips[0][-length:]])}
        batch["attention_mask"] = torch.ones(2, length).long()
        batch["attention_mask"][1, length // 2 :] = 0
        assert_same_output(compiled, model, batch, atol=1e-5)
        expected = filterbank(batch["input_values"])
        torch.testing.assert_close(traced(batch["input_values"]), expected, atol=1e-5, rtol=0)
