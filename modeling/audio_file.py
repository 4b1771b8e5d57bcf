"""Encoded audio, decoded from start to end in blocks."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import numpy as np
import soundfile

from .audio_download import download_audio, is_url
from .temporary_copy import temporary_copy


FORMATS = "wav, flac, ogg, opus, mp3"
MOST_VALUES = 1 << 24  # of all channels, decoded at once


class AudioFile:
    """
    An audio file, opened; its blocks joined are its whole decoding, whatever the format and the size of the blocks.

    Args:
        source: path, http or https address, encoded bytes, or a binary file object, which is read from its beginning
            and left open; wav, flac, ogg, opus, mp3 and what else libsndfile reads. What cannot seek is copied to a
            temporary file first.

    Attributes:
        sampling_rate: in hertz.
        num_samples: of each channel, as the file's header has it: a broken file holds fewer.

    Raises:
        ValueError: not there or not audio.
    """

    def __init__(self, source: str | os.PathLike | bytes | io.IOBase):
        self._copy = None
        self._name = repr(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else "the given file object"
        source = self._seekable(source)
        try:
            self._file = _SequentialFile(source)
        except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError) as error:
            self._close_copy()
            raise self._unreadable(error) from error
        self.sampling_rate: int = self._file.samplerate
        self.num_samples: int = self._file.frames

    def blocks(self, block_samples: int) -> Iterator[np.ndarray]:
        """
        The rest of the file.

        Args:
            block_samples: in a block; the last one is shorter.

        Yields:
            (samples,) float32, the mean of the channels.

        Raises:
            ValueError: the file is broken.
        """
        while True:
            try:
                block = self._mono(block_samples)
            except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
                raise self._unreadable(error) from error
            if not len(block):
                return
            yield block

    def _mono(self, samples: int) -> np.ndarray:
        """The next samples, fewer at the end; a header may promise a thousand channels, so few at a time are mixed."""
        at_once = max(1, MOST_VALUES // self._file.channels)
        blocks = [self._mix(self._read(min(at_once, samples)))]
        while len(blocks[-1]) == at_once and (left := samples - at_once * len(blocks)) > 0:
            blocks.append(self._mix(self._read(min(at_once, left))))
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def _mix(self, block: np.ndarray) -> np.ndarray:
        """(samples, channels) -> (samples,)"""
        if block.shape[1] == 1:
            return block[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):  # of floats that are refused later
            return block.mean(axis=1)

    def _read(self, block_samples: int) -> np.ndarray:
        """(samples, channels) float32."""
        if self._file.subtype != "PCM_16":
            return self._file.read(block_samples, dtype="float32", always_2d=True)
        # libsndfile's own conversion takes three times as long, for the same values
        block = self._file.read(block_samples, dtype="int16", always_2d=True)
        return np.multiply(block, np.float32(1 / 32768), dtype=np.float32)

    def close(self) -> None:
        self._file.close()
        self._close_copy()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _seekable(self, source):
        if is_url(source):
            self._copy = download_audio(source)
            return self._copy
        if isinstance(source, (str, os.PathLike)):
            if not os.path.isfile(source):
                raise ValueError(f"{self._name} is no file; give the path of an audio file, its bytes, or an array")
            path = os.fspath(source)
            # a name that is no text, which the file system may have all the same, is opened by its bytes
            return path if isinstance(path, bytes) or _is_text(path) else os.fsencode(path)
        if isinstance(source, (bytes, bytearray)):
            self._name = "the given bytes"
            return io.BytesIO(source)
        try:
            if _can_seek(source):
                source.seek(0)
                return source
        except (OSError, ValueError) as error:
            raise ValueError(f"{self._name} cannot be read ({error}); open it in binary mode, 'rb'") from error
        self._copy = temporary_copy(source, self._name)
        return self._copy

    def _close_copy(self):
        if self._copy is not None:
            self._copy.close()

    def _unreadable(self, error) -> ValueError:
        return ValueError(f"{self._name} cannot be read as audio ({error}); give one of {FORMATS}")


class _SequentialFile(soundfile.SoundFile):
    # soundfile seeks behind every block of a file that can; in mp3 that breaks the decoder's state, and blocks differ
    # from the whole
    def seekable(self) -> bool:
        return False


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _can_seek(file) -> bool:
    seekable = getattr(file, "seekable", None)
    can = hasattr(file, "seek") and hasattr(file, "tell") and (seekable is None or seekable())
    return can and not isinstance(file.read(0), str)  # text is refused where it is copied
