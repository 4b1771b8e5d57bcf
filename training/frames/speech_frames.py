"""Run filterbanks and frozen encoders once over every clip, and keep their frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from speech_affect import AffectBranchConfig, AffectFusionConfig
from speech_affect.front_end import AffectFrontEnd

from ..audio.clip_loading import LoadableClip, clip_duration_s, load_batches
from ..encoders.library import EncoderLibrary
from .extraction import extract_missing
from .frame_cache import FrameCache


# what an acoustic branch's raw frames depend on
ACOUSTIC_SETTINGS = ("source", "num_mel_bins", "window_s", "hop_s")


def frame_caches(branches: list[dict], library: EncoderLibrary, root: Path) -> dict[str, FrameCache]:
    """The cache of each branch that hears audio, by the branch's name."""
    if all(branch["source"] in library.text_names for branch in branches):
        return {}
    config = _front_end_config(branches, library)
    caches = {}
    for branch in config.branches:
        if branch.is_acoustic:
            settings = {k: v for k, v in branch.to_dict().items() if k in ACOUSTIC_SETTINGS}
            caches[branch.name] = FrameCache(root, branch.name, settings, "float32")
        else:
            settings = {"hidden_state": branch.hidden_state, **library.identity(branch.source)}
            caches[branch.name] = FrameCache(root, branch.name, settings, "float16")
    return caches


def _front_end_config(branches: list[dict], library: EncoderLibrary) -> AffectFusionConfig:
    heard = [branch for branch in branches if branch["source"] not in library.text_names]
    by_name = {AffectBranchConfig(**branch).name: branch for branch in heard}
    encoders = {
        name: library.configs[name].to_dict() for name in library.configs if name in {b["source"] for b in heard}
    }
    return AffectFusionConfig(branches=list(by_name.values()), encoders=encoders)


def extract_frames(
    clips: dict[str, dict | LoadableClip], branches: list[dict], library: EncoderLibrary, root: Path, batch_size: int
) -> dict[str, FrameCache]:
    """
    Make the frames that are not on disk yet, as [`extract_missing`] does: the same for any number of processes.

    Args:
        clips: per fingerprint the audio, `{"path", "bytes"}`, or what makes it when it is needed.
        branches: settings of every branch, duplicates allowed; those of text are passed over, as they have
            [`extract_text_frames`].
        library: the encoders.
        root: folder of the caches.
        batch_size: clips per batch.

    Returns:
        per name of a branch that hears audio the cache, now with every clip.
    """
    caches = frame_caches(branches, library, root)

    def make(batches, names):
        read = [branch for branch in branches if AffectBranchConfig(**branch).name in names]
        return _run_front_end([[(key, clips[key]) for key in batch] for batch in batches], read, library)

    extract_missing(clips, lambda key: clip_duration_s(clips[key]), batch_size, caches, make, "clips")
    return caches


@torch.no_grad()
def _run_front_end(batches: list[list[tuple[str, dict | LoadableClip]]], branches, library) -> Iterator[dict]:
    """Per batch, branch and fingerprint the frames (frames, width), float32."""
    device = PartialState().device
    front_end = AffectFrontEnd(_front_end_config(branches, library))
    for name, encoder in front_end.encoders.items():
        encoder.backbone.load_state_dict(library.backbone(name).state_dict())
    front_end = front_end.eval().to(device)
    for batch, inputs in zip(batches, load_batches([[clip for _, clip in b] for b in batches]), strict=True):
        frames, masks = front_end(**inputs.to(device))
        made: dict[str, dict[str, np.ndarray]] = {}
        for name, values in frames.items():
            counts = masks[name].sum(dim=1).tolist()  # valid frames come first
            rows = zip(batch, values.float().cpu().numpy(), counts, strict=True)
            made[name] = {key: row[:count] for (key, _), row, count in rows}
        yield made
