"""Run filterbanks and frozen speech encoders once over every clip, and cache their frames."""

from collections.abc import Iterator
from functools import partial
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


# settings of an acoustic branch that its frames depend on, as far as it has them
ACOUSTIC_SETTINGS = ("source", "num_mel_bins", "window_s", "hop_s", "normalization")


def frame_caches(branches: list[dict], library: EncoderLibrary, root: Path) -> dict[str, FrameCache]:
    """Return the cache of each branch that reads audio, by the branch's name."""
    if all(branch["source"] in library.text_names for branch in branches):
        return {}
    caches = {}
    for branch in _front_end_config(branches, library).branches:
        if branch.is_acoustic:
            settings = {k: v for k in ACOUSTIC_SETTINGS if (v := getattr(branch, k)) is not None}
            caches[branch.name] = FrameCache(root, branch.name, settings, "float32")
        else:
            settings = {"hidden_state": branch.hidden_state, **library.identity(branch.source)}
            caches[branch.name] = FrameCache(root, branch.name, settings, "float16")
    return caches


def load_front_end(branches: list[dict], library: EncoderLibrary) -> AffectFrontEnd:
    """Return the front end of branches that read audio, with the encoders' weights, on the device of this process."""
    front_end = AffectFrontEnd(_front_end_config(branches, library))
    for name, encoder in front_end.encoders.items():
        encoder.backbone.load_state_dict(library.backbone(name).state_dict())
    return front_end.eval().to(PartialState().device)


def _front_end_config(branches: list[dict], library: EncoderLibrary) -> AffectFusionConfig:
    of_audio = [branch for branch in branches if branch["source"] not in library.text_names]
    by_name = {AffectBranchConfig(**branch).name: branch for branch in of_audio}
    sources = {branch["source"] for branch in of_audio}
    encoders = {name: config.to_dict() for name, config in library.configs.items() if name in sources}
    return AffectFusionConfig(branches=list(by_name.values()), encoders=encoders)


def extract_frames(
    clips: dict[str, dict | LoadableClip], branches: list[dict], library: EncoderLibrary, root: Path, batch_size: int
) -> dict[str, FrameCache]:
    """Make the frames of branches that read audio, as far as they are not on disk, as [`extract_missing`] does.

    Args:
        clips: Per fingerprint the audio, `{"path", "bytes"}`, or an object that makes it on demand.
        branches: Settings of every branch, duplicates allowed. Text branches are skipped.
        library: Encoders of the branches.
        root: Folder of the caches.
        batch_size: Clips, or texts, per batch.

    Returns:
        Per branch name the cache, now with every clip.
    """
    caches = frame_caches(branches, library, root)
    make = partial(_run_front_end, clips, branches, library)
    extract_missing(clips, lambda key: clip_duration_s(clips[key]), batch_size, caches, make, "clips")
    return caches


@torch.no_grad()
def _run_front_end(clips: dict, branches: list[dict], library: EncoderLibrary, batches, names) -> Iterator[dict]:
    """Yield for each batch, per branch and fingerprint, the frames (frames, width), float32."""
    device = PartialState().device
    read = [branch for branch in branches if AffectBranchConfig(**branch).name in names]
    front_end = load_front_end(read, library)
    loaded = load_batches([[clips[key] for key in batch] for batch in batches])
    for batch, inputs in zip(batches, loaded, strict=True):
        frames, masks = front_end(**inputs.to(device))
        made: dict[str, dict[str, np.ndarray]] = {}
        for name, values in frames.items():
            counts = masks[name].sum(dim=1).tolist()  # valid frames come first
            rows = zip(batch, values.float().cpu().numpy(), counts, strict=True)
            made[name] = {key: row[:count] for key, row, count in rows}
        yield made
