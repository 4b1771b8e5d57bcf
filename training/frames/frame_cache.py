"""Frames of a front end on disk, by the content of the clip and the settings they were made with."""

import hashlib
import json
import logging
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..files import read_json, write_json
from .frame_shards import ShardReader, ShardWriter


logger = logging.getLogger(__name__)

# raise when the same settings give other frames than before, or the files have another layout
FRAMES_VERSION = 2


@dataclass
class FrameCache:
    """A folder with the frames of one branch. Many processes and runs may read and write it at once.

    Args:
        root: Folder of all caches.
        branch: Name of the branch.
        settings: All that the frames depend on besides the audio: settings of the branch, encoder and revision.
        dtype: Number format on disk, `float16` or `float32`.
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

    def missing(self, fingerprints: Iterable[str]) -> list[str]:
        """Return the clips whose frames are not on disk, and warn if some of them are in a truncated file."""
        reader = self._refreshed()
        missing = [fingerprint for fingerprint in fingerprints if fingerprint not in reader.entries]
        cut_off = len({key for key, _ in reader.cut_off}.intersection(missing))
        if cut_off:
            logger.warning("%s: files are shorter than they were, %d clips are made anew", self.folder, cut_off)
        return missing

    def write_batch(self, frames: Mapping[str, np.ndarray]) -> None:
        """Write the frames (frames, width) of a batch of clips; readers see the whole batch or nothing of it.

        Raises:
            ValueError: Frames of another shape, or values that the number format cannot hold.
        """
        stored = {}
        for fingerprint, clip in frames.items():
            if clip.ndim != 2:
                raise ValueError(f"frames of {self.branch} have shape {clip.shape}; give (frames, width)")
            with np.errstate(over="ignore"):  # raised below
                stored[fingerprint] = clip.astype(self.dtype, copy=False)
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
        """Return the frames (frames, width) of a clip in the number format on disk, memory-mapped and read-only.

        Raises:
            FileNotFoundError: The cache has no frames of this clip.
            ValueError: The frames are damaged; a new run makes them again.
        """
        reader = self._reader or self._refreshed()
        if fingerprint not in reader.entries and fingerprint not in self._refreshed().entries:
            raise FileNotFoundError(f"{self.folder} has no frames of clip {fingerprint}; extract them first")
        return reader.read(fingerprint)

    def statistics(self, fingerprints: Sequence[str], block: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and population standard deviation (width,), float64, over all frames of these clips.

        They are kept on disk. There must be at least one clip; one that is named twice counts twice. With `block` they
        are those of the means of so many frames each; what is left at the end of a clip does not count.

        Raises:
            ValueError: No clip has a whole block.
        """
        digest = hashlib.sha256("\n".join(sorted(fingerprints)).encode()).hexdigest()
        path = self.folder / f"statistics-{digest[:32]}{f'-{block}' if block > 1 else ''}.json"
        kept = read_json(path)
        if kept and kept.pop("checksum", None) == _checksum(kept):
            return np.array(kept["mean"]), np.array(kept["std"])
        count, total, squares = 0, 0.0, 0.0
        for clip in map(self.read, fingerprints):
            whole = clip[: len(clip) // block * block].astype(np.float64)
            frames = whole.reshape(-1, block, clip.shape[1]).mean(axis=1)
            count, total = count + len(frames), total + frames.sum(axis=0)
            squares = squares + np.einsum("fw,fw->w", frames, frames)
        if not count:
            raise ValueError(
                f"none of {len(fingerprints)} clips has {block} frames of {self.branch}; give longer ones"
            )
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
        content = {"clips": len(fingerprints), "mean": mean.tolist(), "std": std.tolist()}
        try:
            write_json(path, {**content, "checksum": _checksum(content)})
        except OSError as error:  # a full disk, or a read-only folder
            logger.info("statistics of %s are not kept: %s", self.folder, error)
        return mean, std

    def close(self) -> None:
        """Stop writing; another process may then append to the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _refreshed(self) -> ShardReader:
        if self._reader is None:
            self._reader = ShardReader(self.folder, self.dtype)
        self._reader.refresh()
        return self._reader


def _checksum(content: dict) -> int:
    """JSON keeps every bit of a float."""
    return zlib.crc32(json.dumps(content).encode())
