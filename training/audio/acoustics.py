"""Level of a waveform, and a synthetic room: what altering speech measures, keeps and adds."""

from __future__ import annotations

import math

import numpy as np


SHORTEST_T60_S, LONGEST_T60_S = 0.01, 10.0
_QUICK_MULTIPLE = 2048  # a Fourier transform of a prime length takes eight times as long


def check_t60(name: str, t60_s: float) -> None:
    """
    Raises:
        ValueError: `t60_s` lies outside 0.01 to 10 s.
    """
    if not SHORTEST_T60_S <= t60_s <= LONGEST_T60_S:
        raise ValueError(f"{name} is {t60_s}; {SHORTEST_T60_S:g} to {LONGEST_T60_S:g} s are allowed")


def impulse_response(
    t60_s: float, rng: np.random.Generator, sampling_rate: int = 16_000, direct_to_reverberant_db: float = 0.0
) -> np.ndarray:
    """
    The direct sound at sample 0, then Gaussian noise that decays exponentially.

    The model is Polack's, as in Habets, "Single- and multi-microphone speech dereverberation using spectral
    enhancement" (2007), section 2.3: the amplitude falls as 10 ** (-3 t / T60), by 60 dB within `t60_s`, where the
    response ends.

    Args:
        t60_s: reverberation time, 0.01 to 10 s.
        rng: draws the noise.
        sampling_rate: in hertz.
        direct_to_reverberant_db: energy of the direct sound over that of the noise; lower is further away.

    Returns:
        (round(t60_s * sampling_rate) + 1,) float32, of unit energy.

    Raises:
        ValueError: a time or a ratio outside what is allowed.
    """
    check_t60("t60_s", t60_s)
    if not math.isfinite(direct_to_reverberant_db):
        raise ValueError(f"direct_to_reverberant_db is {direct_to_reverberant_db}; give a finite number of decibels")
    times_s = np.arange(1, round(t60_s * sampling_rate) + 1) / sampling_rate
    tail = rng.standard_normal(len(times_s)) * 10 ** (-3 * times_s / t60_s)
    direct_energy = 1 / (1 + 10 ** (-direct_to_reverberant_db / 10))
    tail *= math.sqrt((1 - direct_energy) / np.sum(tail**2))
    return np.concatenate([[math.sqrt(direct_energy)], tail]).astype(np.float32)


def reverberate(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """
    A clip as heard through a room. What rings on behind its end is cut off.

    Args:
        waveform: (samples,).
        response: (samples,) of the room, its direct sound at sample 0, so that the clip is not delayed.

    Returns:
        (samples,) float32 with the clip's root mean square; its peak may lie above 1.

    Raises:
        ValueError: one of the two is no waveform.
    """
    check_waveform("waveform", waveform)
    check_waveform("response", response)
    # by numpy, for torch's transforms round otherwise with another number of threads
    size = len(waveform) + len(response) - 1
    size += -size % _QUICK_MULTIPLE
    spectrum = np.fft.rfft(waveform.astype(np.float64), size) * np.fft.rfft(response.astype(np.float64), size)
    return at_rms(np.fft.irfft(spectrum, size)[: len(waveform)], rms(waveform))


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
