"""Clips with cached frames as a dataset, and batches of them."""

from __future__ import annotations

import numpy as np
import torch
from frame_cache import FrameCache
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from corpora.corpus import DIMENSIONS


IGNORED_CLASS = -100
# small corpora are read from disk once
HELD_BYTES = 1 << 30


class FrameDataset(Dataset):
    """
    The clips of one split, as a model on cached frames takes them.

    Args:
        rows: the split: `file`, `audio`, labels and `emotion` of each clip.
        fingerprints: of each row's audio.
        caches: per branch name.
        emotion_names: classes by index; others are ignored.
    """

    def __init__(self, rows, fingerprints: list[str], caches: dict[str, FrameCache], emotion_names: list[str]):
        self.files = list(rows["file"])
        self.labels = np.stack([np.asarray(rows[d], dtype=np.float64) for d in DIMENSIONS], axis=1)
        index = {name: i for i, name in enumerate(emotion_names)}
        self.emotions = [index.get(name, IGNORED_CLASS) for name in rows["emotion"]]
        self.fingerprints = fingerprints
        self.caches = caches
        self.teacher: tuple[np.ndarray, np.ndarray] | None = None
        self._held: dict[int, dict[str, np.ndarray]] = {}
        self._held_bytes = 0

    def set_teacher(self, logits: np.ndarray, embeddings: np.ndarray) -> None:
        """Add a teacher's outputs (clips, 3) and embeddings (clips, embedding_size) to every item."""
        if not len(logits) == len(embeddings) == len(self):
            raise ValueError(f"{len(logits)} outputs and {len(embeddings)} embeddings for {len(self)} clips")
        self.teacher = (logits, embeddings)

    def __len__(self) -> int:
        return len(self.fingerprints)

    def __getitem__(self, index: int) -> dict:
        item = {
            "frames": self._frames(index),
            "labels": self.labels[index],
            "emotion_labels": self.emotions[index],
        }
        if self.teacher is not None:
            item["teacher_logits"], item["teacher_embedding"] = (part[index] for part in self.teacher)
        return item

    def _frames(self, index: int) -> dict[str, np.ndarray]:
        frames = self._held.get(index)
        if frames is None:
            frames = {name: cache.read(self.fingerprints[index]) for name, cache in self.caches.items()}
            if self._held_bytes < HELD_BYTES:
                frames = self._held[index] = {name: np.array(values) for name, values in frames.items()}
                self._held_bytes += sum(values.nbytes for values in frames.values())
        return frames


class FrameCollator:
    """
    Pads items to a batch.

    Args:
        with_emotions: pass emotion classes on, for a model that has them.
    """

    def __init__(self, with_emotions: bool):
        self.with_emotions = with_emotions

    def __call__(self, items: list[dict]) -> dict:
        batch: dict = {"frames": {}, "frames_mask": {}}
        for name in items[0]["frames"]:
            sequences = [torch.from_numpy(item["frames"][name].astype(np.float32)) for item in items]
            lengths = torch.tensor([len(sequence) for sequence in sequences])
            batch["frames"][name] = pad_sequence(sequences, batch_first=True)
            batch["frames_mask"][name] = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        batch["labels"] = torch.tensor(np.stack([item["labels"] for item in items]), dtype=torch.float32)
        if self.with_emotions:
            batch["emotion_labels"] = torch.tensor([item["emotion_labels"] for item in items])
        for key in ("teacher_logits", "teacher_embedding"):
            if key in items[0]:
                batch[key] = torch.tensor(np.stack([item[key] for item in items]), dtype=torch.float32)
        return batch
