"""Encoders that a run makes: their loss by hand, where they start, what is kept, how they resume, and a whole run."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import yaml
from transformers import AutoModel, BertConfig, BertModel

from speech_affect import AffectFeatureExtractor
from speech_affect.onnx import OnnxAffect
from speech_affect.onnx.export import export_onnx
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.hub.push import Target, push_checkpoint
from speech_affect_training.jobs import distilled_encoder
from speech_affect_training.jobs.distilled_encoder import EncoderTrainer, StatePredictor, frame_losses
from speech_affect_training.reports.card_text import branch_text
from speech_affect_training.run import main


EQUAL, OPPOSITE, ORTHOGONAL = (math.log(1 + math.exp(-cosine)) for cosine in (1, -1, 0))


# --- the loss


def test_the_loss_of_a_frame():
    """L1 is the mean over the width; cosines are 0.6, -1, 1 and, of nothing, 0."""
    predicted = torch.tensor([[[3.0, 4.0], [1.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]]])
    target = torch.tensor([[[3.0, 0.0], [-1.0, 0.0]], [[0.0, 2.0], [0.0, 4.0]]])
    expected = torch.tensor([[2 + math.log(1 + math.exp(-0.6)), 1 + OPPOSITE], [EQUAL, 2 + ORTHOGONAL]])
    torch.testing.assert_close(frame_losses(predicted, target, 1.0), expected)
    distances = torch.tensor([[2.0, 1.0], [0.0, 2.0]])
    torch.testing.assert_close(frame_losses(predicted, target, 0.0), distances)
    torch.testing.assert_close(frame_losses(predicted, target, 0.5), (expected + distances) / 2)


def stub(hidden: torch.Tensor, mask: torch.Tensor):
    """A front end of an encoder with this output."""
    backbone = SimpleNamespace(config=SimpleNamespace(hidden_size=hidden.shape[-1]))
    front_end = lambda **audio: ({"small": hidden}, {"small": mask})  # noqa: E731
    front_end.encoders = {"small": SimpleNamespace(backbone=backbone)}
    return front_end


def test_the_loss_of_a_batch():
    """Two clips of two frames and one; hidden state `b` has but one frame of each, and does not vary."""
    hidden = torch.tensor([[[3.0, 4.0], [1.0, 0.0]], [[0.0, 2.0], [1e4, 1e4]]])
    mask = torch.tensor([[True, True], [True, False]])
    statistics = {
        "a": (torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0])),
        "b": (torch.zeros(1), torch.zeros(1)),
    }
    model = StatePredictor(stub(hidden, mask), statistics, 1.0)
    with torch.no_grad():
        for name, weight in (("a", torch.eye(2)), ("b", torch.tensor([[1.0, 0.0]]))):
            model.heads[name].weight.copy_(weight)
            model.heads[name].bias.zero_()
    # standardised (3, 0), (-1, 0) and (0, 2)
    targets = {
        "a": torch.tensor([[[7.0, 0.0], [-1.0, 0.0]], [[1.0, 2.0], [1e4, -1e4]]]),
        "b": torch.tensor([[[1.0]], [[2.0]]]),
    }
    masks = {"a": mask, "b": torch.ones(2, 1, dtype=torch.bool)}
    of_a = (2 + math.log(1 + math.exp(-0.6)) + 1 + OPPOSITE + EQUAL) / 3
    of_b = (2 + EQUAL + 2 + ORTHOGONAL) / 2
    loss = model(torch.zeros(2, 8), torch.ones(2, 8), targets, masks)
    torch.testing.assert_close(loss, torch.tensor((of_a + of_b) / 2))
    torch.testing.assert_close(loss, torch.tensor(2.0956), atol=1e-4, rtol=0)


# --- where it starts, what it hears


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Sources and audio."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def make(tuned_jobs, tmp_path, shared):
    """Makes an encoder."""

    def made(*arguments, folder="a", **settings):
        return tuned_jobs.make_encoder(tmp_path / folder, *arguments, shared=shared, **settings)

    return made


def origin(folder) -> dict:
    return json.loads((folder / "distillation.json").read_text())


def backbones(folder, source) -> list[dict[str, torch.Tensor]]:
    """The weights of an encoder and of its source, as the library loads them."""
    encoders = {"small": {"id": str(folder)}, "source": {"id": str(source)}}
    library = EncoderLibrary(encoders, [{"source": name} for name in encoders], None)
    return [library.backbone(name).state_dict() for name in encoders]


def test_weights_of_the_same_shape_are_the_sources(make, shared):
    folder = make(steps=0, config={"encoder_layers": 2})
    small, source = backbones(folder, shared / "whisper")
    assert origin(folder)["copied"] == list(small)
    assert {name.split(".")[1] for name in small if name.startswith("layers")} == {"0", "1"}
    for name, values in small.items():
        torch.testing.assert_close(values, source[name], atol=0, rtol=0)
    assert json.loads((folder / "training_history.json").read_text()) == []
    assert "its weights are new, and nothing was learnt" in (folder / "README.md").read_text()


# two layers, each a convolution and a norm; the latter has a bias, and the former none
CONVOLUTIONS = 6


def test_a_narrower_encoder_of_raw_audio_has_the_sources_convolutions_and_the_rest_anew(make, shared):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
    folder = make(steps=2, distilled_from="wav2vec2", hidden_states=[0, "last"], config=sizes)
    copied = origin(folder)["copied"]
    convolutions = {name for name in copied if name.startswith("feature_extractor.")}
    assert len(convolutions) == CONVOLUTIONS and set(copied) - convolutions == {
        "feature_projection.layer_norm.weight",
        "feature_projection.layer_norm.bias",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original0",  # the lengths of its vectors
    }
    small, source = backbones(folder, shared / "wav2vec2")
    assert set(copied) < set(small) and small["encoder.layers.0.attention.q_proj.weight"].shape == (8, 8)
    # the first of two updates has the learning rate 0, the second 0.01
    for name in copied:
        assert 0 < (small[name] - source[name]).abs().max() <= 0.0102


def test_clips_of_the_corpus_are_not_heard(make):
    """Whatever is done with them: one may be a test clip of a fold."""
    hours = [origin(make(steps=1, clips=clips, folder=str(len(clips))))["hours"] for clips in (range(0), range(4))]
    assert hours[0] - hours[1] == pytest.approx(sum(8000 + 137 * index for index in range(4)) / 16000 / 3600)
    with pytest.raises(ValueError, match="'small': unlabelled_dir has no speech that is no clip of the corpus"):
        make(clips=range(24), folder="none")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"hidden_states": [9]}, "encoder 'small': .*hidden.state.* 9"),
        ({"config": {"d_modell": 8}}, "encoder 'small': config has an unknown key 'd_modell'; did you mean 'd_model'"),
        ({"config": {"d_model": "wide"}}, "encoder 'small': config .* is not allowed: .*d_model"),
        ({"config": {"d_model": 9, "encoder_attention_heads": 2}}, "encoder 'small': .*num_heads"),
        (
            {"distilled_from": "wavlm", "config": {"conv_stride": [20, 8]}},
            "encoder 'small': its frames are 160 samples apart, those of its source 320; give",
        ),
        ({"distilled_from": "bert"}, "encoder 'small': distilled_from 'bert' reads text; name an encoder of speech"),
    ],
)
def test_what_cannot_be_made_is_refused(make, shared, monkeypatch, tuned_jobs, settings, message):
    if settings.get("distilled_from") == "bert":
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        BertModel(BertConfig(vocab_size=9, **sizes)).save_pretrained(shared / "bert")
        monkeypatch.setattr(tuned_jobs, "write_encoders", lambda folder: {"bert": {"id": str(folder / "bert")}})
        settings = {**settings, "config": {}, "hidden_states": [1]}
    with pytest.raises(ValueError, match=message):
        make(steps=0, **settings)


def test_weights_are_not_sharded(make, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="'small': it is made in this run, which FSDP does not shard: give training/"):
        make(steps=0)


# --- how it learns


def losses(folder) -> list[float]:
    """The loss at each update."""
    return [entry["loss"] for entry in json.loads((folder / "training_history.json").read_text()) if "loss" in entry]


def test_it_learns_and_is_made_once(undisturbed, make, tuned_jobs, shared, monkeypatch):
    fallen = losses(undisturbed)
    assert len(fallen) == 9 and np.mean(fallen[-3:]) < 0.95 * np.mean(fallen[:3])
    assert not any((undisturbed.parents[2] / "jobs").iterdir())
    monkeypatch.setattr(EncoderTrainer, "training_step", None)
    output = undisturbed.parents[2]
    assert tuned_jobs.make_encoder(output, *FEW, shared=shared, steps=9) == undisturbed
    for changed in ({"steps": 8}, {"cosine_weight": 2.0}, {"hidden_states": [3]}, {"clips": range(1)}):
        with pytest.raises(TypeError):
            tuned_jobs.make_encoder(output, *FEW, shared=shared, **{"steps": 9, **changed})


# checkpoints after updates 2, 4, ...
FEW = ("--per_device_train_batch_size", "4", "--eval_strategy", "steps", "--eval_steps", "2")
FEW += ("--save_strategy", "steps", "--save_steps", "2")


@pytest.fixture(scope="module")
def undisturbed(tuned_jobs, tmp_path_factory, shared):
    """An encoder that has made nine updates."""
    return tuned_jobs.make_encoder(tmp_path_factory.mktemp("undisturbed"), *FEW, shared=shared, steps=9)


@pytest.mark.parametrize(
    "owner, name, number, steps_left",
    [
        (EncoderTrainer, "training_step", 8, 3),
        (distilled_encoder, "_save_backbone", 1, 0),
    ],
    ids=["learning", "its end"],
)
def test_an_interrupted_encoder_ends_the_same(
    undisturbed, make, monkeypatch, owner, name, number, steps_left, interrupt
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, owner, name, number)
        make(*FEW, steps=9)
    with monkeypatch.context() as patch:
        steps = interrupt(patch, EncoderTrainer, "training_step", 0)
        folder = make(*FEW, steps=9)
    assert len(steps) == steps_left and losses(folder) == losses(undisturbed)
    for file in ("model.safetensors", "config.json", "distillation.json", "README.md"):
        assert (folder / file).read_bytes() == (undisturbed / file).read_bytes()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


# --- a whole run


def test_a_card_says_that_nothing_was_learnt():
    origin = {"id": "a/b", "parameters": 2_220_000, "steps": 0}
    branch = {"source": "new", "hidden_state": "last", "text": False}
    text = branch_text(branch, {"new": {"id": "new-1", "distilled_from": origin}}, {})
    nothing = "(2.22 M parameters in the manner of `a/b`, which it learnt nothing from), kept frozen"
    assert text == f"the last hidden state of `new-1` {nothing}"


@pytest.mark.usefixtures("figures_are_empty")
def test_a_run_makes_encoders_trains_them_and_says_so(tiny_corpus, tiny_encoder, tuned_jobs, hub, tmp_path):
    speech = tmp_path / "speech"
    speech.mkdir()
    for index in range(4):
        noise = np.random.default_rng(index).standard_normal(9000 + 800 * index)
        soundfile.write(speech / f"{index}.wav", 0.1 * noise, 16000)
    small = {"distilled_from": "whisper", "hidden_states": [1, 2], "config": tuned_jobs.NARROW}
    tasks = {"role": "teacher", "emotions": "all", "gender": True, "auxiliary": {"speaker": {"weight": 0.1}}}
    fast = {"learning_rate": 1e-2, "convolutions": True}
    settings = {
        "encoders": {
            "whisper": {"id": str(tiny_encoder), "pad_to_window": False},
            "small": {**small, "training": {"max_steps": 2}},
        },
        "systems": {
            "encoder_teacher": {**tasks, "branches": ["mfb", {"source": "whisper", "hidden_state": 2}]},
            "encoder_kd": {**tasks, "branches": ["mfb", {"source": "small"}], "train_encoders": {"small": fast}},
        },
        "head": {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8},
        **{"num_train_epochs": 1, "bootstrap_samples": 20, "job_workers": 1, "disable_tqdm": True},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    given = ["--recipe", tmp_path / "tiny.yaml", "--data_dir", tiny_corpus, "--unlabelled_dir", speech]
    given += ["--output_dir", tmp_path / "out", "--cache_dir", tmp_path / "cache", "--corpus_facts", "msp_podcast"]
    results = main([str(argument) for argument in given])
    assert [system["name"] for system in results["systems"]] == list(settings["systems"])
    origins = {name: encoder.get("distilled_from", {}).get("steps") for name, encoder in results["encoders"].items()}
    assert origins == {"whisper": None, "small": 2}
    cards = {name: (tmp_path / "out" / name / "README.md").read_text() for name in settings["systems"]}
    name = results["encoders"]["small"]["id"]
    size = results["encoders"]["small"]["distilled_from"]["parameters"] / 1e6
    source = results["encoders"]["whisper"]["id"]
    assert (
        f"the last hidden state of `{name}` ({size:.2f} M parameters, distilled from `{source}`: it learnt to predict "
        "its hidden states 1 and 2 on 0.0 h of unlabelled speech, 2 updates), all layers trained"
        in cards["encoder_kd"]
    )
    assert f"**Encoder** `{source}` (of the distillation; not in this folder)" in cards["encoder_kd"]
    assert "distil" not in cards["encoder_teacher"].replace("knowledge-distillation", "").replace("Distillation", "")
    wave = (np.sin(np.arange(24_000) / 20) * np.linspace(0, 0.5, 24_000)).astype(np.float32)
    inputs = AffectFeatureExtractor()(wave, return_tensors="pt")
    push_checkpoint(tmp_path / "out" / "encoder_kd", Target("alice/kd"))
    models = [AutoModel.from_pretrained(place).eval() for place in (tmp_path / "out" / "encoder_kd", "alice/kd")]
    with torch.inference_mode():
        values = [model(**inputs).logits[0].tolist() for model in models]
    assert values[1] == values[0]
    estimate = OnnxAffect(export_onnx(models[0], tmp_path / "kd.onnx"))(wave)
    assert [estimate[name] for name in ("activation", "valence", "dominance")] == pytest.approx(values[0], abs=1e-3)
