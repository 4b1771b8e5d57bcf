"""Mean and standard deviation of cached frames, which training begins with: read once, and kept beside the frames."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from .frame_cache import FrameCache


logger = logging.getLogger(__name__)


def frame_statistics(cache: FrameCache, fingerprints: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """
    Over all frames of these clips; of a clip that is named twice, twice.

    Args:
        cache: with the frames of all of them.
        fingerprints: of the clips, at least one.

    Returns:
        mean (width,) and population standard deviation (width,), float64.
    """
    digest = hashlib.sha256("\n".join(sorted(fingerprints)).encode()).hexdigest()
    path = cache.folder / f"statistics-{digest[:32]}.json"
    kept = _read(path)
    if kept is not None:
        return np.array(kept["mean"]), np.array(kept["std"])
    mean, std = _moments(cache, fingerprints)
    try:
        _write(path, {"clips": len(fingerprints), "mean": mean.tolist(), "std": std.tolist()})
    except OSError as error:  # a full disk, or a folder that is only to be read
        logger.info("statistics of %s are not kept: %s", cache.folder, error)
    return mean, std


def _moments(cache: FrameCache, fingerprints: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    count, total, squares = 0, 0.0, 0.0
    for fingerprint in fingerprints:
        frames = cache.read(fingerprint).astype(np.float64)
        count, total = count + len(frames), total + frames.sum(axis=0)
        squares = squares + np.einsum("fw,fw->w", frames, frames)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - np.square(mean), 0))


def _read(path: Path) -> dict | None:
    """What [`_write`] wrote; None where there is no file, or a damaged one."""
    try:
        kept = json.loads(path.read_text())
        return kept if kept.pop("checksum", None) == _checksum(kept) else None
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return None


def _write(path: Path, content: dict) -> None:
    """Whole or not at all, whoever else writes the same."""
    handle, temporary = mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump({**content, "checksum": _checksum(content)}, file)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _checksum(content: dict) -> int:
    """JSON gives every float back to the bit."""
    return zlib.crc32(json.dumps(content).encode())
