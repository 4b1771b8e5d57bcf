"""Clips in tables and corpora, small enough to work out by hand; a Hub on this machine."""

import importlib.util
import logging
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
import soundfile
from transformers.utils.hub import hf_api

from speech_affect_training.corpora.clip_table import ClipTable
from speech_affect_training.corpora.corpus import FEATURES, ORIGIN_FEATURES, Corpus
from speech_affect_training.files import clip_fingerprint


@pytest.fixture(autouse=True)
def log_as_before():
    """A run under test sets the log up for its own process, onto a stream that ends with the test."""
    level = logging.root.level
    yield
    for handler in [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]:
        logging.root.removeHandler(handler)
    logging.root.setLevel(level)


@pytest.fixture
def make_table():
    """Makes a table of so many clips; columns given by name replace the made-up ones."""

    def make(count: int, **columns) -> ClipTable:
        names = [f"clip{index}.wav" for index in range(count)]
        table = {
            "files": names,
            "fingerprints": [f"{index:02d}ab" for index in range(count)],
            "labels": np.arange(3.0 * count).reshape(count, 3) % 7 + 1,
            "rating_variances": np.zeros((count, 3)),
            "grades": [np.empty((0, 3))] * count,
            "emotions": [None] * count,
            "votes": [()] * count,
            "speakers": [None] * count,
            "genders": [None] * count,
            "transcripts": [None] * count,
            "corpora": [""] * count,
            "languages": [None] * count,
            "rating_scales": [""] * count,
        }
        return ClipTable(**{**table, **columns})

    return make


@pytest.fixture(scope="session")
def trained_jobs():
    """The script of that name, as a module."""
    return _beside_jobs("trained_jobs")


@pytest.fixture(scope="session")
def tuned_jobs(trained_jobs):
    """The module of that name."""
    return _beside_jobs("tuned_jobs")


def _beside_jobs(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "jobs" / f"{name}.py")
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))  # one imports the other
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def interrupt():
    """Patches a function so that its call of a number raises instead; returns a list with an entry per call."""

    def patched(patch, owner, name: str, number: int) -> list[int]:
        function, calls = getattr(owner, name), []

        def interrupted(*args, **kwargs):
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        patch.setattr(owner, name, interrupted)
        return calls

    return patched


@pytest.fixture
def write_clip(tmp_path):
    """Writes noise of 0.3 s, another for each name; returns the audio as `datasets` has it."""

    def write(name: str, seconds: float = 0.3) -> dict:
        path = tmp_path / "audio" / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        seed = int.from_bytes(name.encode(), "little")
        soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16000)), 16000)
        return {"bytes": None, "path": str(path)}

    return write


@pytest.fixture
def clips(write_clip):
    """Fingerprint -> audio of five clips, 0.25 to 0.5 s long."""
    audio = [write_clip(name, 0.25 + index / 16) for index, name in enumerate("abcde")]
    return {clip_fingerprint(clip): clip for clip in audio}


@pytest.fixture
def make_corpus(write_clip):
    """Makes a corpus of splits of rows, `{"train": [{"file": "a", "speaker": "1"}, ...]}`; the rest is made up."""

    def make(splits: dict[str, list[dict]]) -> Corpus:
        made = {}
        for split, rows in splits.items():
            filled = [{**ROW, "audio": write_clip(row["file"]), **row} for row in rows]
            made[split] = datasets.Dataset.from_list(filled, features=FEATURES)
        return Corpus("made up", datasets.DatasetDict(made), (1.0, 7.0), "A note.")

    return make


@pytest.fixture
def of_corpora():
    """Makes of one corpus several: `name(file)` is that of a clip's corpus, `scale(file)` its rating scale."""

    def make(corpus: Corpus, name, scale=None) -> Corpus:
        splits = {}
        for split, rows in corpus.splits.items():
            columns = {"corpus": name, "language": lambda file: None, "rating_scale": scale or name}
            for column, value in columns.items():
                rows = rows.add_column(column, [value(file) for file in rows["file"]])
            splits[split] = rows.cast(datasets.Features({**rows.features, **ORIGIN_FEATURES}))
        return replace(corpus, splits=datasets.DatasetDict(splits))

    return make


ROW = {
    "activation": 4.0,
    "valence": 4.0,
    "dominance": 4.0,
    "emotion": None,
    "speaker": "1",
    "gender": None,
    "transcript": None,
    "graders": [],
}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub where alice is logged in, for this process and those it starts; no other is reached."""
    spec = importlib.util.spec_from_file_location("hub_server", Path(__file__).parent / "hub" / "hub_server.py")
    module = sys.modules.setdefault("hub_server", importlib.util.module_from_spec(spec))
    if not hasattr(module, "HubServer"):
        spec.loader.exec_module(module)
    with module.HubServer() as server:
        environment = {
            "HF_ENDPOINT": server.url,
            "HF_TOKEN": "hf_alice",
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "NO_PROXY": "127.0.0.1",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        # made once for the whole process, with the address of that time
        monkeypatch.setattr(hf_api(), "endpoint", server.url)
        # read from the environment when huggingface_hub was imported
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        address = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
        huggingface_hub.close_session()
        yield server
    huggingface_hub.close_session()


@pytest.fixture
def checkpoint_folder(tmp_path):
    """What looks like a checkpoint to the Hub, and what else may lie there."""
    folder = tmp_path / "outputs" / "demo" / "mfb"
    folder.mkdir(parents=True)
    for name in ("config.json", "preprocessor_config.json", "run.json", "modeling_affect.py"):
        (folder / name).write_text(f"{{}} of {name}\n")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# mfb\n")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return folder
