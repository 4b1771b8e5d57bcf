"""From any audio to a mono waveform at the model's sampling rate."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.functional import resample


LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
BLOCK_SAMPLES = 1 << 20
# anything louder is integer samples that were not scaled, rather than an overshoot of a decoder
HIGHEST_PEAK = 8.0
LARGEST_FILTER = 8_000_000  # numbers in a resampling filter, about
_INTEGER_SCALES = {"int8": 2**7, "int16": 2**15, "int32": 2**31, "int64": 2**31}


def decode_audio(source: str | os.PathLike | bytes | io.IOBase) -> tuple[np.ndarray, int]:
    """
    Decode a file to mono, block by block, so that channels and sample format never multiply the memory.

    Args:
        source: path, encoded bytes or a binary file object; wav, flac, ogg, opus, mp3 and what else libsndfile reads.

    Returns:
        (samples,) float32, and the sampling rate in hertz.

    Raises:
        ValueError: not there, not audio, or broken.
    """
    name = "the given bytes"
    if isinstance(source, (str, os.PathLike)):
        name = repr(os.fspath(source))
        if not Path(source).is_file():
            raise ValueError(f"{name} is no file; give the path of an audio file, its bytes, or an array")
    elif isinstance(source, (bytes, bytearray)):
        source = io.BytesIO(source)
    try:
        with soundfile.SoundFile(source) as file:
            rate = file.samplerate
            blocks = [block.mean(axis=1) for block in file.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True)]
    except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError) as error:
        formats = "wav, flac, ogg, opus, mp3"
        raise ValueError(f"{name} cannot be read as audio ({error}); give one of {formats}") from error
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32), rate


def to_mono(samples: np.ndarray | torch.Tensor | list) -> np.ndarray:
    """
    An array of samples as mono float32 in [-1, 1].

    Args:
        samples: (samples,), (channels, samples) or (samples, channels): the shorter axis is taken as channels.
            Integers are scaled by their type's full scale; floating-point samples are expected in [-1, 1] and clipped
            there.

    Returns:
        (samples,) float32.

    Raises:
        ValueError: another shape or type, NaN or infinity, or floats on an integer scale.
    """
    array = samples.detach().cpu().numpy() if isinstance(samples, torch.Tensor) else np.asarray(samples)
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
    if array.ndim == 2:
        array = array.mean(axis=int(array.shape[0] > array.shape[1]))
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError("audio has NaN or infinite samples; repair or drop the clip")
    peak = float(np.abs(array).max(initial=0))
    if peak > HIGHEST_PEAK:
        raise ValueError(f"audio reaches {peak:g}; floating-point samples lie in [-1, 1]: divide by their full scale")
    return array.clip(-1, 1)


def resample_audio(waveform: np.ndarray, sampling_rate: int, target_rate: int) -> np.ndarray:
    """
    Resample by a windowed sinc.

    Args:
        waveform: (samples,) float32.
        sampling_rate: of the waveform in hertz, 1,000 to 768,000.
        target_rate: in hertz.

    Returns:
        (samples * target_rate / sampling_rate,) float32.

    Raises:
        ValueError: the rate is outside its range.
    """
    if isinstance(sampling_rate, bool) or int(sampling_rate) != sampling_rate:
        raise ValueError(f"sampling_rate is {sampling_rate!r}; give a whole number of hertz")
    if not LOWEST_RATE <= sampling_rate <= HIGHEST_RATE:
        raise ValueError(
            f"sampling_rate is {sampling_rate}; {LOWEST_RATE} to {HIGHEST_RATE} Hz are allowed: check the audio's rate"
        )
    if sampling_rate == target_rate:
        return waveform
    # rates that share few factors with 16 kHz would need gigabytes of filters, one per output phase; under this limit
    # all rates in use are exact, and any other is within 0.02%
    exact = Fraction(int(sampling_rate), target_rate)
    ratio = exact.limit_denominator(max(1, int((LARGEST_FILTER / exact) ** 0.5)))
    resampled = resample(torch.from_numpy(waveform), ratio.numerator, ratio.denominator)
    return resampled.numpy()
