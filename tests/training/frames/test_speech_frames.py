"""Frozen front ends run once per clip and setting; interruption costs the clip at hand alone."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoFeatureExtractor, AutoModel

from speech_affect import AffectFeatureExtractor
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.frames import speech_frames as representations
from speech_affect_training.frames.speech_frames import extract_frames


BRANCHES = [{"source": "mfb"}, {"source": "whisper", "hidden_state": 1}, {"source": "whisper", "hidden_state": "last"}]


@pytest.fixture
def clips(tmp_path):
    """Fingerprint -> audio of five clips of different lengths."""
    generator = np.random.default_rng(0)
    found = {}
    for index in range(5):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, 0.1 * generator.standard_normal(4000 + 1000 * index), 16000)
        audio = {"path": str(path), "bytes": None}
        found[clip_fingerprint(audio)] = audio
    return found


@pytest.fixture
def library(tiny_encoder):
    return EncoderLibrary({"whisper": {"id": str(tiny_encoder)}}, BRANCHES, None)


@torch.no_grad()
def test_cached_frames_are_those_of_the_encoder(clips, library, tiny_encoder, tmp_path):
    caches = extract_frames(clips, BRANCHES, library, tmp_path / "frames", 2)
    assert set(caches) == {"mfb", "whisper-1", "whisper-last"}
    encoder = AutoModel.from_pretrained(tiny_encoder).get_encoder().eval()
    for fingerprint, audio in clips.items():
        wave, _ = soundfile.read(audio["path"], dtype="float32")
        extractor = AutoFeatureExtractor.from_pretrained(tiny_encoder)
        features = extractor(wave, sampling_rate=16000, return_tensors="pt")
        outputs = encoder(**features, output_hidden_states=True)
        for name, states in (("whisper-1", outputs.hidden_states[1]), ("whisper-last", outputs.last_hidden_state)):
            frames = caches[name].read(fingerprint)
            assert frames.shape == (-(-len(wave) // 320), 16)
            np.testing.assert_allclose(frames, states[0, : len(frames)].numpy(), atol=2e-3, rtol=1e-3)


def test_nothing_is_computed_twice(clips, library, tmp_path, monkeypatch):
    extract_frames(clips, BRANCHES, library, tmp_path / "frames", 2)

    def refuse(*args, **kwargs):
        raise AssertionError("the front end was built again")

    monkeypatch.setattr(representations, "AffectFrontEnd", refuse)
    extract_frames(clips, BRANCHES, library, tmp_path / "frames", 2)


def test_an_interrupted_extraction_goes_on_where_it_was(clips, library, tmp_path, monkeypatch):
    seen = []
    call = AffectFeatureExtractor.__call__

    def counted(self, batch, **kwargs):
        if len(seen) == 4:
            raise KeyboardInterrupt
        seen.extend(batch)
        return call(self, batch, **kwargs)

    monkeypatch.setattr(AffectFeatureExtractor, "__call__", counted)
    with pytest.raises(KeyboardInterrupt):
        extract_frames(clips, BRANCHES, library, tmp_path / "frames", 2)
    seen.clear()
    caches = extract_frames(clips, BRANCHES, library, tmp_path / "frames", 2)
    assert len(seen) == 1
    assert all(cache.has(fingerprint) for cache in caches.values() for fingerprint in clips)


def test_another_encoder_is_another_cache(clips, library, tiny_encoder, tmp_path):
    folders = [cache.folder for cache in extract_frames(clips, BRANCHES, library, tmp_path, 2).values()]
    settings = {"whisper": {"id": str(tiny_encoder), "pad_to_window": False}}
    unpadded = EncoderLibrary(settings, BRANCHES, None)
    others = [cache.folder for cache in representations.frame_caches(BRANCHES, unpadded, tmp_path).values()]
    assert folders[0] == others[0] and not set(folders[1:]) & set(others[1:])


def test_layers_nobody_reads_are_left_out(tiny_encoder):
    lower = EncoderLibrary({"whisper": {"id": str(tiny_encoder)}}, BRANCHES[:2], None)
    assert lower.configs["whisper"].backbone.num_hidden_layers == 2
    assert len(lower.backbone("whisper").layers) == 2
    whole = EncoderLibrary({"whisper": {"id": str(tiny_encoder)}}, BRANCHES, None)
    assert whole.configs["whisper"].backbone.num_hidden_layers == 3


def test_an_encoder_nobody_reads_is_not_fetched():
    assert not EncoderLibrary({"hubert": {"id": "not/there"}}, [{"source": "mfb"}], None).sources
