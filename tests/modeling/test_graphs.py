"""`torch.export`, transformers' exporters and `torch.compile(fullgraph=True)`: one graph for any batch and length."""

import pytest
import torch
from torch import nn
from torch.export import Dim
from transformers import BertConfig
from transformers.exporters import DynamoConfig, DynamoExporter, ExportedModel, OnnxConfig, OnnxExporter

from speech_affect import AffectFusionConfig, AffectFusionModel
from speech_affect.regressor import GRU

from .conftest import SIZES, SMALL, TASKS, assert_same_output


SHAPES = [(1, 40_001), (4, 9_001)]  # others than that of the example


def batch_of(clips: int, samples: int, is_padded: bool = True) -> dict[str, torch.Tensor]:
    """Noise; the second of the clips is shorter, the third is padded on the left."""
    generator = torch.Generator().manual_seed(samples)
    values = torch.randn(clips, samples, generator=generator) / 10
    mask = torch.ones(clips, samples, dtype=torch.long)
    mask[1:2, samples // 2 :] = 0
    mask[2:3, : samples // 3] = 0
    return {"input_values": values, "attention_mask": mask} if is_padded else {"input_values": values}


def exported(model, is_padded: bool = True, strict: bool = False, longest: int | None = None):
    example = batch_of(2, 16_000, is_padded)
    shape = {0: Dim("batch", min=1), 1: Dim("samples", min=4_000, max=longest) if longest else Dim.AUTO}
    with torch.no_grad():
        return torch.export.export(model, (), example, dynamic_shapes=dict.fromkeys(example, shape), strict=strict)


@pytest.fixture
def everything(tiny_backbone):
    """Mel energies and three encoders of a layer each, on the grid of the slowest."""
    whisper, wav2vec2 = tiny_backbone("whisper"), tiny_backbone("wav2vec2")
    whisper.encoder_layers = wav2vec2.num_hidden_layers = 1
    encoders = {
        "wav2vec2": {"backbone": wav2vec2, "do_normalize": True},
        "cut": {"backbone": whisper, "pad_to_window": False},
        "whole": {"backbone": whisper, "frozen": False},
    }
    states = {"wav2vec2": "weighted_sum", "cut": 1, "whole": "last"}
    branches = [{"source": "mfb", "normalization": "running"}]
    branches += [{"source": name, "hidden_state": state} for name, state in states.items()]
    settings = {"encoders": encoders, "branches": branches, "fusion_level": "frame", "num_gru_layers": 1}
    return AffectFusionModel(AffectFusionConfig(**SIZES, **TASKS, **settings)).eval()


@torch.no_grad()
def test_an_exported_student_takes_any_batch_and_length(make_model):
    model = make_model("student_f0_running", **TASKS)
    program = exported(model, strict=True, longest=100_000_000).module()
    for shape in SHAPES:
        assert_same_output(program, model, batch_of(*shape), atol=1e-5)
    short = batch_of(2, 16_000)
    short["attention_mask"][1, 399:] = 0  # less than a frame
    logits = program(**short).logits
    assert torch.isfinite(logits[0]).all() and torch.isnan(logits[1]).all()


@torch.no_grad()
def test_an_exported_fusion_takes_any_batch_and_length_up_to_a_window(everything):
    program = exported(everything).module()
    for shape in SHAPES:
        assert_same_output(program, everything, batch_of(*shape), atol=1e-5)
    with pytest.raises(AssertionError, match="480000"):
        program(**batch_of(1, 480_001))
    with pytest.raises(ValueError, match="'wav2vec2' cannot be exported so: it takes clips of up to 30 s"):
        torch.export.export(everything, (), batch_of(1, 480_001))


@torch.no_grad()
def test_compiled_without_a_full_graph_longer_audio_is_right(make_model):
    model, long = make_model("weighted_sum", num_gru_layers=1), batch_of(2, 482_000)
    assert_same_output(torch.compile(model, backend="eager", dynamic=True), model, long, atol=1e-5)
    with pytest.raises(RuntimeError, match="clips of over 30 s"):
        torch.compile(model, backend="eager", fullgraph=True)(**long)


def test_encoders_that_padding_changes_take_clips_of_one_length(tiny_backbone):
    encoder = {"backbone": tiny_backbone("wav2vec2-group"), "do_normalize": True}
    settings = {**SIZES, "num_gru_layers": 1, "encoders": {"ssl": encoder}, "branches": [{"source": "ssl"}]}
    model = AffectFusionModel(AffectFusionConfig(**settings)).eval()
    with pytest.raises(ValueError, match="'wav2vec2' cannot be exported so: padding changes its frames; give clips"):
        exported(model)
    program = exported(model, is_padded=False).module()
    assert_same_output(program, model, batch_of(3, 9_001, is_padded=False), atol=1e-5)


def test_features_that_torch_does_not_compute_are_refused(tiny_backbone):
    encoders = {"bert": {"backbone": tiny_backbone("wav2vec2-bert")}}
    model = AffectFusionModel(AffectFusionConfig(**SIZES, encoders=encoders, branches=[{"source": "bert"}])).eval()
    with pytest.raises(ValueError, match="'wav2vec2-bert' cannot be exported so: its features are computed outside"):
        exported(model)


@torch.no_grad()
def test_transcripts():
    backbone = BertConfig(**SMALL, vocab_size=40, max_position_embeddings=64)
    settings = {
        **SIZES,
        "num_gru_layers": 1,
        "encoders": {"text": {"backbone": backbone}},
        "branches": [{"source": "text"}],
    }
    model = AffectFusionModel(AffectFusionConfig(**settings)).eval()

    def tokens(texts, length):
        ids = torch.arange(texts * length).reshape(texts, length) % 39 + 1
        mask = torch.ones_like(ids)
        mask[1:, length // 2 :] = 0
        return {"input_ids": ids, "text_attention_mask": mask}

    shapes = {name: {0: Dim.AUTO, 1: Dim.AUTO} for name in tokens(2, 9)}
    program = torch.export.export(model, (), tokens(2, 9), dynamic_shapes=shapes).module()
    for shape in ((1, 64), (3, 17)):
        assert_same_output(program, model, tokens(*shape), atol=1e-5)


def test_the_exporters_of_transformers(make_model, tmp_path):
    model = make_model("student_running", **TASKS, num_gru_layers=1)
    for exporter, settings in ((DynamoExporter(), DynamoConfig), (OnnxExporter(), OnnxConfig)):
        folder = tmp_path / settings.__name__
        exporter.export(model, batch_of(2, 16_000), settings(dynamic=True)).save_pretrained(folder)
        program = ExportedModel.from_pretrained(folder, trust_remote_code=True)
        for shape in SHAPES:
            assert_same_output(program, model, batch_of(*shape), atol=1e-5)


def test_a_fusion_compiled_as_one_graph(everything):
    graphs = []

    def count(graph: torch.fx.GraphModule, inputs: list):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()  # of what other tests have compiled, or could not
    compiled = torch.compile(everything, backend=count, fullgraph=True, dynamic=True)
    for shape in ((2, 16_000), (4, 9_001)):  # a batch of one is another graph
        assert_same_output(compiled, everything, batch_of(*shape), atol=1e-5)
    assert len(graphs) == 1


def test_training_compiled_as_one_graph(make_model):
    model = make_model("student", num_gru_layers=1, dropout=0.0, mask_time_prob=0.0, mask_feature_prob=0.0).train()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=True)
    gradients = []
    for each in (compiled, model):
        model.zero_grad()
        each(**batch_of(3, 9_001), labels=torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 1, 2]])).loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    assert all(values.abs().sum() > 0 for values in gradients[1].values())
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=0)


def test_the_gru_is_that_of_torch():
    networks, outputs = [], []
    for build in (nn.GRU, lambda *sizes, **settings: GRU("GRU", *sizes, **settings)):
        torch.manual_seed(0)
        network = build(5, 7, 2, batch_first=True, dropout=0.3)
        sequence, start = torch.randn(3, 11, 5), torch.randn(2, 3, 7)
        outputs.append([*network(sequence), *network(sequence, start)])
        networks.append(dict(network.named_parameters()))
    torch.testing.assert_close(networks[1], networks[0], atol=0, rtol=0)
    torch.testing.assert_close(outputs[1], outputs[0], atol=0, rtol=0)
