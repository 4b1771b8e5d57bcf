"""Any audio there is, opened for reading from start to end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np

from .audio import to_array, to_mono
from .audio_file import AudioFile
from .resampling import whole_rate


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
