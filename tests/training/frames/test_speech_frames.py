"""Frozen front ends run once per clip and setting; an interruption costs the batch at hand alone."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoFeatureExtractor, AutoModel

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.frames import speech_frames
from speech_affect_training.frames.speech_frames import extract_frames, frame_caches


BRANCHES = [{"source": "mfb"}, {"source": "whisper", "hidden_state": 1}, {"source": "whisper", "hidden_state": "last"}]


@pytest.fixture
def library(tiny_encoder):
    return EncoderLibrary({"whisper": {"id": str(tiny_encoder)}}, BRANCHES, None)


@torch.no_grad()
def test_cached_frames_are_those_of_the_encoder(clips, library, tiny_encoder, tmp_path):
    caches = extract_frames(clips, BRANCHES, library, tmp_path / "frames", 2)
    assert set(caches) == {"mfb", "whisper-1", "whisper-last"}
    encoder = AutoModel.from_pretrained(tiny_encoder).get_encoder().eval()
    preparation = AutoFeatureExtractor.from_pretrained(tiny_encoder)
    for fingerprint, audio in clips.items():
        wave, _ = soundfile.read(audio["path"], dtype="float32")
        outputs = encoder(**preparation(wave, sampling_rate=16000, return_tensors="pt"), output_hidden_states=True)
        for name, states in (("whisper-1", outputs.hidden_states[1]), ("whisper-last", outputs.last_hidden_state)):
            frames = caches[name].read(fingerprint)
            assert frames.shape == (-(-len(wave) // 320), 16)
            np.testing.assert_allclose(frames, states[0, : len(frames)].numpy(), atol=2e-3, rtol=1e-3)


def test_another_encoder_is_another_cache(library, tiny_encoder, tmp_path):
    unpadded = EncoderLibrary({"whisper": {"id": str(tiny_encoder), "pad_to_window": False}}, BRANCHES, None)
    folders, others = (
        [cache.folder for cache in frame_caches(BRANCHES, each, tmp_path).values()] for each in (library, unpadded)
    )
    assert folders[0] == others[0] and not set(folders[1:]) & set(others[1:])


def test_normalised_frames_have_a_cache_beside_the_raw_ones(clips, library, tmp_path):
    branches = [{"source": source, **n} for source in ("mfb", "mfb_f0") for n in ({}, {"normalization": "running"})]
    caches = extract_frames(clips, branches, library, tmp_path / "frames", 2)
    assert {cache.folder.name.rpartition("-")[0] for cache in caches.values()} == set(caches)
    # of frames that nothing is subtracted from, the key is what it was before there was a choice
    assert caches["mfb"].settings == {"source": "mfb", "num_mel_bins": 40, "window_s": 0.025, "hop_s": 0.01}
    model = AffectStudentModel(AffectStudentConfig(branch=branches[1])).eval()
    for fingerprint, audio in clips.items():
        for source in ("mfb", "mfb_f0"):
            raw, normalised = (caches[name].read(fingerprint) for name in (source, f"{source}-running"))
            mel = raw[:, :40].astype(np.float64)
            means = np.cumsum(mel, axis=0) / np.arange(1, len(mel) + 1)[:, None]
            np.testing.assert_allclose(normalised[:, :40], mel - means, atol=1e-5)
            np.testing.assert_allclose(normalised[:, 40:], raw[:, 40:], atol=1e-5)
        wave, _ = soundfile.read(audio["path"], dtype="float32")
        frames, _ = model.front_end(torch.from_numpy(wave)[None])
        cached = caches["mfb-running"].read(fingerprint)
        np.testing.assert_allclose(frames["mfb-running"][0].numpy(), cached, atol=1e-5)


def test_frames_of_another_number_format_have_a_cache_of_their_own(clips, library, tmp_path):
    own = extract_frames(clips, BRANCHES, library, tmp_path, 2)
    same = frame_caches(BRANCHES, library, tmp_path, "float32")  # the checkpoint's
    assert [cache.folder for cache in same.values()] == [cache.folder for cache in own.values()]
    rounded = extract_frames(clips, BRANCHES, library, tmp_path, 2, "bfloat16")
    assert rounded["mfb"].folder == own["mfb"].folder
    for name in ("whisper-1", "whisper-last"):
        assert rounded[name].folder != own[name].folder
        for fingerprint in clips:
            values, expected = (of[name].read(fingerprint).astype(np.float32) for of in (rounded, own))
            error = np.abs(values - expected).max() / np.abs(expected).max()
            assert 1e-4 < error < 3e-2


def test_on_a_gpu_the_frames_of_a_batch_are_given_on_while_it_computes_the_next(clips, library, tmp_path, monkeypatch):
    """What a GPU does, on the CPU: batches by their audio, frames copied in float16, each a batch later."""
    plain = extract_frames(clips, BRANCHES, library, tmp_path / "plain", len(clips))
    done, recorded = [], []

    class Event:
        def record(self):
            recorded.append(len(done))

        def synchronize(self):
            done.append(len(recorded))

    monkeypatch.setattr(speech_frames, "GPU", "cpu")
    monkeypatch.setattr(speech_frames, "WINDOW_S", 0.0)  # so that a batch is a clip
    monkeypatch.setattr(torch.cuda, "Event", Event)
    as_gpu = extract_frames(clips, BRANCHES, library, tmp_path / "gpu", 1)
    # the first is waited for when the second is on its way
    assert done == [min(index + 2, len(clips)) for index in range(len(clips))]
    for name, cache in as_gpu.items():
        assert not cache.missing(clips)
        for fingerprint in clips:
            expected = plain[name].read(fingerprint)
            np.testing.assert_allclose(cache.read(fingerprint), expected, atol=2e-3, rtol=1e-3)
    halves = extract_frames(clips, BRANCHES, library, tmp_path / "halves", len(clips))
    monkeypatch.undo()
    for name, cache in halves.items():  # rounded on the device as on the host
        for fingerprint in clips:
            assert np.array_equal(cache.read(fingerprint), plain[name].read(fingerprint))
