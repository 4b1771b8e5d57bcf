"""Any audio a user may give: to a mono waveform at the model's sampling rate, or opened to be read in blocks."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping

import numpy as np

from .audio_file import AudioFile
from .resampling import resample, whole_rate


SAMPLING_RATE = 16_000  # of the waveforms that models take, in hertz
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


class AudioArray:
    """
    Samples in memory, read as an [`AudioFile`] is.

    Args:
        samples: array, tensor or list of numbers, of a shape and type that [`to_mono`] takes.
        sampling_rate: in hertz.
    """

    def __init__(self, samples, sampling_rate: int):
        samples = to_array(samples)
        if samples.ndim == 2 and samples.shape[0] <= samples.shape[1]:
            samples = samples.T  # the shorter axis is that of the channels; a block alone would not tell
        self._samples = samples if samples.ndim in (1, 2) else to_mono(samples)
        self.sampling_rate = sampling_rate
        self.num_samples = len(self._samples)

    def blocks(self, block_samples: int) -> Iterator[np.ndarray]:
        """As of [`AudioFile`]."""
        for start in range(0, self.num_samples, block_samples):
            yield to_mono(self._samples[start : start + block_samples], channel_axis=1)

    def close(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def is_clip(inputs) -> bool:
    """Whether this is one clip in a form that [`open_audio`] takes, rather than several."""
    if isinstance(inputs, (list, tuple)):
        return len(inputs) > 0 and np.isscalar(inputs[0]) and not isinstance(inputs[0], (str, bytes))
    kinds = (str, os.PathLike, bytes, bytearray, Mapping, np.ndarray)
    return isinstance(inputs, kinds) or any(hasattr(inputs, name) for name in ("read", "detach", "get_all_samples"))


def open_audio(clip, sampling_rate: int) -> AudioFile | AudioArray:
    """
    Open a clip.

    Args:
        clip: path, http or https address, encoded bytes, binary file object, array or tensor of samples (see
            [`to_mono`] for shapes and types), list of numbers, a dict with `"array"` (or `"raw"`) and
            `"sampling_rate"` or with `"bytes"` or `"path"`, or a decoder of torchcodec, as `datasets` has them.
        sampling_rate: in hertz, of a clip that is samples alone.

    Returns:
        an [`AudioFile`] or [`AudioArray`], to be closed: both have `sampling_rate`, `num_samples` and
        `blocks(block_samples)`, and close themselves at the end of a `with` statement.

    Raises:
        ValueError: not there, not audio, or at a rate that is out of range.
    """
    if not is_clip(clip):
        raise ValueError(
            f"a clip is a {type(clip).__name__}; give a path, an http address, bytes, a binary file object, an array, "
            "a tensor, or a dict as a dataset's audio column has them"
        )
    if hasattr(clip, "get_all_samples"):
        decoded = clip.get_all_samples()
        clip = {"array": decoded.data, "sampling_rate": decoded.sample_rate}
    if isinstance(clip, Mapping):
        clip, sampling_rate = _unpack(clip, sampling_rate)
    encoded = isinstance(clip, (str, os.PathLike, bytes, bytearray)) or hasattr(clip, "read")
    source = AudioFile(clip) if encoded else AudioArray(clip, sampling_rate)
    try:
        source.sampling_rate = whole_rate(source.sampling_rate)  # refuses what cannot be resampled
    except ValueError:
        source.close()
        raise
    return source


def _unpack(clip: Mapping, sampling_rate: int):
    array = clip.get("array") if clip.get("array") is not None else clip.get("raw")
    if array is None:
        return _encoded(clip), sampling_rate
    if clip.get("sampling_rate") is None:
        raise ValueError("a dict with 'array' or 'raw' also needs its 'sampling_rate'")
    return array, clip["sampling_rate"]


def _encoded(clip: Mapping):
    given = [clip[name] for name in ("bytes", "path") if clip.get(name) is not None]
    if not given:
        raise ValueError(
            "a dict needs 'array' or 'raw' with 'sampling_rate', or 'path' or 'bytes'; "
            f"this one has {', '.join(map(repr, clip)) or 'nothing'}"
        )
    for encoded in given:
        if not isinstance(encoded, (str, os.PathLike, bytes, bytearray)) and not hasattr(encoded, "read"):
            kind = type(encoded).__name__
            raise ValueError(f"a dict has a {kind} as 'bytes' or 'path'; give bytes, or a path as text")
    return given[0] or given[-1]
