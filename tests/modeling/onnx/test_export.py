"""The exported file gives what the model gives: any length, any batch, in blocks, in eight bits."""

import hashlib
import json
import re
import runpy
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from speech_affect import AffectFusionConfig, AffectFusionModel, AffectStudentConfig, AffectStudentModel, released
from speech_affect.cli.main import main
from speech_affect.onnx.export import LARGEST_BYTES, build_onnx, export_onnx
from speech_affect.onnx.quantization import SMALLEST_WEIGHT, store_int8
from speech_affect.onnx.session import initial_state, run_session

from ..conftest import TASKS


SMALL = {"conv_channels": 24, "gru_hidden_size": 16, "embedding_size": 12}
FIELDS = ("logits", "embedding", "uncertainty", "emotion_logits", "gender_logits")


def student(**settings) -> AffectStudentModel:
    """Random weights, with statistics as training leaves them, and outputs that differ from clip to clip."""
    torch.manual_seed(0)
    model = AffectStudentModel(AffectStudentConfig(**{**SMALL, **settings})).eval()
    regressor = model.regressor
    [branch_input] = regressor.inputs.values()
    branch_input.frame_mean.normal_(-4, 1)
    branch_input.frame_std.uniform_(1, 3)
    with torch.no_grad():
        for parameter in regressor.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    if regressor.uncertainty_output is not None:
        regressor.set_uncertainty_scale(torch.tensor([0.5, 1.0, 2.0]))
    return model


def session_of(exported: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(exported.SerializeToString(), options)


def run(session, waveforms: np.ndarray, lengths=None, **state) -> dict[str, np.ndarray]:
    lengths = [waveforms.shape[1]] * len(waveforms) if lengths is None else lengths
    return run_session(session, {"input_values": waveforms, "num_samples": np.array(lengths, dtype=np.int64), **state})


def reference(model, waveforms: np.ndarray, lengths=None) -> dict[str, np.ndarray]:
    mask = None
    if lengths is not None:
        mask = (torch.arange(waveforms.shape[1]) < torch.tensor(lengths)[:, None]).long()
    with torch.inference_mode():
        output = model(torch.from_numpy(waveforms), attention_mask=mask)
    return {name: output[name].numpy() for name in FIELDS if name in output}


def noise(batch: int, samples: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((batch, samples)) / 10).astype(np.float32)


def assert_equal(outputs: dict, expected: dict, tolerance: float = 1e-5) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(outputs[name], values, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def model():
    return student(**TASKS)


@pytest.fixture(scope="module")
def session(model):
    return session_of(build_onnx(model))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(400, 24_000), min_size=1, max_size=8))
def test_any_lengths_in_one_batch_equal_the_model(model, session, lengths):
    waveforms = noise(len(lengths), max(lengths))
    outputs = run(session, waveforms, lengths)
    assert_equal(outputs, reference(model, waveforms, lengths))
    assert set(FIELDS) <= set(outputs)
    shortest = int(np.argmin(lengths))
    alone = run(session, waveforms[shortest : shortest + 1, : lengths[shortest]])
    for name in FIELDS:
        np.testing.assert_allclose(outputs[name][shortest], alone[name][0], atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"branch": {"source": "mfb", "conv_kernel_size": 1, "conv_stride": 1}},
        {"branch": {"source": "mfb", "conv_kernel_size": 5, "conv_stride": 3}, "num_gru_layers": 1},
        {"branch": {"source": "mfb", "window_s": 0.032, "hop_s": 0.008, "num_mel_bins": 64}, "num_gru_layers": 3},
        {"branch": {"source": "mfb", "normalization": "running"}},
        {"branch": {"source": "mfb", "window_s": 401 / 16000, "hop_s": 0.01}},
        {"label_range": (0.0, 1.0), "emotion_names": ["a", "b"]},
    ],
    ids=str,
)
def test_every_acoustic_configuration_equals_the_model(settings):
    model = student(**settings)
    session = session_of(build_onnx(model))
    lengths = [4800, 700, 16001]
    waveforms = noise(3, 16001)
    assert_equal(run(session, waveforms, lengths), reference(model, waveforms, lengths))


