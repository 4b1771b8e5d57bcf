"""A small model, sounds, and a page that runs."""

from pathlib import Path

import pytest
import soundfile
import torch
from space_server import served
from space_sounds import voice

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A small student with random weights, which states no uncertainty."""
    folder = tmp_path_factory.mktemp("models") / "small_student"
    torch.manual_seed(0)
    AffectStudentModel(AffectStudentConfig(conv_channels=16, gru_hidden_size=16, embedding_size=16)).save_pretrained(
        folder
    )
    AffectFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """6.3 s."""
    path = tmp_path_factory.mktemp("clips") / "voice.wav"
    soundfile.write(path, voice(6.3), 16000)
    return path


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    """A page with narrow limits: 2 MB, 30 s of audio."""
    folder = tmp_path_factory.mktemp("server")
    limits = (
        "--max_size_mb",
        "2",
        "--max_length_s",
        "30",
        "--timeout_s",
        "20",
        "--queue_size",
        "12",
    )
    with served(checkpoint, folder, "--teacher", str(checkpoint), *limits) as running:
        yield running
