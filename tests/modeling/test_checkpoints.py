"""Checkpoints of both models: shards, variants, what is missing, devices, attention implementations, dtypes."""

import copy
import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, RobertaConfig

from speech_affect import AffectEncoderConfig, AffectFusionConfig, AffectFusionModel, AffectStream, checks

from .conftest import (
    BACKBONES,
    BRANCHES,
    LOADED_ATOL,
    SIZES,
    SMALL,
    WHISPER,
    assert_same_filterbanks,
    assert_same_output,
    assert_same_state,
    backbones,
    mel_transforms,
)


@pytest.fixture(params=["student", "student_f0_running", "fusion", "fusion_mtl"])
def model(request, make_model):
    return make_model(request.param)


def test_weights_that_are_given_need_no_file(model, monkeypatch):
    monkeypatch.setattr(checks, "cached_file", lambda *_, **__: pytest.fail("a file is asked for"))
    loaded = type(model).from_pretrained(None, config=model.config, state_dict=model.state_dict())
    assert_same_state(loaded, model)


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


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_other_users_read_what_the_umask_allows(make_model, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        make_model("student").save_pretrained(tmp_path, max_shard_size="20KB")
    finally:
        os.umask(before)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


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
        assert torch.isfinite(values).all(), name
        if expected[name].unique().numel() == 1:
            assert torch.equal(values, expected[name]), name
        elif name.startswith("regressor."):
            assert values.std().item() == pytest.approx(expected[name].std().item(), rel=0.2), name
            assert abs(values.mean().item()) < 0.2 * values.std().item(), name
            assert not torch.equal(values, expected[name])
    for name, values in mel_transforms(model).items():
        assert torch.equal(mel_transforms(loaded)[name], values), name


@pytest.mark.parametrize("family", [*BACKBONES, "roberta"])
def test_an_encoder_without_weights_starts_as_a_new_one_by_the_seed(family, tmp_path, poisoned_memory):
    backbone = RobertaConfig(**SMALL, vocab_size=40) if family == "roberta" else BACKBONES[family]()
    config = AffectFusionConfig(encoders={"e": {"backbone": backbone}}, branches=[{"source": "e"}], **SIZES)
    new = AffectFusionModel(config).front_end.encoders["e"].backbone.state_dict()
    config.save_pretrained(tmp_path)
    save_file({"nothing": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model, _ = AffectFusionModel.from_pretrained(tmp_path, output_loading_info=True)
        loaded.append(model.front_end.encoders["e"].backbone.state_dict())
    for name, values in loaded[0].items():
        assert torch.isfinite(values).all() and torch.equal(values, loaded[1][name]), name
        if new[name].numel() > 100 and new[name].unique().numel() > 1:
            assert values.std().item() == pytest.approx(new[name].std().item(), rel=0.3), name
    drawn = {name for name, values in loaded[0].items() if not torch.equal(values, loaded[2][name])}
    assert len(drawn) > 10 and "embed_positions.weight" not in drawn  # Whisper's positions are no random numbers


def test_an_encoder_that_a_checkpoint_lacks_has_to_be_given(make_model, tmp_path):
    model = make_model("mfb")
    model.save_pretrained(tmp_path)
    encoder = AffectEncoderConfig(backbone=BACKBONES["whisper"]())
    config = AffectFusionConfig.from_dict(
        model.config.to_dict() | {"encoders": {"whisper": encoder}, "branches": BRANCHES["mfb"] + [WHISPER]}
    )
    options = {"config": config, "ignore_mismatched_sizes": True}
    with pytest.raises(ValueError, match=r"weights that its configuration asks for are not in it.* attach_front_end"):
        AffectFusionModel.from_pretrained(tmp_path, **options)
    head = AffectFusionModel.from_pretrained(tmp_path, with_front_end=False, **options)
    new = head.regressor.tc_grus[1].gru.weight_hh_l0  # the branch itself starts anew
    assert torch.isfinite(new).all() and new.std() > 0.01


# of logits, on a scale of 1 to 7; numbers in bfloat16 lie up to 0.03 apart there
NEAR = {torch.bfloat16: 2.5e-2, torch.float16: 4e-3}


@pytest.fixture(params=NEAR, ids=str)
def dtype(request):
    return request.param


def assert_near_float32(half, expected, batch, dtype):
    """On its own and in a stream, what is on the label scale being float32."""
    output, expected = half(**batch), expected(**batch)
    for name in expected:
        on_label_scale = name in ("logits", "uncertainty")
        assert output[name].dtype == (torch.float32 if on_label_scale else dtype)
        torch.testing.assert_close(output[name].float(), expected[name], atol=NEAR[dtype], rtol=0, msg=name)
    stream = AffectStream(half)
    stream.push(batch["input_values"][0][batch["attention_mask"][0].bool()])
    torch.testing.assert_close(stream.finish().logits, expected.logits[:1], atol=NEAR[dtype], rtol=0)


@torch.no_grad()
def test_half_precision(model, batch, tmp_path, dtype):
    model.save_pretrained(tmp_path / "full")
    loaded = AutoModel.from_pretrained(tmp_path / "full", dtype=dtype)
    for half in (loaded, copy.deepcopy(model).to(dtype)):
        assert half.dtype == dtype
        assert {parameter.dtype for parameter in half.parameters()} == {dtype}
        assert_same_filterbanks(half, model)
        assert_near_float32(half, model, batch, dtype)
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
    assert_near_float32(half, copy.deepcopy(half).float(), batch, dtype)


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


def test_an_attention_implementation_of_no_encoder_is_not_dropped(make_model, tmp_path):
    model = make_model("fusion")
    model.save_pretrained(tmp_path)
    given, message = {"whispr": "eager"}, r"names \['whispr'\]; this model's encoders are \['hubert', 'whisper'\]"
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(tmp_path, attn_implementation=given)
    with pytest.raises(ValueError, match=message):
        AutoModel.from_config(model.config, attn_implementation=given)
    with pytest.raises(ValueError, match=message):
        model.set_attn_implementation(given)


def test_an_attention_implementation_that_does_not_exist(make_model, tmp_path):
    make_model("fusion").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='attn_implementation="other"` is not supported'):
        AutoModel.from_pretrained(tmp_path, attn_implementation="other")
