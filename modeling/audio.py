"""Any audio that a user may give: as a mono waveform at a model's sampling rate, or opened to be read in blocks."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from .audio_file import AudioFile, shown
from .resampling import resample, whole_rate


SAMPLING_RATE = 16_000  # of the waveforms that models take, in hertz
SHORTEST_S = 0.1
BLOCK_SAMPLES = 1 << 20
# anything louder is integer samples that were not scaled, rather than an overshoot of a decoder
HIGHEST_PEAK = 8.0
# int32 samples that stay below this may be 16 or 24 bits in a wider type
WIDE_PEAK = 2**23


def to_array(samples) -> np.ndarray:
    """Convert an array, list or tensor to an array, without a copy where possible.

    Raises:
        ValueError: lists of different lengths, or a tensor that is sparse or without data.
    """
    try:
        if hasattr(samples, "is_floating_point"):  # a tensor; torch itself is not needed here
            # numpy has no bfloat16
            is_short = samples.is_floating_point() and samples.element_size() < 4
            samples = (samples.float() if is_short else samples).numpy(force=True)
        return np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"audio is a {type(samples).__name__} that is no array of numbers ({error!s:.200}); give numbers as "
            "(samples,), (channels, samples) or (samples, channels)"
        ) from error


def to_mono(samples, channel_axis: int | None = None, full_scale: int | None = None) -> np.ndarray:
    """Convert samples to mono float32 in [-1, 1].

    Args:
        samples: an array, list or tensor: (samples,), (channels, samples) or (samples, channels). uint8, int8 and
            int16 are scaled by their type's full scale; floats are expected in [-1, 1] and clipped there.
        channel_axis: of the channels; by default the shorter axis.
        full_scale: of integers, by default that of their type, which types wider than 16 bits do not tell.

    Returns:
        (samples,) float32.

    Raises:
        ValueError: another shape or type, NaN or infinity, floats on an integer scale, or integers wider than 16 bits
            without their full scale (zeros alone are silence on any).
    """
    array = to_array(samples)
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise ValueError(
            f"audio has shape {array.shape} and type {array.dtype}; give numbers as (samples,), (channels, samples) "
            "or (samples, channels)"
        )
    if array.dtype.kind == "u":
        if array.dtype != np.uint8:
            raise ValueError(f"audio has type {array.dtype}; give uint8, int8, int16 or a floating-point type")
        array = (array.astype(np.float32) - 128) / 128
    elif array.dtype.kind == "i":
        array = array / (full_scale or _full_scale(array, is_whole=False))
    if array.size == 0:
        return np.zeros(0, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # overflows raise an error below
        if array.ndim == 2:
            array = array.mean(axis=int(array.shape[0] > array.shape[1]) if channel_axis is None else channel_axis)
        array = array.astype(np.float32, copy=False)
    peak = float(max(array.max(initial=0), -array.min(initial=0)))  # NaN if one sample is
    if not np.isfinite(peak):
        raise ValueError("audio has NaN or infinite samples; repair or drop the clip")
    if peak > HIGHEST_PEAK:
        raise ValueError(f"audio reaches {peak:g}; floating-point samples lie in [-1, 1]: divide by their full scale")
    return array.clip(-1, 1) if peak > 1 else array


def _full_scale(integers: np.ndarray, is_whole: bool) -> int:
    """Return the integer that stands for 1; only of a whole recording in int32 do the samples tell it."""
    bits = 8 * integers.dtype.itemsize
    peak = max(int(integers.max(initial=0)), -int(integers.min(initial=0)))
    is_known = bits <= 16 or peak == 0 or (is_whole and bits == 32 and peak > WIDE_PEAK)
    if not is_known:
        raise ValueError(
            f"audio has integers of type {integers.dtype.name} up to {peak}, whose full scale is unknown: give 16-bit "
            "samples as int16, .astype(np.int16), or divide by the full scale (16 bits: 32768, 32 bits: 2**31)"
        )
    return 2 ** (bits - 1)


def to_waveform(samples: np.ndarray, sampling_rate: int, target_rate: int) -> np.ndarray:
    """Resample mono samples to a model's input.

    Args:
        samples: (samples,) float32, mono in [-1, 1].
        sampling_rate, target_rate: in hertz.

    Returns:
        (samples * target_rate / sampling_rate,) float32 in [-1, 1].

    Raises:
        ValueError: the samples last less than 0.1 s.
    """
    waveform = resample(samples, sampling_rate, target_rate)
    if len(waveform) < SHORTEST_S * target_rate:
        raise ValueError(
            f"a clip lasts {len(samples) / sampling_rate:.3f} s; at least {SHORTEST_S} s are needed: "
            "drop it or join it with its neighbour"
        )
    return waveform.clip(-1, 1)


def load_waveform(clip, sampling_rate: int = SAMPLING_RATE, target_rate: int = SAMPLING_RATE) -> np.ndarray:
    """Decode, mix down and resample a whole clip.

    Args:
        clip: as of [`open_audio`].
        sampling_rate: in hertz, of a clip that is samples alone.
        target_rate: in hertz.

    Returns:
        (samples,) float32 in [-1, 1], mono at the target rate.

    Raises:
        ValueError: the clip cannot be opened or read, or lasts less than 0.1 s.
    """
    with open_audio(clip, sampling_rate) as source:
        blocks = [to_mono(block) for block in source.blocks(BLOCK_SAMPLES)]
        samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
        return to_waveform(samples, source.sampling_rate, target_rate)


class AudioArray:
    """Samples in memory, as [`to_mono`] takes them, read as an [`AudioFile`] is.

    int32 samples are scaled by 2**31 if the whole recording uses the upper 8 bits, and else refused.
    """

    def __init__(self, samples, sampling_rate: int):
        samples = to_array(samples)
        if samples.ndim == 2 and samples.shape[0] <= samples.shape[1]:
            samples = samples.T  # the shorter axis is that of the channels; a single block would not show it
        self._samples = samples if samples.ndim in (1, 2) and samples.dtype.kind in "fiu" else to_mono(samples)
        is_signed = self._samples.dtype.kind == "i"
        self._full_scale = _full_scale(self._samples, is_whole=True) if is_signed else None
        self.sampling_rate = sampling_rate
        self.num_samples = len(self._samples)

    def blocks(self, block_samples: int) -> Iterator[np.ndarray]:
        """Yield mono blocks, as [`AudioFile.blocks`] does."""
        for start in range(0, self.num_samples, block_samples):
            yield to_mono(self._samples[start : start + block_samples], 1, self._full_scale)

    def close(self) -> None:
        """Do nothing: there is no file."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def is_clip(inputs) -> bool:
    """Return whether this is one clip in a form that [`open_audio`] takes, rather than several."""
    if isinstance(inputs, (list, tuple)):
        return len(inputs) > 0 and np.isscalar(inputs[0]) and not isinstance(inputs[0], (str, bytes))
    kinds = (str, os.PathLike, bytes, bytearray, Mapping, np.ndarray)
    return isinstance(inputs, kinds) or any(hasattr(inputs, name) for name in ("read", "detach", "get_all_samples"))


