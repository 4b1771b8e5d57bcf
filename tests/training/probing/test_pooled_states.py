"""Means of an encoder's hidden states, made once per clip, against transformers' own hidden states."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    HubertConfig,
    HubertModel,
    RobertaConfig,
    Wav2Vec2FeatureExtractor,
)

from speech_affect import AffectEncoderConfig
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.probing import pooled_states
from speech_affect_training.probing.pooled_states import (
    PooledStates,
    all_states_branch,
    extract_pooled_states,
    pooled_cache,
)


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
def tiny_hubert(tmp_path):
    """A folder with a tiny HuBERT whose input is normalised, as the large ones' is."""
    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        initializer_range=0.2,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    HubertModel(config).save_pretrained(tmp_path / "hubert")
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(tmp_path / "hubert")
    return tmp_path / "hubert"


def make_library(folder, **settings) -> EncoderLibrary:
    return EncoderLibrary({"tiny": {"id": str(folder), **settings}}, [all_states_branch("tiny")], None)


@torch.no_grad()
@pytest.mark.parametrize("family", ["whisper", "hubert"])
def test_pooled_states_are_the_means_of_each_clip_without_its_padding(family, clips, request, tmp_path):
    folder = request.getfixturevalue("tiny_encoder" if family == "whisper" else "tiny_hubert")
    cache = extract_pooled_states(clips, make_library(folder), "tiny", tmp_path / "frames", 3)
    encoder = AutoModel.from_pretrained(folder).eval()
    encoder = encoder.get_encoder() if family == "whisper" else encoder
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    for fingerprint, audio in clips.items():
        wave, _ = soundfile.read(audio["path"], dtype="float32")
        inputs = extractor(wave, sampling_rate=16000, return_tensors="pt")
        states = encoder(**inputs, output_hidden_states=True).hidden_states
        valid = -(-len(wave) // 320) if family == "whisper" else None  # Whisper's input is padded to 30 s
        expected = torch.stack([state[0, :valid].mean(dim=0) for state in states])
        pooled = cache.read(fingerprint)
        assert len(pooled) == (4 if family == "whisper" else 3) and pooled.dtype == np.float32
        np.testing.assert_allclose(pooled, expected.numpy(), atol=1e-4)


def test_the_cache_depends_on_how_the_encoder_is_run(tiny_encoder, tmp_path):
    padded, again, unpadded = (
        pooled_cache(make_library(tiny_encoder, pad_to_window=pad), "tiny", tmp_path) for pad in (True, True, False)
    )
    assert padded.folder == again.folder != unpadded.folder


def test_encoders_that_cannot_be_probed(tiny_encoder, tmp_path):
    library = make_library(tiny_encoder)
    with pytest.raises(ValueError, match="no encoder 'hubert' to probe; .*: tiny$"):
        pooled_cache(library, "hubert", tmp_path)
    library.configs["roberta"] = AffectEncoderConfig(backbone=RobertaConfig(num_hidden_layers=1))
    with pytest.raises(ValueError, match="'roberta' reads text, and a probe runs on audio: name an encoder of speech"):
        pooled_cache(library, "roberta", tmp_path)


@pytest.mark.parametrize(("held_bytes", "passes"), [(1 << 30, 1), (2 * 3 * 4 * 4, 3), (1, 5)])
def test_states_are_read_as_many_at_once_as_fit(tmp_path, monkeypatch, held_bytes, passes):
    monkeypatch.setattr(pooled_states, "HELD_BYTES", held_bytes)
    written = np.arange(3 * 5 * 4, dtype=np.float32).reshape(3, 5, 4)
    cache = FrameCache(tmp_path, "tiny", {}, "float32")
    for name, states in zip("abc", written, strict=True):
        cache.write_batch({name * 64: states})
    pooled = PooledStates(cache, [name * 64 for name in "abc"])
    opened = []
    read = FrameCache.read
    monkeypatch.setattr(FrameCache, "read", lambda self, fingerprint: opened.append(1) or read(self, fingerprint))
    assert len(pooled) == 5
    np.testing.assert_array_equal(np.stack([pooled[state] for state in range(5)]), written.transpose(1, 0, 2))
    assert len(opened) == 3 * passes
    np.testing.assert_array_equal(pooled[0], written[:, 0])
    with pytest.raises(IndexError, match="hidden state 5 does not exist: there are 0 to 4"):
        pooled[5]
