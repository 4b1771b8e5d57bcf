"""Mean and standard deviation of cached frames, which training begins with: read once, and kept beside the frames."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from frame_cache import FrameCache


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
    if path.is_file():
        kept = json.loads(path.read_text())
        return np.array(kept["mean"]), np.array(kept["std"])
    mean, std = _moments(cache, fingerprints)
    _write(path, {"clips": len(fingerprints), "mean": mean.tolist(), "std": std.tolist()})
    return mean, std


def _moments(cache: FrameCache, fingerprints: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    count, total, squares = 0, 0.0, 0.0
    for fingerprint in fingerprints:
        frames = cache.read(fingerprint).astype(np.float64)
        count, total = count + len(frames), total + frames.sum(axis=0)
        squares = squares + np.einsum("fw,fw->w", frames, frames)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - np.square(mean), 0))


def _write(path: Path, content: dict) -> None:
    """Whole or not at all, whoever else writes the same."""
    handle, temporary = mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
    os.replace(temporary, path)