def test_estimates_stay_within_the_labels(model):
    bold = student()
    with torch.no_grad():
        bold.regressor.output.weight.mul_(1000)
    outputs = run(session_of(build_onnx(bold)), noise(1, 8000))
    assert set(outputs["logits"].ravel()) <= {1.0, 7.0}
    assert_equal(outputs, reference(bold, noise(1, 8000)))


@pytest.fixture(scope="module", params=[None, "running"])
def streamed(request):
    """A model, and its streaming graph."""
    model = student(branch={"normalization": request.param}, **TASKS)
    return model, session_of(build_onnx(model, streaming=True))


# a whole number of strides of 8 frames of 160 samples each; windows of 400 samples
@settings(max_examples=15, deadline=None)
@given(st.integers(1600, 60_000), st.lists(st.integers(1, 12), min_size=1, max_size=60))
def test_blocks_with_state_equal_the_whole(streamed, samples, strides):
    model, streaming_session = streamed
    waveforms = noise(2, samples, seed=samples)
    position, state = 0, initial_state(streaming_session, 2)
    blocks = iter(strides)
    while samples - position >= 400:
        hops = next(blocks, 1000) * 1280
        outputs = run(streaming_session, waveforms[:, position : position + hops + 240], **state)
        state = {name.removeprefix("next_"): v for name, v in outputs.items() if name.startswith("next_")}
        position += hops
    assert_equal(outputs, reference(model, waveforms))
    frames = (samples - 400) // 160 + 1
    assert outputs["next_pooled_count"].tolist() == [[-(-frames // 8)]] * 2


AUDIO = {"input_values": ["batch", "samples"], "num_samples": ["batch"]}
STATE = {
    "context": ["batch", 40, 8],
    "hidden": [2, "batch", 16],
    "pooled_sum": ["batch", 16],
    "pooled_count": ["batch", 1],
}


@pytest.mark.parametrize("int8", [False, True])
def test_the_state_is_inputs_of_the_streaming_graph_alone(model, tmp_path, int8, capfd):
    path = export_onnx(model, tmp_path / "model.onnx", int8=int8)
    values = {"embedding": ["batch", 12], "logits": ["batch", 3], "uncertainty": ["batch", 3]}
    values |= {"emotion_logits": ["batch", 3], "gender_logits": ["batch", 2]}
    following = {f"next_{name}": shape for name, shape in STATE.items()}
    for file, inputs, outputs in (
        (path, AUDIO, values),
        (tmp_path / "model_streaming.onnx", AUDIO | STATE, values | following),
    ):
        graph = onnx.load(file).graph
        # an input with a default is what onnxruntime warns of, and onnxruntime-web refuses
        assert not {value.name for value in graph.input} & {tensor.name for tensor in graph.initializer}
        session = onnxruntime.InferenceSession(file)
        assert {value.name: value.shape for value in session.get_inputs()} == inputs
        assert {value.name: value.shape for value in session.get_outputs()} == outputs
        assert run(session, noise(2, 8000), **initial_state(session, 2))["logits"].shape == (2, 3)
    assert capfd.readouterr().err == ""
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.onnx", "model_streaming.onnx"]


def test_the_state_of_a_running_mean(tmp_path):
    export_onnx(student(branch={"normalization": "running"}), tmp_path / "model.onnx", int8=True)
    plain = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [value.name for value in plain.get_inputs()] == ["input_values", "num_samples"]
    session = onnxruntime.InferenceSession(tmp_path / "model_streaming.onnx")
    shapes = {value.name: (value.shape, value.type) for value in session.get_inputs()}
    assert shapes["mel_sum"] == (["batch", 40], "tensor(double)") and set(shapes) == {*AUDIO, *STATE, "mel_sum"}
    start = initial_state(session, 1)
    assert start["mel_sum"].dtype == np.float64
    outputs = run(session, np.zeros((1, 400 + 7 * 160), np.float32), **start)
    # by hand: eight frames of silence
    np.testing.assert_allclose(outputs["next_mel_sum"], np.full((1, 40), 8 * np.log(1e-7)), rtol=1e-6)


@pytest.mark.parametrize("name", ["model.onnx", "model_streaming.onnx"])
def test_the_file_says_what_it_is(model, tmp_path, name):
    export_onnx(model, tmp_path / "model.onnx")
    exported = onnx.load(tmp_path / name)
    onnx.checker.check_model(exported, full_check=True)
    assert [(opset.domain, opset.version) for opset in exported.opset_import] == [("", 18)]
    assert exported.ir_version <= 10  # that of onnxruntime 1.20
    facts = {entry.key: json.loads(entry.value) for entry in exported.metadata_props}
    assert facts.pop("speech_affect_version")
    digest = hashlib.sha256()
    for weight, values in sorted(model.state_dict().items()):
        digest.update(weight.encode() + values.numpy().tobytes())
    assert facts.pop("weights_sha256") == digest.hexdigest()
    assert facts == {
        "model_type": "speech_affect_student",
        **TASKS,
        "sampling_rate": 16000,
        "label_range": [1.0, 7.0],
        "label_names": ["activation", "valence", "dominance"],
        "shortest_clip": 400,
        "longest_clip": None,
        "stream_window": 400,
        "stream_hop": 1280,
        "frame_hop": 160,
        "precision": "float32",
    }


def test_eight_bits_are_near_and_a_quarter_of_the_size(tmp_path):
    model = student(conv_channels=64, gru_hidden_size=64, embedding_size=64)
    full = export_onnx(model, tmp_path / "model.onnx")
    small = export_onnx(model, tmp_path / "small.onnx", int8=True)
    assert small.stat().st_size < 100_000 < full.stat().st_size / 3
    waveforms = noise(4, 16000)
    outputs = run(session_of(onnx.load(small)), waveforms)
    differences = np.abs(outputs["logits"] - reference(model, waveforms)["logits"])
    assert 0 < differences.max() < 0.05
    facts = {entry.key: json.loads(entry.value) for entry in onnx.load(small).metadata_props}
    assert facts["precision"] == "int8"


def test_every_restored_weight_is_within_half_a_step():
    exported = build_onnx(student(), "int8")
    weights = {
        i.name: numpy_helper.to_array(i)
        for i in exported.graph.initializer
        if len(i.dims) > 1 and np.prod(i.dims) >= SMALLEST_WEIGHT and i.data_type == onnx.TensorProto.FLOAT
    }
    # the convolution's and the first layer's input weights: all others are small here
    assert sorted(weight.shape for weight in weights.values()) == [(1, 48, 24), (24, 40, 9)]
    store_int8(exported)
    stored = {i.name: numpy_helper.to_array(i) for i in exported.graph.initializer}
    for name, weight in weights.items():
        whole, scale = stored[f"{name}.int8"], stored[f"{name}.scale0"]
        assert whole.dtype == np.int8
        assert np.all(np.abs(whole * scale - weight) <= 0.5001 * scale)
        assert np.abs(whole).max(axis=tuple(i for i in range(whole.ndim) if scale.shape[i] == 1)).min() == 127
        assert name not in stored


def test_weights_of_zero_stay_zero(tmp_path):
    model = student()
    with torch.no_grad():
        model.regressor.tc_grus[0].conv.weight.zero_()
    waveforms = noise(1, 8000)
    outputs = run(session_of(onnx.load(export_onnx(model, tmp_path / "zero.onnx", int8=True))), waveforms)
    assert np.isfinite(outputs["logits"]).all()


def test_a_model_is_left_as_it_is():
    model = student(dropout=0.5).train()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    waveforms = noise(1, 8000)
    outputs = run(session_of(build_onnx(model)), waveforms)
    assert model.training
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    assert_equal(outputs, reference(model.eval(), waveforms))


def test_half_precision_is_exported_in_single():
    model = student()
    waveforms = noise(1, 8000)
    outputs = run(session_of(build_onnx(model.to(torch.bfloat16))), waveforms)
    assert_equal(outputs, reference(model.float(), waveforms))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: AffectFusionModel(AffectFusionConfig(branches=[{}, {"normalization": "running"}])),
            "this model has 2 acoustic branches and no encoder, which is not exported; export a model with one",
        ),
        (lambda: student(branch={"source": "mfb_f0"}), "'mfb_f0' follows pitch along the whole clip"),
        (
            lambda: AffectStudentModel(AffectStudentConfig(**SMALL), with_front_end=False),
            "with_front_end=False; attach",
        ),
        (lambda: torch.nn.Linear(2, 2), "a Linear is no model of this package"),
    ],
)
def test_models_that_cannot_be_exported(tmp_path, make, message):
    with pytest.raises(ValueError, match=message):
        export_onnx(make(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    for path, message in (
        (tmp_path / "missing" / "model.onnx", "is no folder; make it first"),
        (tmp_path, "is a folder; name the file to write in it, such as model.onnx"),
        (tmp_path / "exports", r"exports' does not end in \.onnx; name the file to write"),
    ):
        with pytest.raises(ValueError, match=message):
            export_onnx(None, path)


def test_a_model_that_no_file_holds_is_refused(monkeypatch):
    monkeypatch.setattr("speech_affect.onnx.export.LARGEST_BYTES", 1000)
    with pytest.raises(ValueError, match="GB of weights; a file holds"):
        build_onnx(student())
    assert LARGEST_BYTES > 2e9


def test_the_command_writes_beside_the_model(tmp_path, capsys):
    student().save_pretrained(tmp_path)
    (tmp_path / "exports").mkdir()
    for options in ([], ["--int8"], ["-o", str(tmp_path / "other.onnx")], ["--output", str(tmp_path / "exports")]):
        assert main(["export", str(tmp_path), *options]) == 0
    expected = (tmp_path / "model.onnx").read_bytes()
    assert (tmp_path / "other.onnx").read_bytes() == (tmp_path / "exports/model.onnx").read_bytes() == expected
    stems = ("exports/model", "model", "model_int8", "other")
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.onnx*"))
    assert files == sorted(f"{stem}{suffix}.onnx" for stem in stems for suffix in ("", "_streaming"))
    sizes = {line.rsplit(": ", 1)[0]: line.rsplit(": ", 1)[1] for line in capsys.readouterr().out.splitlines()}
    assert set(sizes) == {str(tmp_path / name) for name in files}
    assert sizes[str(tmp_path / "model.onnx")] == f"{len(expected) / 1000:,.0f} kB"


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        export_onnx(student(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command_s_errors_are_one_line(tmp_path, capsys):
    assert main(["export", str(tmp_path / "missing")]) == 1
    assert re.fullmatch("error: '.*missing' is no folder, nor a name on the Hub.*\n", capsys.readouterr().err)
    assert main(["export", "student_nano", "-o", "/proc/model.onnx"]) == 1
    expected = r"error: the folder /proc cannot be written to \(.*\); name another\n"
    assert re.fullmatch(expected, capsys.readouterr().err)


def test_a_model_of_the_package_is_written_here_and_not_into_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "student_nano"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model_streaming.onnx"]
    assert str(released("student_nano")) not in capsys.readouterr().out


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in ("export", "graph"):
        monkeypatch.delitem(sys.modules, f"speech_affect.onnx.{name}")
    with pytest.raises(ImportError, match="pip install 'speech-affect\\[onnx\\]'"):
        runpy.run_module("speech_affect.onnx.export")
    assert main(["export", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("pip install 'speech-affect[onnx]'") == 1
