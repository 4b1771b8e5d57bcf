"""A dataset of clips with cached frames, and its batches."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from speech_affect import DIMENSIONS

from ..corpora.clip_table import ClipTable
from .frame_cache import FrameCache


IGNORED_CLASS = -100


class FrameDataset(Dataset):
    """Clips of one split: frames of each branch, and the targets of the model's tasks.

    Args:
        table: The clips.
        caches: Per branch name the cached frames.
        config: Of the model, whose `gender_names` and `predict_uncertainty` decide the tasks.
        emotion_codes: Code of each class in `config.emotion_names`; other classes are ignored.
        votes: Use the graders' votes as the target of the classes, for clips with votes for any of them.
    """

    def __init__(
        self,
        table: ClipTable,
        caches: dict[str, FrameCache],
        config,
        emotion_codes: Sequence[str] = (),
        votes: bool = False,
    ):
        self.table = table
        self.caches = caches
        self.columns = output_columns(config)
        self.targets: dict[str, np.ndarray] = {"labels": table.labels[:, self.columns]}
        if config.predict_uncertainty:
            self.targets["rating_variances"] = table.rating_variances[:, self.columns]
        if emotion_codes:
            classes = class_indices(table.emotions, emotion_codes)
            self.targets["emotion_targets"] = _vote_shares(table.votes, classes, emotion_codes) if votes else classes
        if config.gender_names:
            self.targets["gender_targets"] = class_indices(table.genders, config.gender_names)
        rated = ~np.isnan(table.labels).all(axis=1)
        if len({scale for scale, kept in zip(table.rating_scales, rated, strict=True) if kept}) > 1:
            self.targets["rating_scales"] = np.unique(table.rating_scales, return_inverse=True)[1]

    def set_teacher(
        self, logits: np.ndarray, embedding: np.ndarray, emotions: np.ndarray | None = None, fill: str = "all"
    ) -> None:
        """Add a teacher's outputs to the targets.

        Args:
            logits: (clips, 3).
            embedding: (clips, embedding_size).
            emotions: (clips, classes), probabilities of the student's classes, if these are distilled.
            fill: As of [`Distillation`]: with `missing`, NaN takes the place of what the clip has a label for.
        """
        if fill == "missing":
            logits = np.where(np.isnan(self.table.labels), logits, np.nan)
            if emotions is not None:
                own = self.targets["emotion_targets"]
                known = own != IGNORED_CLASS if own.ndim == 1 else ~np.isnan(own).any(axis=1)
                emotions = np.where(known[:, None], np.nan, emotions)
        self.targets |= {"teacher_logits": logits[:, self.columns], "teacher_embedding": embedding}
        self.targets |= {} if emotions is None else {"teacher_emotions": emotions}

    def lengths(self) -> list[float]:
        """Return a measure of each clip's length: its frames in any branch, as all are longer for a longer clip."""
        frames = next(iter(self.caches.values()))
        return [len(frames.read(fingerprint)) for fingerprint in self.table.fingerprints]

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> dict:
        fingerprint = self.table.fingerprints[index]
        frames = {name: cache.read(fingerprint) for name, cache in self.caches.items()}
        return {"frames": frames, **{name: values[index] for name, values in self.targets.items()}}


def output_columns(config) -> list[int]:
    """Return the place of each of a model's outputs among `DIMENSIONS`."""
    return [DIMENSIONS.index(name) for name in config.id2label.values()]


def class_indices(names: Sequence[str | None], known: Sequence[str]) -> np.ndarray:
    """Return (clips,), the index of each name in `known`, -100 for all other names."""
    index = {name: i for i, name in enumerate(known)}
    return np.array([index.get(name, IGNORED_CLASS) for name in names], dtype=np.int64)


def _vote_shares(votes: Sequence[tuple[str, ...]], classes: np.ndarray, codes: Sequence[str]) -> np.ndarray:
    """(clips, classes) shares of the graders' votes; without votes 1 for the clip's own class; NaN without a class."""
    shares = np.full((len(votes), len(codes)), np.nan)
    for row, (given, label) in enumerate(zip(votes, classes, strict=True)):
        counts = np.array([given.count(code) for code in codes], dtype=np.float64)
        if counts.sum():
            shares[row] = counts / counts.sum()
        elif label != IGNORED_CLASS:
            shares[row] = np.eye(len(codes))[label]
    return shares


def collate_frames(items: list[dict]) -> dict:
    """Pad items to a batch: targets, and per branch `frames` (batch, frames, width) and their `frames_mask`.

    Of clips with audio also `input_values` (batch, samples) and their `attention_mask`.
    """
    batch: dict = {"frames": {}, "frames_mask": {}}
    for name in items[0]["frames"]:
        clips = [item["frames"][name] for item in items]
        lengths = torch.tensor([len(clip) for clip in clips])
        padded = np.zeros((len(clips), int(lengths.max()), clips[0].shape[1]), dtype=np.float32)
        for row, clip in zip(padded, clips, strict=True):
            row[: len(clip)] = clip  # the only copy: clips are memory-mapped
        batch["frames"][name] = torch.from_numpy(padded)
        batch["frames_mask"][name] = torch.arange(padded.shape[1]) < lengths.unsqueeze(1)
    if "input_values" in items[0]:
        waveforms = [torch.from_numpy(item["input_values"]) for item in items]
        batch["input_values"] = pad_sequence(waveforms, batch_first=True)
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        batch["attention_mask"] = (torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).long()
    for name in [name for name in items[0] if name not in ("frames", "input_values")]:
        values = torch.from_numpy(np.stack([item[name] for item in items]))
        batch[name] = values.float() if values.is_floating_point() else values
    return batch
