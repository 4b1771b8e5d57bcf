"""Clips in tables and corpora, small enough to work out by hand."""

import logging

import datasets
import numpy as np
import pytest
import soundfile
from clip_table import ClipTable
from frame_cache import clip_fingerprint

from corpora.corpus import FEATURES, Corpus


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
            "label_variances": np.zeros((count, 3)),
            "emotions": [None] * count,
            "votes": [()] * count,
            "speakers": [None] * count,
            "genders": [None] * count,
        }
        return ClipTable(**{**table, **columns})

    return make


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
    """Fingerprint -> audio of five clips."""
    audio = [write_clip(name) for name in "abcde"]
    return {clip_fingerprint(clip): clip for clip in audio}


@pytest.fixture
def make_corpus(write_clip):
    """Makes a corpus of splits of rows, `{"train": [{"file": "a", "speaker": "1"}, ...]}`; the rest is made up."""

    def make(splits: dict[str, list[dict]]) -> Corpus:
        made = {}
        for split, rows in splits.items():
            filled = [{**ROW, "audio": write_clip(row["file"]), **row} for row in rows]
            made[split] = datasets.Dataset.from_list(filled, features=FEATURES)
        return Corpus("made up", datasets.DatasetDict(made), (1, 7), "A note.")

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
