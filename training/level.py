"""The level of a waveform: what altering speech measures, keeps and bounds."""

from __future__ import annotations

import numpy as np


def check_waveform(name: str, waveform: np.ndarray) -> None:
    """
    Refuse what is no mono waveform.

    Args:
        name: of the argument, for the message.
        waveform: to be a floating-point array (samples,), finite, with at least one sample.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(waveform, np.ndarray) or waveform.ndim != 1 or waveform.dtype.kind != "f" or not len(waveform):
        given = f"{waveform.dtype} {waveform.shape}" if isinstance(waveform, np.ndarray) else type(waveform).__name__
        raise ValueError(f"{name} is {given}; give a floating-point numpy array (samples,) with at least one sample")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{name} has NaN or infinite samples; repair or drop the clip")


def rms(waveform: np.ndarray) -> float:
    """Root mean square of a waveform (samples,)."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def at_rms(waveform: np.ndarray, target: float) -> np.ndarray:
    """A waveform (samples,) brought to another root mean square, float32; a silent one stays silent."""
    level = rms(waveform)
    # in float64, for what is all but silent would need a gain beyond float32
    return (waveform.astype(np.float64) * (target / level if level else 1.0)).astype(np.float32)


def within_full_scale(waveform: np.ndarray) -> np.ndarray:
    """A waveform (samples,) in [-1, 1], float32: scaled down as a whole where it reaches beyond, never clipped."""
    return (waveform / max(1.0, float(np.abs(waveform).max()))).astype(np.float32)
