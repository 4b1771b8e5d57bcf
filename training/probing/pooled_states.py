"""The mean of every hidden state of an encoder over each clip, kept on disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from speech_affect import AffectFeatureExtractor
from speech_affect.encoder import SpeechEncoder

from ..audio.clip_loading import LoadableClip, clip_duration_s, load_batches
from ..encoders.library import EncoderLibrary
from ..frames.extraction import extract_missing
from ..frames.frame_cache import FrameCache


# of one split's states at a time; a large corpus is read in a few passes
HELD_BYTES = 2 << 30


def all_states_branch(encoder: str) -> dict:
    """Return settings of a branch that reads every hidden state, so that an [`EncoderLibrary`] loads all layers."""
    return {"source": encoder, "hidden_state": "weighted_sum"}


def pooled_cache(library: EncoderLibrary, encoder: str, root: Path) -> FrameCache:
    """Return the cache of an encoder's pooled states: for each clip an array (hidden states, width), float32.

    Args:
        library: The encoders, made with [`all_states_branch`].
        encoder: Its name in the library.
        root: Folder of the caches.

    Raises:
        ValueError: The library does not have the encoder, or it is one of text.
    """
    if encoder not in library.configs:
        known = ", ".join(library.configs) or "none"
        raise ValueError(f"no encoder {encoder!r} to probe; the recipe's encoders that are loaded: {known}")
    if library.configs[encoder].is_text:
        raise ValueError(f"encoder {encoder!r} reads text, and a probe runs on audio: name an encoder of speech")
    settings = {"pooled": "mean over valid frames", "hidden_states": "all", **library.identity(encoder)}
    return FrameCache(root, f"{encoder}-pooled", settings, "float32")


def extract_pooled_states(
    clips: dict[str, dict | LoadableClip], library: EncoderLibrary, encoder: str, root: Path, batch_size: int
) -> FrameCache:
    """Run the encoder once over every clip that is not on disk yet, as [`extract_missing`] does, and keep the means.

    All frames of all states of a batch are in memory at once: 60 MB per clip of 11 s for an encoder of 24 layers and
    width 1024.

    Args:
        clips: Fingerprint -> audio, `{"path", "bytes"}`, or an object that reads or makes it on demand.
        library, encoder, root: As for [`pooled_cache`], which is returned with every clip.
        batch_size: Clips per batch.
    """
    cache = pooled_cache(library, encoder, root)

    def make(batches, names):
        speech_encoder = SpeechEncoder(library.configs[encoder], AffectFeatureExtractor().sampling_rate)
        speech_encoder.backbone.load_state_dict(library.backbone(encoder).state_dict())
        speech_encoder.eval().to(PartialState().device)
        audio = load_batches([[clips[key] for key in batch] for batch in batches])
        for batch, inputs in zip(batches, audio, strict=True):
            yield {encoder: dict(zip(batch, _pool(speech_encoder, inputs), strict=True))}

    extract_missing(clips, lambda key: clip_duration_s(clips[key]), batch_size, {encoder: cache}, make, "pooled clips")
    return cache


@torch.no_grad()
def _pool(speech_encoder: SpeechEncoder, inputs) -> list[np.ndarray]:
    """Return (hidden states, width) of each clip."""
    inputs = inputs.to(PartialState().device)
    lengths = inputs["attention_mask"].long().sum(dim=1)
    frames, mask = speech_encoder(inputs["input_values"], lengths, ["weighted_sum"])
    side_by_side = [row[valid].float().mean(dim=0) for row, valid in zip(frames["weighted_sum"], mask, strict=True)]
    states = speech_encoder.backbone.config.num_hidden_layers + 1
    return [pooled.view(states, -1).cpu().numpy() for pooled in side_by_side]


class PooledStates(Sequence):
    """One split's pooled states, by hidden state.

    As many consecutive states as fit in memory are read from disk at once: all states of a large corpus would not fit,
    and opening every file for each state takes long.

    Args:
        cache: With every clip of the split.
        fingerprints: Of the split's clips, in order; at least one.
    """

    def __init__(self, cache: FrameCache, fingerprints: list[str]):
        self.cache = cache
        self.fingerprints = fingerprints
        first = cache.read(fingerprints[0])
        self._num_states, self._width = first.shape
        self._states_at_once = max(1, HELD_BYTES // (len(fingerprints) * first[0].nbytes))
        self._held_states = range(0)
        self._held = np.empty(0)

    def __len__(self) -> int:
        return self._num_states

    def __getitem__(self, hidden_state: int) -> np.ndarray:
        """Return (clips, width) float32 of one hidden state; 0 is the input to the first layer."""
        if not 0 <= hidden_state < len(self):
            raise IndexError(f"hidden state {hidden_state} does not exist: there are 0 to {len(self) - 1}")
        if hidden_state not in self._held_states:
            self._read(range(hidden_state, min(hidden_state + self._states_at_once, len(self))))
        return self._held[hidden_state - self._held_states.start]

    def _read(self, states: range) -> None:
        self._held = np.empty(0)  # freed before the next are read
        self._held = np.empty((len(states), len(self.fingerprints), self._width), dtype=np.float32)
        for index, fingerprint in enumerate(self.fingerprints):
            self._held[:, index] = self.cache.read(fingerprint)[states.start : states.stop]
        self._held_states = states
