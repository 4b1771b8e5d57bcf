"""Encoded audio from a file, a web address or a stream, decoded from start to end in blocks."""

import io
import os
import re
import reprlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPException
from typing import BinaryIO, Literal
from urllib.request import Request, urlopen

import numpy as np
import soundfile


FORMATS = "wav, flac, ogg, opus, mp3"
LARGEST_BYTES = 2 << 30  # of what is copied to a temporary file
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0
MOST_VALUES = 1 << 24  # of all channels, decoded at once
LONGEST_PATH = 4096  # characters
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 200
shown = _repr.repr  # what a user gave, cut to what a message can hold


def one_line(error: Exception) -> str:
    """Return the text of an error as one line of up to 300 characters."""
    return f"{' '.join(str(error).split()):.300}"


class AudioFile:
    """An open audio file, whose blocks joined are its whole decoding, for any format and size of the blocks.

    Args:
        source: path, http or https address, encoded bytes, or a binary file object, which is read from its beginning
            and left open; wav, flac, ogg, opus, mp3 and what else libsndfile reads. What cannot seek is copied to a
            temporary file first.

    Attributes:
        sampling_rate: in hertz.
        num_samples: of each channel, according to the header: a broken file holds fewer.

    Raises:
        ValueError: the file is missing or not audio.
    """

    def __init__(self, source: str | os.PathLike | bytes | io.IOBase):
        self._opened = ExitStack()  # closes the temporary copy, where there is one
        self._name = shown(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else "the given file object"
        seekable = self._seekable(source)
        try:
            self._file = _SequentialFile(seekable)
            if not self._file.frames:
                self._file.close()
                self._file = _SequentialFile(self._repaired(seekable))
        except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError) as error:
            self._opened.close()
            raise self._unreadable(error) from error
        self.sampling_rate: int = self._file.samplerate
        self.num_samples: int = self._file.frames

    def seek(self, sample: int) -> None:
        """Go to a sample of each channel: [`blocks`] decodes from there on.

        Raises:
            ValueError: the file has no such sample, or is broken.
        """
        try:
            self._file.seek(sample)
        except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
            raise self._unreadable(error) from error

    def blocks(self, block_samples: int) -> Iterator[np.ndarray]:
        """Decode the rest of the file.

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

    def close(self) -> None:
        """Close the file, and remove its temporary copy."""
        self._file.close()
        self._opened.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _mono(self, samples: int) -> np.ndarray:
        # a header may claim a thousand channels, so few samples are mixed at a time
        at_once = max(1, MOST_VALUES // self._file.channels)
        blocks = [self._mix(self._read(min(at_once, samples)))]
        while len(blocks[-1]) == at_once and (left := samples - at_once * len(blocks)) > 0:
            blocks.append(self._mix(self._read(min(at_once, left))))
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def _mix(self, block: np.ndarray) -> np.ndarray:
        """(samples, channels) -> (samples,)"""
        if block.shape[1] == 1:
            return block[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):  # such floats raise an error later
            return block.mean(axis=1)

    def _read(self, block_samples: int) -> np.ndarray:
        """(samples, channels) float32."""
        if self._file.subtype != "PCM_16":
            return self._file.read(block_samples, dtype="float32", always_2d=True)
        # libsndfile's own conversion takes three times as long, for the same values
        block = self._file.read(block_samples, dtype="int16", always_2d=True)
        return np.multiply(block, np.float32(1 / 32768), dtype=np.float32)

    def _seekable(self, source):
        if is_url(source):
            return self._opened.enter_context(download_audio(source))
        if isinstance(source, (str, os.PathLike)):
            path = os.fspath(source)
            if len(path) > LONGEST_PATH:
                raise ValueError(
                    f"a text of {len(path)} characters is no path ({self._name}); if it is base64, give "
                    "base64.b64decode(text)"
                )
            if not os.path.isfile(path):
                if os.path.isdir(path):
                    raise ValueError(f"{self._name} is a folder, and no file; give a list of the files in it")
                raise ValueError(f"{self._name} is no file; give the path of an audio file, its bytes, or an array")
            # soundfile cannot encode surrogates, by which Python spells file names that are not valid text
            is_text = isinstance(path, bytes) or not re.search("[\ud800-\udfff]", path)
            return path if is_text else os.fsencode(path)
        if isinstance(source, (bytes, bytearray)):
            self._name = "the given bytes"
            return io.BytesIO(source)
        try:
            if _can_seek(source):
                source.seek(0)
                return source
        except (OSError, ValueError) as error:
            raise ValueError(f"{self._name} cannot be read ({error}); open it in binary mode, 'rb'") from error
        return self._opened.enter_context(temporary_copy(source, self._name))

    def _repaired(self, seekable):
        """Return the file with the length that it has, where a recorder was cut off before it wrote one."""
        file = seekable
        if isinstance(seekable, (str, bytes)):
            file = self._opened.enter_context(open(seekable, "rb"))  # noqa: SIM115 (close() closes it)
        file.seek(0)
        start = file.read(CHUNK_BYTES)
        file.seek(0, os.SEEK_END)
        header = _repaired_header(start, file.tell())
        file.seek(0)
        return _OtherHeader(file, header) if header else file

    def _unreadable(self, error) -> ValueError:
        if isinstance(error, soundfile.LibsndfileError):
            error = error.error_string  # without the name once more
        return ValueError(f"{self._name} cannot be read as audio ({error!s:.200}); give one of {FORMATS}")


class _SequentialFile(soundfile.SoundFile):
    # soundfile seeks after every block of a file that can; in mp3 that breaks the decoder's state, and blocks differ
    # from the whole
    def seekable(self) -> bool:
        return False


class _OtherHeader(io.RawIOBase):
    """A file whose first bytes are others."""

    def __init__(self, file, header: bytes):
        self._file, self._header = file, header

    def readinto(self, buffer) -> int:
        start = self._file.tell()
        content = self._file.read(len(buffer))
        header = self._header[start : start + len(content)]
        buffer[: len(content)] = header + content[len(header) :]
        return len(content)

    def seek(self, place, whence=os.SEEK_SET):
        return self._file.seek(place, whence)

    def tell(self):
        return self._file.tell()


def _repaired_header(start: bytes, size: int) -> bytes | None:
    """Return the header of a wav or au file with the length of its data, where it says 0 and more follows; else None.

    Args:
        start: the first bytes of the file, with its header.
        size: of the file.
    """
    if start[:4] == b".snd":
        return start[:8] + b"\xff" * 4  # as far as the file goes
    is_wav = start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:12] == b"WAVE"
    order: Literal["big", "little"] = "big" if start[:4] == b"RIFX" else "little"
    header, place, in_64_bits = bytearray(start), 12, None
    while is_wav and place + 8 <= len(start):
        name, length = start[place : place + 4], int.from_bytes(start[place + 4 : place + 8], order)
        place += 8
        if name == b"ds64":
            in_64_bits = place + 8
        if name == b"data":
            left = size - place
            next_length = int.from_bytes(start[place + 4 : place + 8], order)
            is_chunk = re.match(rb"[ -~]{4}", start[place:]) and next_length <= left - 8
            if is_chunk or not 0 < left < 1 << 32:
                return None
            if in_64_bits:
                header[in_64_bits : in_64_bits + 8] = left.to_bytes(8, order)
            header[place - 4 : place] = b"\xff" * 4 if in_64_bits else left.to_bytes(4, order)
            return bytes(header[:place])
        place += length + length % 2
    return None


def _can_seek(file) -> bool:
    seekable = getattr(file, "seekable", None)
    can = hasattr(file, "seek") and hasattr(file, "tell") and (seekable is None or seekable())
    return can and not isinstance(file.read(0), str)  # for text, copying raises an error


def is_url(source) -> bool:
    """Return whether this is an address, `scheme://...`, of any scheme."""
    return isinstance(source, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def download_audio(url: str) -> BinaryIO:
    """Download into a temporary file, open at its start, which is removed when it is closed.

    Raises:
        ValueError: no http or https address, no answer within `TIMEOUT_S`, an error in place of a file, or a file that
            ends early or is larger than `LARGEST_BYTES`.
    """
    name = shown(url)
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"{name} is no http or https address; give one, or the path of an audio file")
    try:
        response = urlopen(Request(url, headers={"User-Agent": "speech-affect"}), timeout=TIMEOUT_S)
    except (OSError, HTTPException, ValueError) as error:
        raise ValueError(f"{name} cannot be downloaded ({error!s:.200}); check address and connection") from error
    with response:
        length = response.headers.get("Content-Length") or ""
        announced = int(length) if length.isdigit() else 0
        if announced > LARGEST_BYTES:
            raise ValueError(
                f"{name} is {announced} bytes large; up to {LARGEST_BYTES} are downloaded: "
                "store it as a file and give its path"
            )
        file = temporary_copy(response, name)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size < announced:
        file.close()
        raise ValueError(f"{name} ended after {size} of {announced} bytes; try again")
    return file


def temporary_copy(stream, name: str) -> BinaryIO:
    """Copy what has `read(bytes)` into a file without a name, open at its start, removed when it is closed or lost.

    Raises:
        ValueError: the stream is text, fails, or holds more than `LARGEST_BYTES`.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    try:
        while chunk := _read_chunk(stream, name):
            file.write(chunk)
            if file.tell() > LARGEST_BYTES:
                raise ValueError(
                    f"{name} holds more than {LARGEST_BYTES} bytes; cut it, or store it as a file and give its path"
                )
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _read_chunk(stream, name: str) -> bytes | bytearray | memoryview:
    try:
        chunk = stream.read(CHUNK_BYTES)
    except (OSError, ValueError, HTTPException) as error:
        raise ValueError(f"{name} cannot be read ({error})") from error
    if isinstance(chunk, str):
        raise ValueError(f"{name} is open as text; open it in binary mode, 'rb'")
    if not isinstance(chunk, (bytes, bytearray, memoryview)):
        raise ValueError(f"{name} reads a {type(chunk).__name__}; give an object whose read() gives bytes")
    return chunk
