"""From any audio to a mono waveform at the model's sampling rate."""

from __future__ import annotations

import io
import os

import numpy as np

from .audio_file import AudioFile
from .resampling import resample


BLOCK_SAMPLES = 1 << 20
# anything louder is integer samples that were not scaled, rather than an overshoot of a decoder
HIGHEST_PEAK = 8.0
_INTEGER_SCALES = {"int8": 2**7, "int16": 2**15, "int32": 2**31, "int64": 2**31}


def decode_audio(source: str | os.PathLike | bytes | io.IOBase) -> tuple[np.ndarray, int]:
    """
    Decode a file to mono, block by block, so that channels and sample format never multiply the memory.

    Args:
        source: path, http or https address, encoded bytes or a binary file object; wav, flac, ogg, opus, mp3 and what
            else libsndfile reads.

    Returns:
        (samples,) float32, and the sampling rate in hertz.

    Raises:
        ValueError: not there, not audio, or broken.
    """
    with AudioFile(source) as file:
        blocks = list(file.blocks(BLOCK_SAMPLES))
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32), file.sampling_rate


def to_array(samples) -> np.ndarray:
    """
    An array, list or tensor as an array, without a copy where there need be none.

    Raises:
        ValueError: lists of different lengths, or a tensor that numpy cannot have: sparse, or without data.
    """
    try:
        if hasattr(samples, "is_floating_point"):  # a tensor; torch itself is not needed here
            # numpy has no bfloat16
            is_short = samples.is_floating_point() and samples.element_size() < 4
            samples = (samples.float() if is_short else samples).numpy(force=True)
        return np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"audio is a {type(samples).__name__} that is no array of numbers ({error}); give numbers as (samples,), "
            "(channels, samples) or (samples, channels)"
        ) from error


def to_mono(samples, channel_axis: int | None = None) -> np.ndarray:
    """
    An array of samples as mono float32 in [-1, 1].

    Args:
        samples: an array, a list or a tensor: (samples,), (channels, samples) or (samples, channels). Integers are
            scaled by their type's full scale; floating-point samples are expected in [-1, 1] and clipped there.
        channel_axis: of the channels; the shorter axis without it.

    Returns:
        (samples,) float32.

    Raises:
        ValueError: another shape or type, NaN or infinity, or floats on an integer scale.
    """
    array = to_array(samples)
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise ValueError(
            f"audio has shape {array.shape} and type {array.dtype}; give numbers as (samples,), (channels, samples) "
            "or (samples, channels)"
        )
    if array.dtype.kind == "u":
        if array.dtype != np.uint8:
            raise ValueError(f"audio has type {array.dtype}; give uint8, a signed integer or a floating-point type")
        array = (array.astype(np.float32) - 128) / 128
    elif array.dtype.kind == "i":
        array = array / _INTEGER_SCALES[array.dtype.name]
    if array.size == 0:
        return np.zeros(0, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
        if array.ndim == 2:
            array = array.mean(axis=int(array.shape[0] > array.shape[1]) if channel_axis is None else channel_axis)
        array = array.astype(np.float32, copy=False)
    peak = float(max(array.max(initial=0), -array.min(initial=0)))  # NaN where one sample is
    if not np.isfinite(peak):
        raise ValueError("audio has NaN or infinite samples; repair or drop the clip")
    if peak > HIGHEST_PEAK:
        raise ValueError(f"audio reaches {peak:g}; floating-point samples lie in [-1, 1]: divide by their full scale")
    return array.clip(-1, 1) if peak > 1 else array


def resample_audio(waveform: np.ndarray, sampling_rate: int, target_rate: int) -> np.ndarray:
    """
    Resample by a windowed sinc.

    Args:
        waveform: (samples,) float32.
        sampling_rate: of the waveform in hertz, 1,000 to 768,000.
        target_rate: in hertz.

    Returns:
        (ceil(samples * target_rate / sampling_rate),) float32.

    Raises:
        ValueError: the rate is outside its range.
    """
    if sampling_rate == target_rate:
        return waveform
    return resample(waveform, sampling_rate, target_rate)
