"""Run filterbanks and frozen speech encoders once over every clip, and cache their frames."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from speech_affect import AffectBranchConfig, AffectFusionConfig
from speech_affect.encoder import WINDOW_S
from speech_affect.front_end import AffectFrontEnd

from ..audio.clip_loading import LoadableClip, clip_duration_s, load_batches
from ..encoders.library import EncoderLibrary
from .extraction import extract_missing
from .frame_cache import FrameCache


# settings of an acoustic branch that its frames depend on, as far as it has them
ACOUSTIC_SETTINGS = ("source", "num_mel_bins", "window_s", "hop_s", "normalization")


GPU = "cuda"  # type of the devices that compute while this process does something else


def frame_caches(
    branches: list[dict], library: EncoderLibrary, root: Path, dtype: str | None = None
) -> dict[str, FrameCache]:
    """Return the cache of each branch that reads audio, by the branch's name; arguments as of [`extract_frames`]."""
    if all(branch["source"] in library.text_names for branch in branches):
        return {}
    caches = {}
    for branch in _front_end_config(branches, library).branches:
        if branch.is_acoustic:
            settings = {k: v for k in ACOUSTIC_SETTINGS if (v := getattr(branch, k)) is not None}
            caches[branch.name] = FrameCache(root, branch.name, settings, "float32")
        else:
            settings = {"hidden_state": branch.hidden_state, **library.identity(branch.source)}
            own = library.configs[branch.source].backbone.dtype or torch.float32
            if dtype and dtype != str(own).removeprefix("torch."):
                settings["dtype"] = dtype
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
    clips: dict[str, dict | LoadableClip],
    branches: list[dict],
    library: EncoderLibrary,
    root: Path,
    batch_size: int,
    dtype: str | None = None,
) -> dict[str, FrameCache]:
    """Make the frames of branches that read audio, as far as they are not on disk, as [`extract_missing`] does.

    A GPU computes while other processes load the next batches, and while this one writes the frames of the last.

    Args:
        clips: Per fingerprint the audio, `{"path", "bytes"}`, or an object that makes it on demand.
        branches: Settings of every branch, duplicates allowed. Text branches are skipped.
        library: Encoders of the branches.
        root: Folder of the caches.
        batch_size: Clips, or texts, per batch; on a GPU a batch has as much audio as so many clips of 30 s, padding
            included, and so more of short ones.
        dtype: Number format of the encoders, `float32`, `bfloat16` or `float16`; by default that of their checkpoint.

    Returns:
        Per branch name the cache, now with every clip.
    """
    caches = frame_caches(branches, library, root, dtype)
    make = partial(_run_front_end, clips, branches, library, dtype)
    whole_s = WINDOW_S if PartialState().device.type == GPU else None
    extract_missing(clips, lambda key: clip_duration_s(clips[key]), batch_size, caches, make, "clips", whole_s)
    return caches


@torch.no_grad()
def _run_front_end(clips: dict, branches, library, dtype: str | None, batches, names) -> Iterator[dict]:
    """Yield for each batch, per branch and fingerprint, the frames (frames, width)."""
    device = PartialState().device
    read = [branch for branch in branches if AffectBranchConfig(**branch).name in names]
    front_end = load_front_end(read, library)
    for encoder in front_end.encoders.values() if dtype else ():
        encoder.backbone.to(getattr(torch, dtype))
    on_gpu, halved = device.type == GPU, {branch.name for branch in front_end.branches if not branch.is_acoustic}

    def computed() -> Iterator[tuple]:
        loaded = load_batches([[clips[key] for key in batch] for batch in batches])
        for batch, inputs in zip(batches, loaded, strict=True):
            frames, masks = front_end(**inputs.to(device, non_blocking=on_gpu))
            host = {}
            for name, values in frames.items():
                values = values.half() if on_gpu and name in halved else values.float()  # half the way to the host
                counts = masks[name].sum(dim=1)  # valid frames come first
                host[name] = [part.to("cpu", non_blocking=on_gpu) for part in (values, counts)]
            copied = torch.cuda.Event() if on_gpu else None
            if copied:
                copied.record()
            yield batch, host, copied

    for batch, host, copied in _delayed(computed(), int(on_gpu)):
        if copied:
            copied.synchronize()
        made: dict[str, dict[str, np.ndarray]] = {}
        for name, (values, counts) in host.items():
            rows = zip(batch, values.numpy(), counts.tolist(), strict=True)
            made[name] = {key: row[:count] for key, row, count in rows}
        yield made


def _delayed(items: Iterable, count: int) -> Iterator:
    """Yield each item when so many after it have been drawn, or all."""
    waiting: deque = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting
