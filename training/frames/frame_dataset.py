"""Clips with cached frames as a dataset, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from ..corpora.clip_table import ClipTable
from .frame_cache import FrameCache


IGNORED_CLASS = -100
TARGETS = ("labels", "label_variances", "emotion_labels", "gender_labels", "teacher_logits", "teacher_embedding")


class FrameDataset(Dataset):
    """
    Clips of one split, as a model on cached frames takes them.

    Args:
        table: the clips.
        caches: per branch name.
        config: of the model: which second tasks it has (`emotion_names`, `gender_names`, `predict_uncertainty`).
        emotion_codes: code of each class in `config.emotion_names`; others are ignored.
        votes: give the graders' votes as the target of the classes, where a clip has some of these classes.
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
        self.targets: dict[str, np.ndarray] = {"labels": table.labels}
        if config.predict_uncertainty:
            self.targets["label_variances"] = table.label_variances
        if emotion_codes:
            classes = _classes(table.emotions, emotion_codes)
            self.targets["emotion_labels"] = _vote_shares(table.votes, classes, emotion_codes) if votes else classes
        if config.gender_names:
            self.targets["gender_labels"] = _classes(table.genders, config.gender_names)

    def set_teacher(self, logits: np.ndarray, embeddings: np.ndarray) -> None:
        """Add a teacher's outputs (clips, 3) and embeddings (clips, embedding_size) to every item."""
        if not len(logits) == len(embeddings) == len(self):
            raise ValueError(f"{len(logits)} outputs and {len(embeddings)} embeddings for {len(self)} clips")
        self.targets |= {"teacher_logits": logits, "teacher_embedding": embeddings}

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> dict:
        fingerprint = self.table.fingerprints[index]
        frames = {name: cache.read(fingerprint) for name, cache in self.caches.items()}
        return {"frames": frames, **{name: values[index] for name, values in self.targets.items()}}


def _classes(names: Sequence[str | None], known: Sequence[str]) -> np.ndarray:
    """(clips,) index of each name among those known, -100 where it is none of them."""
    index = {name: i for i, name in enumerate(known)}
    return np.array([index.get(name, IGNORED_CLASS) for name in names], dtype=np.int64)


def _vote_shares(votes: Sequence[tuple[str, ...]], classes: np.ndarray, codes: Sequence[str]) -> np.ndarray:
    """(clips, classes): each class's share of the graders' votes; all on the clip's class without any; else NaN."""
    shares = np.full((len(votes), len(codes)), np.nan)
    for row, (given, label) in enumerate(zip(votes, classes, strict=True)):
        counts = np.array([given.count(code) for code in codes], dtype=np.float64)
        if counts.sum():
            shares[row] = counts / counts.sum()
        elif label != IGNORED_CLASS:
            shares[row] = np.eye(len(codes))[label]
    return shares


def collate_frames(items: list[dict]) -> dict:
    """Pad items of a [`FrameDataset`] to a batch: frames and masks per branch, and the targets, as tensors."""
    batch: dict = {"frames": {}, "frames_mask": {}}
    for name in items[0]["frames"]:
        clips = [item["frames"][name] for item in items]
        lengths = torch.tensor([len(clip) for clip in clips])
        padded = np.zeros((len(clips), int(lengths.max()), clips[0].shape[1]), dtype=np.float32)
        for row, clip in zip(padded, clips, strict=True):
            row[: len(clip)] = clip  # the only copy: clips are memory-mapped
        batch["frames"][name] = torch.from_numpy(padded)
        batch["frames_mask"][name] = torch.arange(padded.shape[1]) < lengths.unsqueeze(1)
    for name in TARGETS:
        if name in items[0]:
            values = torch.from_numpy(np.stack([item[name] for item in items]))
            batch[name] = values.float() if values.is_floating_point() else values
    return batch
