"""Frames on disk: what a frozen front end makes of a clip, kept by what was heard and how."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


# raise when the same settings give other frames than before
FRAMES_VERSION = 1
# of each cache: small corpora are read from disk once, large ones stay there
HELD_BYTES = 1 << 30


def clip_fingerprint(audio: dict) -> str:
    """
    Identity of a clip's audio, wherever it lies: SHA-256 of the encoded file.

    Args:
        audio: `{"path", "bytes"}` as `datasets.Audio(decode=False)` gives it.
    """
    if audio.get("bytes") is not None:
        return hashlib.sha256(audio["bytes"]).hexdigest()
    with open(audio["path"], "rb") as file:
        return _digest(file)


def _digest(file) -> str:  # hashlib.file_digest needs Python 3.11
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


@dataclass
class FrameCache:
    """
    One folder of cached frames: of one branch, made in one way.

    Args:
        root: folder of all caches.
        branch: the branch's name.
        settings: all that the frames depend on besides the audio (branch settings; encoder and revision).
        dtype: of the file, `float16` or `float32`.
    """

    root: Path
    branch: str
    settings: dict
    dtype: str
    _held: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)
    _held_bytes: int = field(default=0, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict:
        return {**vars(self), "_held": {}, "_held_bytes": 0}  # another process reads its own

    @property
    def folder(self) -> Path:
        text = json.dumps({"version": FRAMES_VERSION, "dtype": self.dtype, **self.settings}, sort_keys=True)
        return self.root / f"{self.branch}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def path(self, fingerprint: str) -> Path:
        return self.folder / fingerprint[:2] / f"{fingerprint}.npy"

    def has(self, fingerprint: str) -> bool:
        return self.path(fingerprint).is_file()

    def write(self, fingerprint: str, frames: np.ndarray) -> None:
        """
        Keep (frames, width). The file appears whole or not at all.

        Raises:
            ValueError: the frames do not fit the file's number format.
        """
        stored = frames.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise ValueError(
                f"frames of {self.branch} reach {np.abs(frames).max():g}: not finite as {self.dtype}; "
                "the encoder's output cannot be cached"
            )
        path = self.path(fingerprint)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, stored, allow_pickle=False)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def read(self, fingerprint: str) -> np.ndarray:
        """(frames, width) in the file's number format; held in memory, or memory-mapped once that is full."""
        frames = self._held.get(fingerprint)
        if frames is None:
            frames = np.load(self.path(fingerprint), mmap_mode="r", allow_pickle=False)
            if self._held_bytes + frames.nbytes <= HELD_BYTES:
                frames = self._held[fingerprint] = np.array(frames)
                self._held_bytes += frames.nbytes
        return frames
