"""Checkpoints that are damaged or malicious raise one sentence; no code of theirs is run."""

import json
import math
import pickle
import random
import resource

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, pipeline

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)


SMALL = {"conv_channels": 4, "gru_hidden_size": 4, "num_gru_layers": 1, "embedding_size": 4}


@pytest.fixture
def student(tmp_path):
    """The folder of a small student's checkpoint."""
    AffectStudentModel(AffectStudentConfig(**SMALL)).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def fusion(tmp_path, tiny_backbone):
    """The folder of a small fusion's checkpoint, with one encoder."""
    config = AffectFusionConfig(
        encoders={"hubert": {"backbone": tiny_backbone("hubert")}},
        branches=[{"source": "mfb"}, {"source": "hubert"}],
        **SMALL,
    )
    AffectFusionModel(config).save_pretrained(tmp_path)
    return tmp_path


def change_config(folder, *path, value):
    file = folder / "config.json"
    settings = json.loads(file.read_text())
    part = settings
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    file.write_text(json.dumps(settings))


def change_weights(folder, change):
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


class Trap:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


BACKBONE = ("encoders", "hubert", "backbone")
# what few settings may be, if any; 1e9 is no number of layers, labels or samples
HOSTILE = [None, "x", [], {}, True, -1, 0, 10**9, 10**400, 1.5, math.nan, math.inf, [[[]]], {"a": {"b": 10**9}}]


