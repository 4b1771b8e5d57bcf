"""Audio for the encoders: decoded, altered where that is asked for, and padded, ahead of a GPU that waits for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Protocol

from accelerate import PartialState
from torch.utils.data import DataLoader, Dataset
from transformers import BatchFeature

from speech_affect import AffectFeatureExtractor

from ..settings import cores


MOST_WORKERS = 8


class LoadableClip(Protocol):
    """Audio that is made when it is needed."""

    @property
    def duration_s(self) -> float:
        """What it will last; a rough value costs padding alone."""

    def load(self) -> dict:
        """`{"array", "sampling_rate"}`"""


class _Batches(Dataset):
    def __init__(self, batches: Sequence[Sequence[dict | LoadableClip]]):
        self.batches = batches
        self.extractor = AffectFeatureExtractor()

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> BatchFeature:
        audio = [clip if isinstance(clip, dict) else clip.load() for clip in self.batches[index]]
        return self.extractor(audio, return_tensors="pt")


def load_batches(batches: Sequence[Sequence[dict | LoadableClip]]) -> Iterable[BatchFeature]:
    """
    Padded waveforms and masks of each batch, in order.

    Args:
        batches: of clips: `{"path", "bytes"}`, or what makes the audio.
    """
    return DataLoader(_Batches(batches), batch_size=None, num_workers=loading_workers(), collate_fn=_as_it_is)


def _as_it_is(batch: BatchFeature) -> BatchFeature:
    return batch


def loading_workers() -> int:
    """Processes that load for this one: none on a CPU, which has enough to do with the encoder."""
    state = PartialState()
    if state.device.type == "cpu":
        return 0
    on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", state.num_processes))
    return min(MOST_WORKERS, cores.available_cores() // on_this_machine)
