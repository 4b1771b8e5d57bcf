"""Which outputs a model has, in which order and on which scale: the same by name on every route, or refused."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModel, pipeline

from speech_affect import AffectFeatureExtractor, AffectStream, AffectStudentConfig, AffectStudentModel
from speech_affect.onnx import OnnxAffect
from speech_affect.onnx.export import export_onnx

from .conftest import SIZES, TASKS, talk


VALUES = {"activation": 0.25, "valence": 0.7, "dominance": 0.5}


@pytest.fixture(params=[("valence", "activation"), ("dominance", "activation", "valence"), ("valence",)], ids="-".join)
def folder(request, tmp_path):
    """A checkpoint on a scale of 0 to 1 that says `VALUES` of any clip, whatever the order of its outputs."""
    names = dict(enumerate(request.param))
    model = AffectStudentModel(AffectStudentConfig(**SIZES, id2label=names, label_range=[0, 1])).eval()
    model.regressor.output.weight.detach().zero_()
    model.regressor.output.bias.detach().copy_(torch.tensor([2 * VALUES[name] - 1 for name in names.values()]))
    model.save_pretrained(tmp_path)
    AffectFeatureExtractor().save_pretrained(tmp_path)
    return tmp_path


def named(result: dict) -> dict:
    return {name: pytest.approx(value, abs=1e-6) for name, value in result.items() if name in VALUES}


def test_every_route_reads_them_by_name(folder):
    clip = talk(2.5)
    estimate = pipeline("speech-emotion-regression", model=folder)
    config = estimate.model.config
    names = list(config.id2label.values())
    expected = {name: VALUES[name] for name in names}
    assert named(estimate(clip)) == expected
    assert named(estimate(clip, scale="unit")) == expected
    assert named(estimate(clip, scale="signed")) == {name: 2 * value - 1 for name, value in expected.items()}
    stock = pipeline("audio-classification", model=folder)(clip, function_to_apply="none", top_k=None)
    assert {row["label"]: pytest.approx(row["score"], abs=1e-6) for row in stock} == expected
    stream = AffectStream(estimate.model)
    points = [*stream.push(clip).points]
    assert dict(zip(names, points[0].logits.tolist(), strict=True)) == pytest.approx(expected, abs=1e-6)
    onnx = OnnxAffect(export_onnx(estimate.model, folder / "model.onnx"))
    assert named(onnx(clip)) == expected and onnx.metadata.label_range == (0, 1)
    labels = torch.tensor([[0.1, 0.9, 0.5], [0.3, 0.8, 0.6]])[:, : len(names)]
    parts = estimate.model(torch.randn(2, 8000) / 10, labels=labels).loss_parts
    assert list(parts) == names


def test_another_range_is_that_of_every_output(folder):
    model = AutoModel.from_pretrained(folder, label_range=[1, 5])
    names = list(model.config.id2label.values())
    expected = {name: 1 + 4 * VALUES[name] for name in names}
    estimate = pipeline("speech-emotion-regression", model=model, feature_extractor=AffectFeatureExtractor())
    assert named(estimate(talk(1.0))) == expected
    model.config.label_range = (-1.0, 1.0)
    assert named(estimate(talk(1.0))) == {name: 2 * VALUES[name] - 1 for name in names}
    model.save_pretrained(folder / "again")
    assert json.loads((folder / "again/config.json").read_text())["label_range"] == [-1.0, 1.0]


@pytest.fixture
def trained(tmp_path):
    """A checkpoint with every head."""
    model = AffectStudentModel(AffectStudentConfig(**SIZES, **TASKS)).eval()
    model.save_pretrained(tmp_path)
    return tmp_path


OTHERS = {
    "id2label": {0: "valence", 1: "activation", 2: "dominance"},
    "emotion_names": ["H", "A", "N"],
    "gender_names": ["Female", "Other"],
}


@pytest.mark.parametrize("setting", OTHERS)
def test_trained_weights_keep_their_names(trained, setting):
    others, message = {setting: OTHERS[setting]}, f"{setting} is .*, but the weights were trained for .*in this order"
    for options in (others, {"config": AutoConfig.from_pretrained(trained, **others)}):
        for more in ({}, {"ignore_mismatched_sizes": True}, {"output_loading_info": True}):
            with pytest.raises(ValueError, match=message):
                AutoModel.from_pretrained(trained, **options, **more)


@pytest.mark.parametrize("setting", OTHERS)
def test_names_that_change_after_building_are_found(trained, setting):
    model = AutoModel.from_pretrained(trained)
    stream = AffectStream(model)
    setattr(model.config, setting, OTHERS[setting])
    message = f"config.{setting} is .*, but the model was built with .*set it back"
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(1, 8000))
    with pytest.raises(ValueError, match=message):
        stream.push(talk(2.0))
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(trained / "again")
    with pytest.raises(ValueError, match=message):
        export_onnx(model, trained / "model.onnx")
    assert not (trained / "again").exists()


def test_sizes_that_change_after_building_are_not_saved(trained):
    model = AutoModel.from_pretrained(trained)
    model.config.embedding_size = 8
    with pytest.raises(ValueError, match="config.embedding_size is 8, but the model was built with 16"):
        model.save_pretrained(trained / "again")


def test_another_normalisation_is_another_model(trained, tmp_path):
    model = AutoModel.from_pretrained(trained)
    model.config.branch.normalization = "running"
    for use in (model.save_pretrained, lambda folder: export_onnx(model, tmp_path / "model.onnx")):
        with pytest.raises(ValueError, match="'mfb-running'.*, but the model was built with .*'mfb'"):
            use(tmp_path / "again")
    # statistics of raw frames do not fit
    _, info = AutoModel.from_pretrained(trained, branch={"normalization": "running"}, output_loading_info=True)
    statistics = {f"regressor.inputs.mfb-running.frame_{name}" for name in ("mean", "std")}
    assert info["missing_keys"] == statistics


def test_a_new_head_may_have_other_names(trained):
    two = {0: "valence", 1: "dominance"}
    with pytest.raises(ValueError, match="other shapes than the configuration asks for"):
        AutoModel.from_pretrained(trained, id2label=two, ccc_weights=None)
    model = AutoModel.from_pretrained(trained, id2label=two, ccc_weights=None, ignore_mismatched_sizes=True)
    assert model(torch.randn(1, 8000) / 10).logits.shape == (1, 2)
    assert model.regressor.output.weight.abs().sum() > 0 and not model.regressor.output.bias.any()
    assert torch.equal(model.regressor.uncertainty_scale, torch.ones(2))