def settings_of(value, path=()):
    """Paths of all settings, parts first."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from settings_of(entry, (*path, key))


def test_any_value_of_any_setting_is_taken_or_raises_one_sentence(fusion):
    file = fusion / "config.json"
    whole = file.read_text()
    choice = random.Random(0)
    outcomes = {"raised": 0, "taken": 0}
    for path in settings_of(json.loads(whole)):
        if path[0] in ("model_type", "transformers_version", "architectures", "auto_map"):
            continue  # read by transformers before this package is imported
        for hostile in choice.sample(HOSTILE, 2):
            file.write_text(whole)
            change_config(fusion, *path, value=hostile)
            try:
                with torch.device("meta"):
                    AffectFusionModel(AffectFusionConfig.from_pretrained(fusion))
                outcomes["taken"] += 1
            except ValueError as error:
                assert 20 < len(str(error)) < 1000, (path, hostile, error)
                outcomes["raised"] += 1
            except Exception as error:
                raise AssertionError(f"{path} = {hostile!r}") from error
    assert min(outcomes.values()) > 40, outcomes


ABSURD = [
    (("gru_hidden_size",), 10**9, "gru_hidden_size is 1000000000; give a whole number from 1 to 8192"),
    (("num_gru_layers",), 10**9, "num_gru_layers is 1000000000"),
    (("branches", 0, "num_mel_bins"), 10**9, "num_mel_bins is 1000000000"),
    (("branches", 0, "window_s"), 1e9, "window_s up to 1"),
    (("branches", 0, "hop_s"), 1e-12, "no whole number of samples"),
    (("branches",), [{"source": "mfb", "num_mel_bins": n + 1} for n in range(1000)], "up to 64 branches"),
    (("num_labels",), 10**9, "num_labels is 1000000000; the outputs are activation, valence, dominance"),
    (("id2label",), {str(n): "x" for n in range(10**5)}, "any of activation, valence, dominance, each once"),
    (("emotion_names",), [str(n) for n in range(10**5)], "up to 1000 names"),
    (("dtype",), "nn", "this is no configuration of speech_affect_fusion"),
    (("to_dict",), 1, "'to_dict' is no setting of speech_affect_fusion"),
    (("encoders",), {"a.b": {}}, "is named 'a.b'"),
    ((*BACKBONE, "num_hidden_layers"), 10**6, "num_hidden_layers of an encoder's backbone is 1000000; give 1024"),
    ((*BACKBONE, "num_labels"), 10**9, "num_labels of an encoder's backbone is 1000000000"),
    ((*BACKBONE, "hidden_size"), -32, "hidden_size of an encoder's backbone is -32; it must be at least 1"),
    ((*BACKBONE, "conv_dim"), [16] * 10**5, "conv_dim of an encoder's backbone has 100000 values"),
    ((*BACKBONE, "model_type"), "x", "Unrecognized model type"),
    ((*BACKBONE, "dtype"), "nn", "this is no configuration of speech_affect_fusion"),
    ((*BACKBONE, "hidden_size"), 2**20, "asks for 2.2e\\+13 weights"),
    (
        ("transformers_weights",),
        "adapter_model.bin",
        "transformers_weights is 'adapter_model.bin'",
    ),
    (("encoders",), {"dropout": {}}, "is named 'dropout', which is a setting of its own"),
]


@pytest.mark.parametrize("path, value, message", ABSURD, ids=[".".join(map(str, path)) for path, *_ in ABSURD])
def test_absurd_settings(fusion, path, value, message):
    change_config(fusion, *path, value=value)
    with pytest.raises(ValueError, match=message) as raised:
        AutoModel.from_pretrained(fusion)
    assert len(str(raised.value)) < 1000


# each size passes by itself; together they are 1e10 weights and more
HUGE = [
    ([(("gru_hidden_size",), 8192), (("num_gru_layers",), 32)], r"the head has 2.5e\+10 weights, and 1e\+09 at most"),
    (
        [((*BACKBONE, "num_conv_pos_embeddings"), 2**24), ((*BACKBONE, "hidden_size"), 64)],
        r"asks for 3.4e\+10 weights, and 1e\+10 at most are allowed",
    ),
]


@pytest.mark.parametrize("settings, message", HUGE, ids=["head", "encoder"])
def test_sizes_that_are_absurd_together(fusion, settings, message):
    for path, value in settings:
        change_config(fusion, *path, value=value)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(fusion)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024  # kB


def test_large_encoders_are_allowed():
    sizes = {"num_hidden_layers": 48, "hidden_size": 1920, "intermediate_size": 7680}  # XLS-R, two billion weights
    backbone = {"model_type": "wav2vec2", "num_attention_heads": 16, **sizes}
    config = AffectFusionConfig(encoders={"xls_r": {"backbone": backbone}}, branches=[{"source": "xls_r"}])
    with torch.device("meta"):
        assert AffectFusionModel(config).num_parameters() > 2 * 10**9


def test_weights_that_are_missing(student):
    change_weights(student, lambda weights: weights.pop("regressor.output.bias"))
    with pytest.raises(
        ValueError, match=r"1 weights that its configuration asks for are not in it.* regressor\.output\.b"
    ):
        AutoModel.from_pretrained(student)
    model, info = AutoModel.from_pretrained(student, output_loading_info=True)
    assert info["missing_keys"] == {"regressor.output.bias"} and not model.regressor.output.bias.any()


def test_weights_beyond_the_checkpoints_configuration_start_anew_but_not_its_own(student):
    assert AutoModel.from_pretrained(student, emotion_names=["A", "N"]).regressor.emotion_output is not None
    change_weights(student, lambda weights: weights.pop("regressor.output.bias"))
    with pytest.raises(ValueError, match=r"1 weights that its configuration asks for.* regressor\.output\.bias"):
        AutoModel.from_pretrained(student, emotion_names=["A", "N"])


def test_weights_of_other_shapes(student):
    change_weights(student, lambda weights: weights.update({"regressor.output.bias": torch.zeros(7)}))
    message = r"1 weights have other shapes .* regressor\.output\.bias, \(7,\) instead of \(3,\)"
    for kwargs in ({}, {"output_loading_info": True}):
        with pytest.raises(ValueError, match=message):
            AutoModel.from_pretrained(student, **kwargs)
    assert not AutoModel.from_pretrained(student, ignore_mismatched_sizes=True).regressor.output.bias.any()


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers(student, value):
    change_weights(student, lambda weights: weights["regressor.embedding.weight"].view(-1)[5:6].fill_(value))
    with pytest.raises(
        ValueError, match=r"regressor\.embedding\.weight holds NaN or infinite weights in torch\.float32"
    ):
        AutoModel.from_pretrained(student)


def test_large_finite_weights_are_numbers_in_half_precision(student):
    change_weights(student, lambda weights: weights["regressor.embedding.weight"].fill_(6e4))
    assert AutoModel.from_pretrained(student, dtype=torch.float16).dtype == torch.float16


def test_a_shard_that_is_missing(fusion):
    AutoModel.from_pretrained(fusion).save_pretrained(fusion, max_shard_size="2KB")
    (fusion / "model.safetensors").unlink(missing_ok=True)
    next(fusion.glob("model-*.safetensors")).unlink()
    with pytest.raises(OSError, match=r"model-\d+-of-\d+\.safetensors"):
        AutoModel.from_pretrained(fusion)


@pytest.mark.parametrize("change", ["cut", "pickle", "noise", "empty", "long header"])
def test_files_that_are_no_safetensors(student, tmp_path_factory, change):
    file, trace = student / "model.safetensors", tmp_path_factory.mktemp("trap") / "run"
    whole = file.read_bytes()
    file.write_bytes(
        {
            "cut": whole[:-5],
            "pickle": pickle.dumps(Trap(trace)),
            "noise": bytes(range(256)) * 10,
            "empty": b"",
            "long header": (2**62).to_bytes(8, "little") + whole[8:],
        }[change]
    )
    with pytest.raises(ValueError, match="its safetensors, their index or config.json is damaged .*; fetch it anew"):
        AutoModel.from_pretrained(student)
    assert not trace.exists()


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("named_by", ["nothing", "index", "index of a variant"])
def test_a_pickle_is_never_read(student, tmp_path_factory, named_by, weights_only):
    trace = tmp_path_factory.mktemp("trap") / "run"
    (student / "model.safetensors").unlink()
    (student / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(trace)))
    variant = ".fold1" if named_by == "index of a variant" else ""
    if named_by != "nothing":
        index = {"metadata": {}, "weight_map": {"regressor.output.bias": "pytorch_model.bin"}}
        (student / f"model.safetensors.index{variant}.json").write_text(json.dumps(index))
    with pytest.raises(OSError, match="safetensors"):
        AutoModel.from_pretrained(student, weights_only=weights_only, variant=variant.removeprefix(".") or None)
    assert not trace.exists()


INDICES = ["", "{", "[]", "{}", '{"weight_map": 3, "metadata": {}}', '{"weight_map": {"a": 3}, "metadata": {}}']


@pytest.mark.parametrize("index", INDICES)
def test_an_index_that_is_none(student, index):
    (student / "model.safetensors").unlink()
    (student / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match="its safetensors, their index or config.json is damaged"):
        AutoModel.from_pretrained(student)


@pytest.mark.parametrize("sampling_rate", [8000, None])
def test_an_input_of_another_sampling_rate(student, sampling_rate):
    AffectFeatureExtractor().save_pretrained(student)
    file = student / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sampling_rate": sampling_rate}))
    with pytest.raises(ValueError, match="has sampling_rate .*, the model expects 16000 Hz: correct it"):
        pipeline("speech-emotion-regression", model=str(student))
