"""What any model of transformers is expected to do, for both models: files, initialisation, precision, devices."""

import copy
import inspect
import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pad_sequence
from torch.utils import _pytree as pytree
from transformers import AutoConfig, AutoModel

from speech_affect import AffectFusionConfig, AffectFusionModel, AffectOutput, AffectStudentConfig, AffectStudentModel
from speech_affect.log_mel import MelTransform


PARTS = ("window", "filters")
# weights that are mapped from a file lie at other addresses, where kernels may round otherwise
LOADED_ATOL = 1e-6
KINDS = ["student", "student_f0", "fusion", "fusion_mtl"]
SIZES = {"conv_channels": 16, "gru_hidden_size": 16, "embedding_size": 16}
TASKS = {"emotion_names": ["A", "H", "N"], "gender_names": ["Female", "Male"], "predict_uncertainty": True}
BRANCHES = [
    {"source": "mfb"},
    {"source": "hubert", "hidden_state": "weighted_sum"},
    {"source": "whisper", "hidden_state": 1},
]
# transformers leaves weight-normalised convolutions uninitialised when they are missing (5.23, stock HubertModel too)
LEFT_BY_TRANSFORMERS = "parametrizations"


@pytest.fixture
def make_model(tiny_backbone):
    """Makes a small model of a kind, in evaluation mode, its frame statistics as training leaves them."""

    def make(kind, **settings):
        settings = {**SIZES, **(TASKS if kind == "fusion_mtl" else {}), **settings}
        if kind.startswith("student"):
            branch = {"source": "mfb_f0" if kind == "student_f0" else "mfb"}
            model = AffectStudentModel(AffectStudentConfig(branch=branch, **settings))
        else:
            encoders = {
                "hubert": {"backbone": tiny_backbone("hubert"), "do_normalize": True},
                "whisper": {"backbone": tiny_backbone("whisper"), "pad_to_window": False},
            }
            model = AffectFusionModel(AffectFusionConfig(branches=BRANCHES, encoders=encoders, **settings))
        for name, part in model.regressor.inputs.items():
            mean = torch.full_like(part.frame_mean, -6.0 if name.startswith("mfb") else 0.1)
            model.regressor.set_frame_statistics(name, mean, torch.full_like(mean, 3.0))
        return model.eval()

    return make


@pytest.fixture(params=KINDS)
def model(request, make_model):
    return make_model(request.param)


@pytest.fixture
def batch(clips):
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = pad_sequence(clips, batch_first=True)
    return {
        "input_values": padded,
        "attention_mask": (torch.arange(padded.shape[1]) < lengths.unsqueeze(1)).long(),
    }


def targets(model):
    labels = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 1.0, 2.0], [2.0, 3.0, 3.5]])
    if model.config.gender_names is None:
        return {"labels": labels}
    classes = {"gender_labels": torch.tensor([0, 1, 1, 0]), "emotion_labels": torch.tensor([0, 1, 2, 0])}
    return {"labels": labels, **classes}


def backbones(model) -> list[torch.nn.Module]:
    return [encoder.backbone for encoder in model.front_end.encoders.values()]


def assert_same_state(model, expected):
    state, expected = model.state_dict(), expected.state_dict()
    assert list(state) == list(expected)
    for name, values in expected.items():
        assert torch.equal(state[name], values), name


@torch.no_grad()
def assert_same_output(model, expected, batch, atol=0.0):
    output, expected = model(**batch), expected(**batch)
    assert list(output) == list(expected)
    for name in expected:
        torch.testing.assert_close(output[name].float(), expected[name].float(), atol=atol, rtol=0, msg=name)


def mel_transforms(model) -> dict[str, torch.Tensor]:
    """Windows and mel filters of a model, by name."""
    modules = {name: module for name, module in model.named_modules() if isinstance(module, MelTransform)}
    return {f"{name}.{part}": getattr(module, part) for name, module in modules.items() for part in PARTS}


def assert_same_filterbanks(model, expected):
    constants, expected = mel_transforms(model), mel_transforms(expected)
    assert list(constants) == list(expected) and len(expected) in (2, 4)
    for name, values in expected.items():
        assert constants[name].dtype == torch.float32 and torch.equal(constants[name], values), name


