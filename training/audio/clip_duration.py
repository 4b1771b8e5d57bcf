"""How long audio lasts, told from its header: clips are put in batches with others of their length."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import NamedTuple

from speech_affect.audio_file import AudioFile


class AudioHeader(NamedTuple):
    """
    Args:
        num_samples: of each channel.
        sampling_rate: in hertz.
    """

    num_samples: int
    sampling_rate: int

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.sampling_rate


def audio_header(audio: dict) -> AudioHeader:
    """
    Args:
        audio: `{"path", "bytes"}` as `datasets.Audio(decode=False)` gives it.

    Raises:
        ValueError: not there or not audio.
    """
    if audio.get("bytes") is not None:
        return _read(audio["bytes"])
    return _header_of_file(os.fspath(audio["path"]))


@lru_cache(maxsize=1 << 18)  # altered copies ask for their source again and again
def _header_of_file(path: str) -> AudioHeader:
    return _read(path)


def _read(source: str | bytes) -> AudioHeader:
    with AudioFile(source) as file:
        return AudioHeader(file.num_samples, file.sampling_rate)
