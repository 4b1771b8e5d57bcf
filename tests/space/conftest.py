"""A small model, sounds, and a page that runs."""

from pathlib import Path

import pytest
import soundfile
import torch
from page.estimator import Estimator
from space_server import served, voice
from transformers import pipeline

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel


def save_student(folder: Path, seed: int = 0) -> Path:
    """Save a small student with random weights."""
    torch.manual_seed(seed)
    sizes = {"conv_channels": 16 + seed, "gru_hidden_size": 16, "embedding_size": 16}
    AffectStudentModel(AffectStudentConfig(**sizes, predict_uncertainty=seed > 0)).save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A model that predicts no uncertainty."""
    return save_student(tmp_path_factory.mktemp("models") / "small_student")


@pytest.fixture(scope="session")
def teacher(tmp_path_factory) -> Path:
    """Another model, which predicts uncertainty."""
    return save_student(tmp_path_factory.mktemp("models") / "teacher", seed=1)


@pytest.fixture(scope="session")
def estimator(checkpoint) -> Estimator:
    return Estimator(str(checkpoint))


@pytest.fixture(scope="session")
def expected(checkpoint):
    """The pipeline itself."""
    return pipeline("speech-emotion-regression", model=str(checkpoint))


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A recording of 6.3 s."""
    path = tmp_path_factory.mktemp("clips") / "voice.wav"
    soundfile.write(path, voice(6.3), 16000)
    return path


@pytest.fixture(scope="session")
def server(checkpoint, teacher, tmp_path_factory):
    """A page with narrow limits: 2 MB, 30 s of audio."""
    limits = {"MAX_SIZE_MB": "2", "MAX_LENGTH_S": "30", "TIMEOUT_S": "20", "QUEUE_SIZE": "12"}
    with served(checkpoint, tmp_path_factory.mktemp("server"), "--teacher", str(teacher), **limits) as running:
        yield running