def is_one_clip(inputs) -> bool:
    """Return whether inputs are one clip, rather than several.

    Raises:
        ValueError: they may be either: a 2-D array or tensor with more than one row and column, or samples and their
            rate in a tuple.
    """
    is_array = getattr(inputs, "ndim", 1) == 2 and is_clip(inputs)
    if is_array and min(inputs.shape) > 1:
        raise ValueError(
            f"audio has shape {tuple(inputs.shape)}, which may be clips or the channels of one; give list(audio) for "
            "clips in its rows, or {'array': audio, 'sampling_rate': rate} for channels"
        )
    _check_pair(inputs)
    return is_clip(inputs)


def _check_pair(inputs) -> None:
    """Raise a `ValueError` for (samples, rate) or (rate, samples), as other libraries return them."""
    if isinstance(inputs, (list, tuple)) and len(inputs) == 2:
        is_number = [np.isscalar(each) and not isinstance(each, (str, bytes)) for each in inputs]
        is_samples = [isinstance(each, (list, tuple)) or getattr(each, "ndim", 0) > 0 for each in inputs]
        if any(is_number) and (is_samples[0] if is_number[1] else is_samples[1]):
            raise ValueError(
                f"a clip is a {type(inputs).__name__} of samples and a number; give {{'array': samples, "
                "'sampling_rate': rate}"
            )


