"""Finished models from raw audio, against what their repositories' own usage gives, worked out here."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModel,
    BertConfig,
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    pipeline,
)

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectProcessor,
    AffectStudentConfig,
    AffectStudentModel,
)
from speech_affect.audio import load_waveform
from speech_affect_training.encoders.finished_model import load_finished
from speech_affect_training.settings.finished import CheckpointSpec


def load(folder, **settings):
    return load_finished(CheckpointSpec("peer", "checkpoint", str(folder), **settings), None)


@pytest.fixture
def audio(write_clip):
    return [write_clip("a", 0.3), write_clip("b", 0.7)]


@pytest.fixture
def changed(tmp_path):
    """Copies a folder with other settings in its configuration."""

    def copy(folder, **settings):
        shutil.copytree(folder, tmp_path / "changed")
        path = tmp_path / "changed" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
        return tmp_path / "changed"

    return copy


def part(weights: dict, prefix: str) -> dict:
    """The weights of an encoder by the names that they have today."""
    new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    own = {name.removeprefix(prefix): values for name, values in weights.items() if name.startswith(prefix)}
    return {".".join(new.get(word, word) for word in name.split(".")): values for name, values in own.items()}


@torch.no_grad()
def test_wav2vec2_with_a_regression_head(audeering_like, audio):
    weights = load_file(audeering_like / "model.safetensors")
    encoder = Wav2Vec2Model(Wav2Vec2Config.from_pretrained(audeering_like)).eval()
    encoder.load_state_dict(part(weights, "wav2vec2."))
    expected = []
    for clip in audio:
        samples = load_waveform(clip).astype(np.float64)
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        pooled = encoder(torch.from_numpy(samples).float()[None]).last_hidden_state[0].numpy().mean(axis=0)
        dense, out = (
            (weights[f"classifier.{name}.weight"].numpy(), weights[f"classifier.{name}.bias"].numpy())
            for name in ("dense", "out_proj")
        )
        expected.append(out[0] @ np.tanh(dense[0] @ pooled + dense[1]) + out[1])
    model = load(audeering_like)
    assert model.outputs == ["activation", "dominance", "valence"] and model.output_range == (0, 1)
    assert model.parameters == sum(values.numel() for values in weights.values())
    values = model.estimate(audio, [None, None])
    assert values.shape == (2, 1, 3) and np.ptp(values[:, 0], axis=0).min() > 1e-4
    np.testing.assert_allclose(values[:, 0], expected, atol=2e-6)
    # one by one: a longer clip beside it pads nothing
    np.testing.assert_array_equal(model.estimate(audio[:1], [None])[0], values[0])


@torch.no_grad()
def test_wavlm_by_the_code_of_its_repository(odyssey_like, audio):
    weights = load_file(odyssey_like / "model.safetensors")
    encoder = WavLMModel(WavLMConfig(**json.loads((odyssey_like / "config.json").read_text())["ssl"])).eval()
    encoder.load_state_dict(part(weights, "ssl_model."))

    def layer(name, x):
        return x @ weights[f"{name}.weight"].double().T + weights[f"{name}.bias"].double()

    expected = []
    for clip in audio:
        samples = (load_waveform(clip) + 0.0001) / (0.08 + 1e-6)
        states = encoder(torch.from_numpy(samples).float()[None]).last_hidden_state[0].double()
        scores = layer("pool_model.sap_linear", states).tanh() @ weights["pool_model.attention"].double()
        shares = scores.softmax(dim=0)
        mean = (shares * states).sum(dim=0)
        deviation = ((shares * (states - mean) ** 2).sum(dim=0)).clamp(min=1e-5).sqrt()
        hidden = layer("ser_model.fc.0.0", torch.cat([mean, deviation]))
        hidden = (hidden - hidden.mean()) / (hidden.var(correction=0) + 1e-5).sqrt()
        hidden = hidden * weights["ser_model.fc.0.1.weight"] + weights["ser_model.fc.0.1.bias"]
        expected.append(layer("ser_model.out.0", hidden.relu()).numpy())
    model = load(odyssey_like, output_range=[0, 1], trust_remote_code=True)
    assert model.outputs == ["activation", "dominance", "valence"]
    np.testing.assert_allclose(model.estimate(audio, [None, None])[:, 0], expected, atol=1e-5)


@pytest.fixture(scope="module")
def own_checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("own") / "small"
    names = {0: "activation", 1: "dominance"}
    sizes = {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8, "ccc_weights": (1.0, 1.0)}
    config = AffectStudentConfig(id2label=names, label_range=(1, 5), predict_uncertainty=True, **sizes)
    AffectStudentModel(config).save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)
    return folder


def test_a_checkpoint_of_ours_is_what_the_pipeline_says(own_checkpoint, tmp_path):
    audio = [{"bytes": None, "path": str(tmp_path / f"{seconds}.wav")} for seconds in (0.8, 1.5)]
    for clip in audio:  # in noise the pipeline would find no speech
        times = np.arange(16000 * float(clip["path"].rsplit("/")[-1][:3])) / 16000
        soundfile.write(clip["path"], 0.3 * np.sin(1500 * times) * np.sin(9 * times) ** 2, 16000)
    model = load(own_checkpoint)
    assert model.outputs == ["activation", "dominance"] and model.output_range == (1, 5)
    assert model.parameters == AutoModel.from_pretrained(own_checkpoint).num_parameters()
    values = model.estimate(audio, [None, None])
    estimated = pipeline("speech-emotion-regression", model=str(own_checkpoint))([clip["path"] for clip in audio])
    expected = [[[one[d], one["uncertainty"][d]] for d in model.outputs] for one in estimated]
    np.testing.assert_allclose(values, np.swapaxes(expected, 1, 2), atol=1e-6)
    with pytest.raises(ValueError, match="has outputs, which small has in its own configuration; leave it out"):
        load(own_checkpoint, outputs=["valence", "dominance"])


def test_a_checkpoint_of_ours_that_reads_the_transcript(tmp_path, audio):
    words = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "no", "yes"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(4)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    encoders = {"text": {"backbone": BertConfig(**sizes, vocab_size=4, max_position_embeddings=8)}}
    config = AffectFusionConfig(branches=[{"source": "mfb"}, {"source": "text"}], encoders=encoders)
    model = AffectFusionModel(config).eval()
    model.save_pretrained(tmp_path / "both")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.model_max_length = 8
    processor = AffectProcessor(AffectFeatureExtractor(), tokenizer)
    processor.save_pretrained(tmp_path / "both")
    found, texts = load(tmp_path / "both"), ["yes no yes", "no " * 30]
    with torch.no_grad():
        inputs = processor(audio=[clip["path"] for clip in audio], text=["yes no yes", "no " * 8], return_tensors="pt")
        expected = model(**inputs).logits.numpy()
    assert found.reads_text
    np.testing.assert_allclose(found.estimate(audio, texts)[:, 0], expected, atol=1e-6)
    assert not np.allclose(found.estimate(audio, ["yes", "yes"])[:, 0], expected, atol=1e-3)


def test_a_stock_classifier(tmp_path, audio):
    """Its outputs are named by the settings, in its own scale."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"conv_dim": [8], "conv_kernel": [10], "conv_stride": [20], "num_feat_extract_layers": 1}
    sizes |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "num_labels": 2}
    stock = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**sizes, classifier_proj_size=8)).eval()
    stock.save_pretrained(tmp_path / "stock")
    with pytest.raises(ValueError, match="outputs of stock are named .'LABEL_0', 'LABEL_1'.; give the dimension"):
        load(tmp_path / "stock", output_range=[1, 7])
    settings = {"outputs": ["Valence", "arousal"], "output_range": [1, 7]}
    with pytest.raises(ValueError, match="stock has no feature extractor .preprocessor_config.json., and no mean"):
        load(tmp_path / "stock", **settings)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path / "stock")
    model = load(tmp_path / "stock", **settings)
    assert model.outputs == ["valence", "activation"] and model.output_range == (1, 7)
    with torch.no_grad():
        expected = [stock(torch.from_numpy(load_waveform(clip))[None]).logits[0].numpy() for clip in audio]
    np.testing.assert_allclose(model.estimate(audio, [None, None])[:, 0], expected, atol=1e-6)
    three = load(tmp_path / "stock", outputs=["arousal", "valence", "dominance"], output_range=[1, 7])
    with pytest.raises(ValueError, match="stock has 2 outputs, and 3 are named .activation, valence, dominance."):
        three.estimate(audio[:1], [None])


def test_what_is_not_known_or_not_whole_is_refused(audeering_like, odyssey_like, changed):
    for settings, message in (
        ({"output_range": [0, 1]}, "odyssey is loaded by code of its repository; read it, and give trust_remote_code"),
        ({"trust_remote_code": True}, "has no output_range; give the lowest and highest value of odyssey's outputs"),
    ):
        with pytest.raises(ValueError, match=message):
            load(odyssey_like, **settings)
    with pytest.raises(ValueError, match=r"configuration of wav2vec2-tiny-emotion says \['arousal', 'dominance', "):
        load(audeering_like, outputs=["activation", "valence", "dominance"])
    elsewhere = changed(odyssey_like, auto_map={"AutoConfig": "other/one--code.Config"})
    with pytest.raises(ValueError, match="code of changed is of another repository, other/one--code.Config, which"):
        load(elsewhere, output_range=[0, 1], trust_remote_code=True)


@pytest.mark.parametrize(
    "settings", [{"architectures": ["Wav2Vec2ForSequenceClassification"]}, {"pooling_mode": "max"}]
)
def test_a_head_that_would_start_at_random_is_refused(audeering_like, changed, settings):
    """Transformers loads it as its own classifier, with a new head and a warning."""
    folder = changed(audeering_like, **settings)
    with pytest.raises(ValueError, match="weights of changed lack 4 that Wav2Vec2ForSequenceClassification has, such"):
        load(folder, output_range=[0, 1])


def test_weights_that_nobody_reads_are_told(audeering_like, changed, audio):
    folder = changed(audeering_like)
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "gate.weight": torch.ones(2)}, folder / "model.safetensors", {"format": "pt"})
    assert load(folder).warnings == [
        "has 1 weights that Wav2Vec2ForSpeechClassification does not read, such as gate.weight"
    ]
