"""Load clips for the encoders: decoded, augmented or degraded where that is asked for, padded into batches."""

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple, Protocol

import numpy as np
from accelerate import PartialState
from torch.utils.data import DataLoader
from transformers import BatchFeature

from speech_affect import AffectFeatureExtractor
from speech_affect.audio import load_waveform
from speech_affect.audio_file import AudioFile

from ..settings import cores


MOST_WORKERS = 8


class LoadableClip(Protocol):
    """Audio that is computed when it is needed."""

    @property
    def duration_s(self) -> float:
        """Expected duration; an inexact value only costs padding."""

    def load(self) -> dict:
        """Return `{"array", "sampling_rate"}`."""


class SourceClip(NamedTuple):
    """A clip of the corpus, not decoded: `audio` is a file, `{"path", "bytes"}`, or a segment of one."""

    fingerprint: str
    audio: dict | LoadableClip

    @property
    def duration_s(self) -> float:
        """Duration according to the header."""
        return clip_duration_s(self.audio)

    def waveform(self) -> np.ndarray:
        """Return (samples,) float32 in [-1, 1], mono at 16 kHz."""
        return load_waveform(loadable(self.audio))


def clip_duration_s(clip: dict | LoadableClip) -> float:
    """Return the duration of a clip in seconds without decoding it: from its header, or as it will be computed.

    Args:
        clip: `{"path", "bytes"}` as `datasets.Audio(decode=False)` gives it, or what computes the audio.

    Raises:
        ValueError: The file is missing or not audio.
    """
    if not isinstance(clip, dict):
        return clip.duration_s
    if clip.get("bytes") is not None:
        return _duration_s(clip["bytes"])
    return _duration_of_file_s(os.fspath(clip["path"]))


@lru_cache(maxsize=1 << 18)  # augmented copies ask for their source again and again
def _duration_of_file_s(path: str) -> float:
    return _duration_s(path)


def _duration_s(source: str | bytes) -> float:
    with AudioFile(source) as file:
        return file.num_samples / file.sampling_rate


def load_batches(batches: Sequence[Sequence[dict | LoadableClip]]) -> Iterable[BatchFeature]:
    """Return an iterable over the padded waveforms and masks of each batch, in order.

    Args:
        batches: Of clips: `{"path", "bytes"}`, or what computes the audio.
    """
    load = partial(_load_batch, AffectFeatureExtractor())
    pinned = PartialState().device.type == "cuda"
    return DataLoader(batches, batch_size=None, num_workers=loading_workers(), collate_fn=load, pin_memory=pinned)


def _load_batch(extractor: AffectFeatureExtractor, batch: Sequence[dict | LoadableClip]) -> BatchFeature:
    return extractor([loadable(clip) for clip in batch], return_tensors="pt")


def loadable(clip: dict | LoadableClip) -> dict:
    """Return the clip as a feature extractor takes it."""
    return clip if isinstance(clip, dict) else clip.load()


def loading_workers() -> int:
    """Return how many processes load for this one: none on a CPU, which is busy with the encoder."""
    state = PartialState()
    if state.device.type == "cpu":
        return 0
    on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", state.num_processes))
    return min(MOST_WORKERS, cores.available_cores() // on_this_machine)
