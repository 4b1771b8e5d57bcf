"""Models with encoders as ONNX: what torch makes of each encoder is the encoder."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import RobertaConfig

from speech_affect import AffectFusionConfig, AffectFusionModel
from speech_affect.cli.main import main
from speech_affect.onnx.export import build_onnx
from speech_affect.onnx.graph import OnnxGraph
from speech_affect.onnx.metadata import OnnxMetadata
from speech_affect.onnx.quantization import store_int8


def fusion(backbone, branches: list[dict], fusion_level: str, **encoder) -> AffectFusionModel:
    torch.manual_seed(0)
    head = {"conv_channels": 16, "gru_hidden_size": 16, "embedding_size": 12}
    encoders = {"encoder": {"backbone": backbone, **encoder}}
    config = AffectFusionConfig(branches=branches, encoders=encoders, fusion_level=fusion_level, **head)
    model = AffectFusionModel(config).eval()
    with torch.no_grad():
        for parameter in model.regressor.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for branch_input in model.regressor.inputs.values():
            branch_input.frame_mean.normal_()
            branch_input.frame_std.uniform_(1, 3)
    return model


def run(exported, samples: np.ndarray, padding: int = 0) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    padded = np.pad(samples, (0, padding))[None]
    values = session.run(None, {"input_values": padded, "num_samples": np.array([len(samples)])})
    return dict(zip((output.name for output in session.get_outputs()), values, strict=True))


MEL = {"source": "mfb"}
STATES = {"source": "encoder", "hidden_state": "weighted_sum", "conv_kernel_size": 3, "conv_stride": 2}


@pytest.mark.parametrize(
    ("family", "branches", "fusion_level", "settings"),
    [
        ("whisper", [MEL, {"source": "encoder", "hidden_state": 1}], "embedding", {"pad_to_window": False}),
        ("whisper", [{"source": "encoder", "hidden_state": "last"}], "embedding", {}),
        # of the 9 frames of energies in 1761 samples the last stands alone beside the encoder's fifth
        ("hubert", [{**MEL, "normalization": "running"}, STATES], "frame", {"do_normalize": True}),
    ],
    ids=["whisper", "whisper-padded", "hubert-frame"],
)
def test_estimates_equal_the_model_at_any_length(tiny_backbone, family, branches, fusion_level, settings):
    backbone = tiny_backbone(family)
    backbone.num_hidden_layers = 2
    if family == "whisper":
        backbone.encoder_layers = 2
    model = fusion(backbone, branches, fusion_level, **settings)
    exported = build_onnx(model)
    generator = np.random.default_rng(0)
    for count in (1600, 1761, 16000, 43_219):
        samples = (generator.standard_normal(count) / 10).astype(np.float32)
        outputs = run(exported, samples, padding=777)
        with torch.inference_mode():
            expected = model(torch.from_numpy(samples)[None])
        for name in ("logits", "embedding"):
            np.testing.assert_allclose(outputs[name], expected[name].numpy(), atol=1e-4)
    metadata = OnnxMetadata.from_strings({entry.key: entry.value for entry in exported.metadata_props})
    assert (metadata.shortest_clip, metadata.longest_clip, metadata.stream_hop) == (1600, 480_000, None)
    assert set(outputs) == {"logits", "embedding"}


def test_what_torch_cannot_export_is_refused(tiny_backbone, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", fail)
    model = fusion(tiny_backbone("whisper"), [{"source": "encoder"}], "embedding")
    with pytest.raises(ValueError, match=r"torch cannot export this encoder \(whisper\) to ONNX: no such operator"):
        build_onnx(model)


def test_an_encoder_that_came_out_different_is_refused(tiny_backbone, monkeypatch):
    def doubled(graph, encoder, readers, clip):
        column = graph.op("Unsqueeze", graph.op("Add", clip, clip), [1])
        return [graph.op("Expand", column, [1, 32, 1]) for _ in readers]

    monkeypatch.setattr("speech_affect.onnx.export.encoder_frames", doubled)
    model = fusion(tiny_backbone("whisper"), [{"source": "encoder"}], "embedding", pad_to_window=False)
    with pytest.raises(ValueError, match="the exported encoder's estimates differ from the model's by"):
        build_onnx(model)


def test_a_graph_within_a_graph_is_not_inlined():
    inner = OnnxGraph()
    values = inner.input("values", "float32", ["n"])
    inner.output("same", values, ["n"])
    model = inner.model("inner", {})
    outer = OnnxGraph()
    [same] = outer.inline(model, [outer.input("values", "float32", ["n"])])
    outer.output("output", same, ["n"])
    session = onnxruntime.InferenceSession(outer.model("outer", {}).SerializeToString())
    assert session.run(None, {"values": np.arange(3, dtype=np.float32)})[0].tolist() == [0, 1, 2]
    model.graph.node[0].attribute.add(name="body", type=5).g.name = "body"
    with pytest.raises(ValueError, match="Identity holds a graph of its own"):
        outer.inline(model, [values])


def test_encoders_in_eight_bits_have_scales_for_inputs_and_outputs(tiny_backbone):
    backbone = tiny_backbone("hubert")
    backbone.num_hidden_layers = 1
    model = fusion(backbone, [{"source": "encoder"}], "embedding")
    with torch.no_grad():  # a channel far louder than the others, as transformers have
        model.front_end.encoders["encoder"].backbone.encoder.layers[0].feed_forward.output_dense.weight[:, 3] *= 1000
    exported = build_onnx(model, "int8")
    whole = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in exported.graph.initializer}
    samples = (np.random.default_rng(0).standard_normal(8000) / 10).astype(np.float32)
    expected = run(exported, samples)["embedding"]
    store_int8(exported)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in exported.graph.initializer}
    of_inputs = [name.removesuffix(".scale1") for name in stored if name.endswith(".scale1")]
    assert len(of_inputs) >= 6  # the four of attention, the two behind it
    for name in of_inputs:
        rows, columns = stored[f"{name}.scale0"], stored[f"{name}.scale1"]
        assert rows.shape == (len(whole[name]), 1) and columns.shape == (1, whole[name].shape[1])
        np.testing.assert_allclose(rows[:, 0], np.sqrt((whole[name].astype(np.float64) ** 2).mean(axis=1)), rtol=1e-5)
        restored = stored[f"{name}.int8"] * rows.astype(np.float64) * columns
        assert (np.abs(restored - whole[name]) <= rows * columns * 0.5001).all()
    assert 0 < np.abs(run(exported, samples)["embedding"] - expected).max() < 0.02


def test_a_model_with_encoders_has_no_streaming_graph(tiny_backbone, tmp_path, capsys, monkeypatch):
    model = fusion(tiny_backbone("whisper"), [{"source": "encoder"}], "embedding", pad_to_window=False)
    with pytest.raises(ValueError, match="a model with encoders has no streaming graph"):
        build_onnx(model, streaming=True)
    model.save_pretrained(tmp_path)
    monkeypatch.setattr("speech_affect.onnx.export.build_onnx", lambda *_, **__: OnnxGraph().model("none", {}))
    assert main(["export", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["model.onnx"]
    assert capsys.readouterr().out.count("model.onnx: ") == 1


def test_models_that_cannot_be_exported(tiny_backbone):
    model = fusion(tiny_backbone("wav2vec2-bert"), [{"source": "encoder"}], "embedding")
    with pytest.raises(ValueError, match="'wav2vec2-bert' are not exported to ONNX; those that are: whisper, hubert"):
        build_onnx(model)
    text = {"backbone": RobertaConfig(num_hidden_layers=1, hidden_size=8, num_attention_heads=1, vocab_size=20)}
    model = AffectFusionModel(AffectFusionConfig(branches=[{"source": "text"}], encoders={"text": text})).eval()
    with pytest.raises(ValueError, match="reads a transcript, which the exported graph does not; export an audio"):
        build_onnx(model)
