"""Frames on disk: what a frozen front end makes of a clip, kept by what was heard and how."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .frame_shards import ShardReader, ShardWriter
from .frame_statistics import frame_statistics


logger = logging.getLogger(__name__)

# raise when the same settings give other frames than before, or lie on disk in another way
FRAMES_VERSION = 2


@dataclass
class FrameCache:
    """
    One folder of cached frames: of one branch, made in one way. Many processes and runs may read and write it at once.

    Args:
        root: folder of all caches.
        branch: the branch's name.
        settings: all that the frames depend on besides the audio (branch settings; encoder and revision).
        dtype: of the files, `float16` or `float32`.
    """

    root: Path
    branch: str
    settings: dict
    dtype: str
    _reader: ShardReader | None = field(default=None, init=False, repr=False, compare=False)
    _writer: ShardWriter | None = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict:
        return {**vars(self), "_reader": None, "_writer": None}  # another process opens its own

    @property
    def folder(self) -> Path:
        text = json.dumps({"version": FRAMES_VERSION, "dtype": self.dtype, **self.settings}, sort_keys=True)
        return self.root / f"{self.branch}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def fingerprints(self) -> set[str]:
        """Of all clips whose frames are on disk."""
        return set(self._refreshed().entries)

    def missing(self, fingerprints: Iterable[str]) -> list[str]:
        """Those whose frames are not on disk; a warning tells how many of them are in a file that was cut off."""
        reader = self._refreshed()
        missing = [fingerprint for fingerprint in fingerprints if fingerprint not in reader.entries]
        cut_off = len({key for key, _ in reader.cut_off}.intersection(missing))
        if cut_off:
            logger.warning("%s: files are shorter than they were, %d clips are made anew", self.folder, cut_off)
        return missing

    def has(self, fingerprint: str) -> bool:
        return fingerprint in self._opened().entries or fingerprint in self._refreshed().entries

    def write(self, fingerprint: str, frames: np.ndarray) -> None:
        """Keep (frames, width) of one clip, as [`write_batch`] does."""
        self.write_batch({fingerprint: frames})

    def write_batch(self, frames: Mapping[str, np.ndarray]) -> None:
        """
        Keep (frames, width) of each fingerprint. The batch appears whole or not at all.

        Raises:
            ValueError: frames of another shape, or that do not fit the file's number format.
        """
        stored = {}
        for fingerprint, clip in frames.items():
            if clip.ndim != 2:
                raise ValueError(f"frames of {self.branch} have shape {clip.shape}; give (frames, width)")
            with np.errstate(over="ignore"):  # told below
                stored[fingerprint] = clip.astype(self.dtype)
            if not np.isfinite(stored[fingerprint]).all():
                raise ValueError(
                    f"frames of {self.branch} reach {np.abs(clip).max():g}: not finite as {self.dtype}; "
                    "the encoder's output cannot be cached"
                )
        if not stored:
            return
        if self._writer is None:
            self._writer = ShardWriter(self.folder, np.dtype(self.dtype).itemsize)
        self._writer.append(stored)

    def read(self, fingerprint: str) -> np.ndarray:
        """
        (frames, width) in the file's number format, memory-mapped and read-only.

        Raises:
            FileNotFoundError: there are none of this clip.
            ValueError: they are damaged; a new run makes them anew.
        """
        if not self.has(fingerprint):
            raise FileNotFoundError(f"{self.folder} has no frames of clip {fingerprint}; extract them first")
        return self._opened().read(fingerprint)

    def statistics(self, fingerprints: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Of these clips, as [`frame_statistics`] has them."""
        return frame_statistics(self, fingerprints)

    def close(self) -> None:
        """End writing: the files may then be continued by others."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _opened(self) -> ShardReader:
        return self._reader or self._refreshed()

    def _refreshed(self) -> ShardReader:
        if self._reader is None:
            self._reader = ShardReader(self.folder, self.dtype)
        self._reader.refresh()
        return self._reader
