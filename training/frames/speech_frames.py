"""Run filterbanks and frozen encoders once over every clip, and keep their frames."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedTokenizerBase

from speech_affect import AffectBranchConfig, AffectEncoderConfig, AffectFusionConfig
from speech_affect.encoder import pooler_option, truncate_layers
from speech_affect.front_end import AffectFrontEnd

from ..audio.clip_duration import audio_header
from ..audio.clip_loading import LoadableClip, load_batches
from ..encoders.encoder_sources import EncoderSource, resolve_encoder
from .extraction import extract_missing
from .frame_cache import FrameCache
from .text_frames import load_tokenizer


# what an acoustic branch's raw frames depend on
ACOUSTIC_SETTINGS = ("source", "num_mel_bins", "window_s", "hop_s")


class EncoderLibrary:
    """
    The encoders of a run: where they come from, their configuration, their weights.

    Args:
        settings: name -> {id, revision} of the recipe.
        branches: settings of every branch of the run; layers above the highest hidden state read are left out.
        cache_dir: for converted encoders.
    """

    def __init__(self, settings: dict, branches: list[dict], cache_dir: Path | None):
        self.sources: dict[str, EncoderSource] = {}
        self.configs: dict[str, AffectEncoderConfig] = {}
        for name, entry in settings.items():
            states = [branch.get("hidden_state", "last") for branch in branches if branch["source"] == name]
            if not states:
                continue
            if not isinstance(entry, dict) or "id" not in entry or set(entry) - {"id", "revision", "pad_to_window"}:
                raise ValueError(
                    f"encoder {name!r} is {entry!r}; give {{id: Hub id or folder}}, with revision or pad_to_window"
                )
            source = resolve_encoder(entry["id"], revision=entry.get("revision"), cache_dir=cache_dir)
            backbone = AutoConfig.from_pretrained(source.folder)
            backbone.name_or_path = source.name  # what a checkpoint tells of it, rather than a folder of this machine
            if all(isinstance(state, int) for state in states):
                truncate_layers(backbone, max(states))
            self.sources[name] = source
            self.configs[name] = AffectEncoderConfig(backbone=backbone, pad_to_window=entry.get("pad_to_window", True))
            if not self.configs[name].is_text:
                preparation = AutoFeatureExtractor.from_pretrained(source.folder)
                self.configs[name].do_normalize = bool(getattr(preparation, "do_normalize", False))

    @property
    def text_names(self) -> list[str]:
        """Names of the encoders that read the transcript."""
        return [name for name, config in self.configs.items() if config.is_text]

    def tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """The tokenizer of a text encoder."""
        return load_tokenizer(self.sources[name].folder, self.configs[name].backbone)

    def backbone(self, name: str) -> torch.nn.Module:
        """The pre-trained encoder itself, its unread layers left out."""
        config = copy.deepcopy(self.configs[name].backbone)  # loading notes its dtype in it
        options = pooler_option(config) if self.configs[name].is_text else {}
        folder = self.sources[name].folder
        model = AutoModel.from_pretrained(folder, config=config, use_safetensors=True, **options)
        return model.get_encoder() if config.is_encoder_decoder else model

    def identity(self, name: str) -> dict:
        """What cached frames of this encoder depend on, besides the branch's settings."""
        source, config = self.sources[name], self.configs[name]
        return {
            "encoder": source.name,
            "revision": source.revision,
            "do_normalize": config.do_normalize,
            "pad_to_window": config.pad_to_window,
        }


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


def clip_duration_s(clip: dict | LoadableClip) -> float:
    """From the header of its file, or as it will be made; nothing is decoded."""
    return audio_header(clip).duration_s if isinstance(clip, dict) else clip.duration_s


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
