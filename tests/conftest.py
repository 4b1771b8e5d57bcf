"""A tiny corpus in MSP-Podcast layout, a tiny encoder folder, and a recipe over both."""

import csv
import gc
import importlib.util
import json
import os
import shutil
from pathlib import Path


# before torch is imported: tests run side by side, and threads that share a core with another process wait for it
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from speech_affect_training.settings import cores


SPLITS = {"Train": (24, (1, 2, 3)), "Development": (12, (4, 5)), "Test1": (10, (6, 7)), "Test2": (6, (8,))}

WORDS = {"A": "Angry", "H": "Happy", "S": "Sad", "N": "Neutral"}


# half a minute and more each: begun last, they would leave the other cores idle
SLOW_FILES = (
    "test_run.py",
    "test_long_run.py",
    "test_benchmarks.py",
    "test_readme.py",
    "test_readme_modeling.py",
    "test_faults.py",
    "test_browser.py",
    "test_hostile_audio.py",
    "test_transformers_fusion.py",
    "test_paper_table.py",
    "test_launch.py",
    "test_job_pool.py",
)


def pytest_collection_modifyitems(items):
    """Begin with the slowest files, in this order; `--no-loadscope-reorder` keeps pytest-xdist from another."""
    place = {name: index for index, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session", autouse=True)
def one_core():
    """A run that a test makes in its own process takes one core, and leaves torch one thread for later tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "available_cores", lambda: 1)
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="module", autouse=True)
def modules_are_no_garbage():
    """What lives at the start of a test file is not searched for garbage, as each training has done several times."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def figures_are_empty(monkeypatch):
    """Figures of a run are files without content: drawing takes as long as the rest, and has tests of its own."""
    import matplotlib.figure  # many test files draw none

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", lambda figure, path, **_: Path(path).write_bytes(b""))


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory):
    """52 tones in MSP-Podcast layout."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def write_corpus(folder):
    """52 tones of 0.4 to 0.8 s, each with three grades: activation is loudness, dominance pitch, valence chance."""
    (folder / "Audios").mkdir()
    (folder / "Labels").mkdir()
    generator = np.random.default_rng(0)
    rows = [["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]]
    grades = [["FileName", "Workers", "EmoClass_Major", "EmoClass_Second", "EmoAct", "EmoVal", "EmoDom"]]
    number = 0
    for split, (count, speakers) in SPLITS.items():
        for index in range(count):
            activation, valence, dominance = generator.uniform(1, 7, 3).round(2)
            times = np.arange(round(generator.uniform(0.4, 0.8) * 16000)) / 16000
            tone = np.sin(2 * np.pi * (100 + 60 * dominance) * times) * 0.02 * 2 ** (activation - 1)
            name = f"MSP-PODCAST_0001_{number:04d}.wav"
            noise = 0.001 * generator.standard_normal(len(times))
            soundfile.write(folder / "Audios" / name, (tone + noise).clip(-1, 1), 16000)
            speaker = speakers[index % len(speakers)]
            emotion = "AHSN"[number % 4]
            gender = "Female" if speaker % 2 else "Male"
            rows.append([name, emotion, activation, valence, dominance, speaker, gender, split])
            words = (WORDS[emotion], WORDS[emotion], "Other-Curious")
            for worker, (word, off) in enumerate(zip(words, (-0.5, 0.25, 0.25), strict=True)):
                ratings = np.clip([activation + off, valence + 2 * off, dominance], 1, 7)
                grades.append([name, f"WORKER{worker:08d}", word, "Concerned", *ratings.round(2)])
            number += 1
    for name, content in (("labels_consensus.csv", rows), ("labels_detailed.csv", grades)):
        with open(folder / "Labels" / name, "w", newline="") as file:
            csv.writer(file).writerows(content)
    return folder


@pytest.fixture
def halves(tiny_corpus, tmp_path):
    """Two corpora in MSP-Podcast layout, of every other clip."""
    with open(tiny_corpus / "Labels" / "labels_consensus.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name, own in (("voices", rows[::2]), ("others", rows[1::2])):
        for folder in ("Labels", "Audios"):
            (tmp_path / name / folder).mkdir(parents=True)
        for row in own:
            audio = Path("Audios", row["FileName"])
            (tmp_path / name / audio).hardlink_to(tiny_corpus / audio)
        with open(tmp_path / name / "Labels" / "labels_consensus.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, own[0])
            writer.writeheader()
            writer.writerows(own)
    return [tmp_path / "voices", tmp_path / "others"]


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    """A folder with a tiny Whisper, as transformers saves it."""
    return write_encoder(tmp_path_factory.mktemp("encoder"))


def write_encoder(folder):
    """A tiny Whisper, as transformers saves it."""
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    sizes |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 50}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = WhisperConfig(**sizes, **tokens, suppress_tokens=None, begin_suppress_tokens=None)
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


# of wav2vec 2.0 and WavLM
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TINY |= {"conv_dim": [8, 8], "conv_kernel": [10, 8], "conv_stride": [5, 4], "num_feat_extract_layers": 2}
TINY |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
AROUSAL_FIRST = {"0": "arousal", "1": "dominance", "2": "valence"}


@pytest.fixture(scope="session")
def audeering_like(tmp_path_factory):
    """A folder like audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim: its config, names of weights, processor."""
    folder = tmp_path_factory.mktemp("peers") / "wav2vec2-tiny-emotion"
    folder.mkdir()
    torch.manual_seed(1)
    settings = {**TINY, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    weights = {}
    for name, values in Wav2Vec2Model(Wav2Vec2Config(**settings)).state_dict().items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        weights["wav2vec2." + name.replace("parametrizations.weight.original1", "weight_v")] = values
    for name, count in (("dense", 16), ("out_proj", 3)):
        weights[f"classifier.{name}.weight"] = 0.1 * torch.randn(count, 16)
        weights[f"classifier.{name}.bias"] = torch.full((count,), 0.5)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = {**settings, "model_type": "wav2vec2", "architectures": ["Wav2Vec2ForSpeechClassification"]}
    config |= {"id2label": AROUSAL_FIRST, "label2id": {name: int(i) for i, name in AROUSAL_FIRST.items()}}
    config |= {"vocab_size": None, "problem_type": "regression", "pooling_mode": "mean", "final_dropout": 0.1}
    (folder / "config.json").write_text(json.dumps(config))
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def odyssey_like(tmp_path_factory):
    """A folder like 3loi/SER-Odyssey-Baseline-WavLM-Multi-Attributes: code of its own, no feature extractor."""
    folder = tmp_path_factory.mktemp("peers") / "odyssey"
    code = Path(__file__).with_name("odyssey_code.py")
    spec = importlib.util.spec_from_file_location("odyssey_code", code)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(2)
    model = module.SERModel(module.SERConfig(ssl=TINY, mean=-0.0001, std=0.08))
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    model.save_pretrained(folder)
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    weights = load_file(folder / "model.safetensors")
    for new, name in old.items():
        weights |= {key.replace(new, name): weights.pop(key) for key in list(weights) if new in key}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    shutil.copyfile(code, folder / "pipeline_utils.py")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "pipeline_utils.SERConfig"}
    config["auto_map"]["AutoModelForAudioClassification"] = "pipeline_utils.SERModel"
    (folder / "config.json").write_text(json.dumps({**config, "id2label": AROUSAL_FIRST}))
    return folder


@pytest.fixture(scope="session")
def tiny_settings(tiny_encoder):
    """Settings of a recipe with every role; not to be changed."""
    return recipe_settings(tiny_encoder)


@pytest.fixture
def tiny_recipe(tiny_settings, tmp_path):
    """A recipe file with these settings."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_settings, sort_keys=False))
    return path


def recipe_settings(encoder):
    """Every role, with this encoder."""
    whisper = {"source": "whisper", "hidden_state": 1, "conv_kernel_size": 3, "conv_stride": 2}
    return {
        "encoders": {"whisper": {"id": str(encoder)}},
        "systems": {
            "mfb": {"role": "baseline", "branches": ["mfb"]},
            "fusion": {"role": "teacher", "branches": ["mfb", whisper], "emotions": "agreed"},
            "student": {"role": "student", "branches": [{"source": "mfb", "normalization": "running"}]},
            "student_kd": {
                "role": "student",
                "teacher": "fusion",
                "pretraining": {"source": "whisper", "hidden_state": 1, "max_steps": 2},
            },
        },
        "head": {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8},
        "seeds": [0, 1],
        "per_device_train_batch_size": 8,
        "num_train_epochs": 2,
        "learning_rate": 0.01,
        "bootstrap_samples": 50,
        "job_workers": 1,
        "disable_tqdm": True,
    }