def is_indexed(inputs) -> bool:
    """Return whether inputs are read by number, as a dataset of torch or a column of `datasets`."""
    has_rows = hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")
    return isinstance(inputs, Sequence) or (has_rows and not isinstance(inputs, Iterable))


def each_clip(rows) -> Iterator:
    """Yield the rows of what [`is_indexed`]; in place of one that cannot be read, the error."""
    for index in range(len(rows)):
        try:
            yield rows[index]
        except Exception as error:  # whatever a dataset's own code raises
            yield error


def open_audio(clip, sampling_rate: int) -> AudioFile | AudioArray:
    """Open a clip.

    Args:
        clip: path, http or https address, encoded bytes, binary file object, array or tensor of samples (see
            [`to_mono`] for shapes and types), list of numbers, a dict with `"array"` (or `"raw"`) and
            `"sampling_rate"` or with `"bytes"` or `"path"`, or a decoder of torchcodec, as `datasets` has them.
        sampling_rate: in hertz, of a clip that is samples alone.

    Returns:
        An [`AudioFile`] or [`AudioArray`], to be closed: both have `sampling_rate`, `num_samples` and
        `blocks(block_samples)`, and close themselves at the end of a `with` statement.

    Raises:
        ValueError: the clip is missing or not audio, or its rate is out of range.
    """
    if isinstance(clip, Exception):
        raise ValueError(f"the dataset does not give this clip: {clip!r:.200}") from clip
    _check_pair(clip)
    if not is_clip(clip):
        raise ValueError(
            f"a clip is a {type(clip).__name__}; give a path, an http address, bytes, a binary file object, an array, "
            "a tensor, or a dict as a dataset's audio column has them"
        )
    if hasattr(clip, "get_all_samples"):
        try:
            decoded = clip.get_all_samples()
        except (RuntimeError, OSError, ValueError) as error:
            raise ValueError(f"the decoder cannot read the clip ({error!s:.200}); give a path or bytes") from error
        clip = {"array": decoded.data, "sampling_rate": decoded.sample_rate}
    if isinstance(clip, Mapping):
        clip, sampling_rate = _unpack(clip, sampling_rate)
    source = AudioFile(clip) if _is_encoded(clip) else AudioArray(clip, sampling_rate)
    try:
        source.sampling_rate = whole_rate(source.sampling_rate)
    except ValueError:
        source.close()
        raise
    return source


def _is_encoded(clip) -> bool:
    return isinstance(clip, (str, os.PathLike, bytes, bytearray)) or hasattr(clip, "read")


def _unpack(clip: Mapping, sampling_rate: int):
    array = clip.get("array") if clip.get("array") is not None else clip.get("raw")
    if array is not None:
        if clip.get("sampling_rate") is None:
            raise ValueError("a dict with 'array' or 'raw' also needs its 'sampling_rate'")
        return array, clip["sampling_rate"]
    given = [clip[name] for name in ("bytes", "path") if clip.get(name) is not None]
    if not given:
        raise ValueError(
            "a dict needs 'array' or 'raw' with 'sampling_rate', or 'path' or 'bytes'; "
            f"this one has {shown(list(clip))[1:-1] or 'nothing'}"
        )
    for encoded in given:
        if not _is_encoded(encoded):
            kind = type(encoded).__name__
            raise ValueError(f"a dict has a {kind} as 'bytes' or 'path'; give bytes, or a path as text")
    return given[0] or given[-1], sampling_rate