# --- files ---


def test_in_shards_and_back(model, batch, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(model.state_dict())
    shards = set(index["weight_map"].values())
    assert len(shards) > 1 and shards == {path.name for path in tmp_path.glob("*.safetensors")}
    assert not list(tmp_path.glob("*.bin"))
    loaded, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert not loaded.training
    assert_same_state(loaded, model)
    assert_same_output(loaded, model, batch, LOADED_ATOL)


def test_a_variant_is_a_file_of_its_own(make_model, tmp_path):
    model = make_model("student")
    model.save_pretrained(tmp_path, variant="fold1")
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["model.fold1.safetensors"]
    assert_same_state(AutoModel.from_pretrained(tmp_path, variant="fold1"), model)
    with pytest.raises(OSError, match="model.safetensors"):
        AutoModel.from_pretrained(tmp_path)


def test_missing_unexpected_and_mismatched_weights_are_reported(model, tmp_path):
    model.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["regressor.output.bias"], state["regressor.tc_grus.0.gru.weight_hh_l0"]
    save_file({**state, "regressor.other": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    loaded, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == {"regressor.output.bias", "regressor.tc_grus.0.gru.weight_hh_l0"}
    assert info["unexpected_keys"] == {"regressor.other"}
    for name, values in loaded.state_dict().items():  # the rest of a module that lacks a part is left as it is
        assert name in info["missing_keys"] or torch.equal(values, state[name]), name
    with pytest.raises(ValueError, match="ignore_mismatched_sizes"):
        type(model).from_pretrained(tmp_path, embedding_size=8)
    loaded, info = type(model).from_pretrained(
        tmp_path, embedding_size=8, ignore_mismatched_sizes=True, output_loading_info=True
    )
    heads = ("output", "emotion_output", "gender_output", "uncertainty_output")
    changed = {"regressor.embedding.weight", "regressor.embedding.bias"}
    changed |= {f"regressor.{head}.weight" for head in heads if f"regressor.{head}.weight" in state}
    assert {name for name, *_ in info["mismatched_keys"]} == changed
    assert all(torch.isfinite(values).all() for values in loaded.state_dict().values())


def test_filterbanks_of_older_checkpoints_are_not_missed(model, batch, tmp_path):
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    assert not any("filters" in name for name in state)
    old = {name: values.clone() for name, values in mel_transforms(model).items()}  # such checkpoints held them
    save_file(state | old, file, {"format": "pt"})
    loaded, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert_same_filterbanks(loaded, model)
    assert_same_output(loaded, model, batch, LOADED_ATOL)


# --- initialisation ---


@pytest.fixture
def poisoned_memory():
    """Memory that nobody initialised holds NaN, so that it shows."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_a_checkpoint_without_weights_is_initialised_as_a_new_model(make_model, tmp_path, poisoned_memory):
    assert torch.isnan(torch.empty(3)).all()
    wide = {"conv_channels": 64, "gru_hidden_size": 64, "embedding_size": 64}
    model = make_model("fusion_mtl", **wide)
    for name, part in model.regressor.inputs.items():
        model.regressor.set_frame_statistics(name, torch.zeros_like(part.frame_mean), torch.ones_like(part.frame_std))
    model.config.save_pretrained(tmp_path)
    save_file({"nothing": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    loaded, info = AffectFusionModel.from_pretrained(tmp_path, output_loading_info=True)
    expected = model.state_dict()
    assert info["missing_keys"] == set(expected)
    for name, values in loaded.state_dict().items():
        if LEFT_BY_TRANSFORMERS in name:
            continue
        assert torch.isfinite(values).all(), name
        if expected[name].unique().numel() == 1:
            assert torch.equal(values, expected[name]), name
        elif name.startswith("regressor."):
            assert values.std().item() == pytest.approx(expected[name].std().item(), rel=0.2), name
            assert abs(values.mean().item()) < 0.2 * values.std().item(), name
            assert not torch.equal(values, expected[name])
    for name, values in mel_transforms(model).items():
        assert torch.equal(mel_transforms(loaded)[name], values), name


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


def test_the_same_seed_gives_the_same_weights(make_model):
    torch.manual_seed(3)
    first = make_model("fusion_mtl")
    torch.manual_seed(3)
    assert_same_state(make_model("fusion_mtl"), first)


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
def test_evaluation_repeats_itself_and_training_drops_out(model, batch):
    assert torch.equal(model(**batch).logits, model(**batch).logits)
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
    as_tuple = model(**batch, **targets(model), output_frame_logits=True, return_dict=False)
    assert type(as_tuple) is tuple
    torch.testing.assert_close(as_tuple, output.to_tuple(), atol=0, rtol=0)
    model.config.return_dict = False
    assert type(model(**batch)) is tuple and type(model(**batch, return_dict=True)) is AffectOutput
    assert next(iter(inspect.signature(model.forward).parameters)) == model.main_input_name == "input_values"


def test_outputs_are_trees_of_tensors(model, batch):
    output = model(**batch, **targets(model))
    leaves, structure = pytree.tree_flatten(output)
    assert len(leaves) == len(output) - 1 + len(output.loss_parts)
    again = pytree.tree_unflatten(leaves, structure)
    assert type(again) is AffectOutput and torch.equal(again.logits, output.logits)
    doubled = pytree.tree_map(lambda values: 2 * values, output)
    assert type(doubled) is AffectOutput
    assert torch.equal(doubled.loss_parts["valence"], 2 * output.loss_parts["valence"])


def test_copies(model, batch):
    copied = copy.deepcopy(model)
    assert_same_state(copied, model)
    assert_same_output(copied, model, batch)
    copied.regressor.output.bias.data += 1
    assert not torch.equal(copied.regressor.output.bias, model.regressor.output.bias)
    config = pickle.loads(pickle.dumps(model.config))
    assert config.to_dict() == model.config.to_dict() == copy.deepcopy(model.config).to_dict()
    with torch.no_grad():
        output = model(**batch)
    again = pickle.loads(pickle.dumps(output))
    assert type(again) is AffectOutput and torch.equal(again.logits, output.logits)


# --- configuration ---


def test_configuration_round_trips(model, tmp_path):
    config = model.config
    for use_diff in (True, False):
        again = type(config).from_dict(json.loads(config.to_json_string(use_diff=use_diff)))
        assert again.to_dict() == config.to_dict()
    difference, default = config.to_diff_dict(), type(config)().to_dict()
    assert difference["conv_channels"] == 16 and difference.items() <= {**default, **config.to_dict()}.items()
    config.to_json_file(tmp_path / "config.json", use_diff=False)
    assert type(config).from_json_file(tmp_path / "config.json").to_dict() == config.to_dict()
    again = AutoConfig.for_model(config.model_type, **SIZES, future_setting=[1, 2])  # of a later version
    assert type(again) is type(config) and again.to_dict()["future_setting"] == [1, 2]
    again.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).future_setting == [1, 2]
    loaded, unused = type(config).from_pretrained(tmp_path, dropout=0.5, nonsense=1, return_unused_kwargs=True)
    assert (loaded.dropout, unused) == (0.5, {"nonsense": 1})


# --- precision ---

# of logits, on a scale of 1 to 7; the encoders are random, which magnifies rounding
NEAR = {torch.bfloat16: 0.3, torch.float16: 0.1}


@pytest.fixture(params=NEAR, ids=str)
def dtype(request):
    return request.param


@torch.no_grad()
def test_half_precision(model, batch, tmp_path, dtype):
    model.save_pretrained(tmp_path / "full")
    loaded = AutoModel.from_pretrained(tmp_path / "full", dtype=dtype)
    for half in (loaded, copy.deepcopy(model).to(dtype)):
        assert half.dtype == dtype
        assert {parameter.dtype for parameter in half.parameters()} == {dtype}
        assert_same_filterbanks(half, model)
        output, expected = half(**batch), model(**batch)
        for name in expected:
            assert output[name].dtype == dtype
            torch.testing.assert_close(output[name].float(), expected[name], atol=NEAR[dtype], rtol=0, msg=name)
    loaded.save_pretrained(tmp_path / "half")
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    auto = AutoModel.from_pretrained(tmp_path / "half", dtype="auto")
    assert_same_state(auto, loaded)
    assert_same_output(auto, loaded, batch)


@torch.no_grad()
def test_from_config_in_half_precision(model, batch, dtype):
    half = AutoModel.from_config(type(model.config).from_dict(model.config.to_dict()), dtype=dtype).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    assert {backbone.dtype for backbone in backbones(half)} <= {dtype}
    assert_same_filterbanks(half, model)
    assert torch.isfinite(half(**batch).logits).all()


@torch.no_grad()
def test_filterbanks_are_exact_under_autocast(model, dtype):
    times = torch.arange(8000) / 16000  # powers above the greatest number of float16, and below its least
    clips = torch.stack([torch.sin(1257 * times), 1e-4 * torch.sin(1885 * times)])
    expected, _ = model.front_end(clips)
    with torch.autocast("cpu", dtype=dtype):
        frames, _ = model.front_end(clips)
        logits = model(clips).logits
    acoustic = model.config.branches[0].name
    assert frames[acoustic].dtype == torch.float32
    torch.testing.assert_close(frames[acoustic], expected[acoustic], atol=0, rtol=0)
    torch.testing.assert_close(logits.float(), model(clips).logits, atol=NEAR[dtype], rtol=0)


@torch.no_grad()
def test_double_precision(model, batch):
    assert_same_output(copy.deepcopy(model).double(), model, batch, atol=1e-5)


# --- devices and memory ---


def test_filled_from_the_meta_device(model, batch):
    with torch.device("meta"):
        empty = type(model)(model.config)
    # all but one of HuBERT's, which transformers itself makes on the CPU
    assert all(values.is_meta for values in empty.state_dict().values() if values.ndim > 1)
    empty.load_state_dict(model.state_dict(), assign=True)
    assert_same_filterbanks(empty, model)
    assert_same_output(empty.eval(), model, batch)


@pytest.mark.parametrize(
    "device_map",
    ["cpu", "auto", {"front_end": "disk", "regressor": "cpu"}, {"front_end": "cpu", "regressor": "disk"}],
    ids=str,
)
def test_device_maps(make_model, batch, tmp_path, device_map):
    pytest.importorskip("accelerate", reason="device_map needs accelerate, of the extra `train`")
    model = make_model("fusion_mtl")
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, device_map=device_map, offload_folder=tmp_path / "offloaded")
    places = device_map if isinstance(device_map, dict) else {}
    offloaded = {name.split(".")[0] for name, parameter in loaded.named_parameters() if parameter.is_meta}
    assert offloaded == {part for part, place in places.items() if place == "disk"}
    if loaded.device.type in ("cpu", "meta"):  # `auto` takes a GPU where there is one
        assert_same_output(loaded, model, batch, LOADED_ATOL)


@pytest.mark.parametrize(
    "given, hubert, whisper",
    [
        ("eager", "eager", "eager"),
        ({"whisper": "eager"}, "sdpa", "eager"),
        ({"": "sdpa", "hubert": "eager"}, "eager", "sdpa"),
    ],
    ids=str,
)
@torch.no_grad()
def test_attention_implementations_of_encoders(make_model, batch, tmp_path, given, hubert, whisper):
    expected = make_model("fusion")
    expected.save_pretrained(tmp_path)
    built = AutoModel.from_config(AutoConfig.from_pretrained(tmp_path), attn_implementation=given)
    loaded = AutoModel.from_pretrained(tmp_path, attn_implementation=given)
    changed = AutoModel.from_pretrained(tmp_path)
    changed.set_attn_implementation(given)
    for model in (built, loaded, changed):
        assert [b.config._attn_implementation for b in backbones(model)] == [hubert, whisper]
        assert model.config.whisper is model.config.encoders["whisper"].backbone
    assert_same_output(loaded, expected, batch, atol=1e-5)


def test_an_attention_implementation_that_does_not_exist(make_model, tmp_path):
    make_model("fusion").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='attn_implementation="other"` is not supported'):
        AutoModel.from_pretrained(tmp_path, attn_implementation="other")


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
