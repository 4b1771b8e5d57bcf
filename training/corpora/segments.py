"""Segments: stretches of audio files that are clips of their own."""

import functools
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import datasets
import numpy as np
import pandas as pd
import soundfile

from speech_affect.audio import SHORTEST_S
from speech_affect.audio_file import AudioFile

from ..files import clip_fingerprint, sha256_of_file
from .corpus import SEGMENT, RowError, is_empty


# ends are written in hundredths of a second, or come from a decoder that pads files differently
ROUNDING_S = 0.05


@dataclass(frozen=True)
class Piece:
    """A stretch of an audio file, read when it is needed.

    Args:
        path: The file.
        fingerprint: Of the file's content and the stretch.
        start: First sample, at the file's own rate.
        stop: One past the last sample.
        sampling_rate: Of the file, in hertz.
        content: The encoded file, where it is in memory and not at `path`.
    """

    path: str
    fingerprint: str
    start: int
    stop: int
    sampling_rate: int
    content: bytes | None = None

    @property
    def duration_s(self) -> float:
        """Duration in seconds, by the file's header."""
        return (self.stop - self.start) / self.sampling_rate

    def load(self) -> dict:
        """Read these samples and no others: `{"array": (samples,) float32, mono, "sampling_rate"}`."""
        with AudioFile(self.path if self.content is None else self.content) as file:
            file.seek(self.start)
            samples = next(file.blocks(self.stop - self.start), np.zeros(0, dtype=np.float32))
        return {"array": samples, "sampling_rate": self.sampling_rate}


def file_fingerprint(fingerprint: str) -> str:
    """Return the fingerprint of the whole file that a clip is, or is a stretch of."""
    return fingerprint.partition("-")[0]


def parse_time(value: object, column: str) -> float | None:
    """Return a time in seconds, None where the cell is empty (`NaT` too).

    Args:
        value: Seconds, or a timedelta; also as text: `1.5`, `00:00:01.5`, `0 days 00:00:01.5`.
        column: Named in an error.

    Raises:
        RowError: It is something else, or negative.
    """
    text = str(value).strip()  # of a timedelta as well
    if is_empty(value) or text == "NaT":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _clock_time(text)
    if not 0 <= seconds < math.inf:
        raise RowError(
            "bad time", f"{column} is {value!r}; allowed are seconds from 0, as 1.5, 00:00:01.5 or 0 days 00:00:01.5"
        )
    return seconds


def _clock_time(text: str) -> float:
    try:  # pandas passes over commas: 00:00:01,5 would be 15 s
        return math.nan if re.search(r"\d,\d", text) else pd.Timedelta(text).total_seconds()
    except ValueError:
        return math.nan


class Header(NamedTuple):
    """What a file says about itself: rate in hertz, and samples of each channel."""

    sampling_rate: int
    num_samples: int


def read_header(audio: dict) -> Header:
    """Read the header of a file, `{"path", "bytes"}`.

    Raises:
        ValueError: It is not there or not audio.
    """
    with _open(audio) as file:
        return Header(file.sampling_rate, file.num_samples)


def _open(audio: dict) -> AudioFile:
    return AudioFile(audio["path"] if audio.get("bytes") is None else audio["bytes"])


def checked_segment(
    file: str, start_s: float | None, end_s: float | None, header: Header, columns: tuple[str, str]
) -> tuple[float | None, float | None]:
    """Return a segment as `(start, end)` in seconds within its file; the end is None where it is that of the file, and
    both are where it is the whole file.

    Args:
        file: Its name, for errors.
        start_s: None for the beginning.
        end_s: None for the end of the file; up to `ROUNDING_S` past it are cut.
        header: Of the file.
        columns: Names of the two columns, for errors.

    Raises:
        RowError: It lasts less than 0.1 s, or ends after the file.
    """
    duration_s = header.num_samples / header.sampling_rate
    first, last = start_s or 0.0, duration_s if end_s is None else end_s
    if last > duration_s + ROUNDING_S:
        raise RowError(
            "segment past the end",
            f"{columns[1]} is {last:g} s, and {file} ends at {duration_s:.3f} s; allowed are times within it",
        )
    last = min(last, duration_s)
    if last - first < SHORTEST_S - 1e-9:
        raise RowError(
            "short segment",
            f"the segment of {file} from {columns[0]}, {first:g} s, to {columns[1]}, {last:g} s, lasts less than "
            f"{SHORTEST_S} s",
        )
    if last < duration_s:
        return first, last
    return (first, None) if first else (None, None)


def segment_name(file: str, start_s: float | None, end_s: float | None) -> str:
    """Return `a.wav#t=1.5,2.25` (W3C Media Fragments), `a.wav#t=1.5` up to the end, `a.wav` for the whole file."""
    if start_s is None and end_s is None:
        return file
    times = [f"{time:.6f}".rstrip("0").rstrip(".") for time in (start_s or 0.0, end_s) if time is not None]
    return f"{file}#t={','.join(times)}"


def cut(audio: dict, start_s: float | None, end_s: float | None) -> bytes:
    """Return a segment of a file, `{"path", "bytes"}`, as a mono WAV file of the same samples, 16-bit if they are."""
    with _open(audio) as file:
        start, stop = _samples(Header(file.sampling_rate, file.num_samples), start_s, end_s)
        file.seek(start)
        samples = next(file.blocks(stop - start), np.zeros(0, dtype=np.float32))
    numbers, written = samples * 32768, io.BytesIO()
    is_16_bit = bool((numbers == np.rint(numbers)).all() and (numbers < 32768).all())
    kind, content = ("PCM_16", numbers.astype(np.int16)) if is_16_bit else ("FLOAT", samples)
    soundfile.write(written, content, file.sampling_rate, kind, format="WAV")
    return written.getvalue()


def file_fingerprints() -> Callable[[dict], str]:
    """Return a `files.clip_fingerprint` that reads each file once: many segments can be of one."""
    of_path = functools.cache(sha256_of_file)
    return lambda audio: of_path(audio["path"]) if audio.get("bytes") is None else clip_fingerprint(audio)


def clips_of(
    rows: datasets.Dataset, fingerprint_of: Callable[[dict], str] | None = None
) -> list[tuple[str, dict | Piece]]:
    """Return the fingerprint and the audio of each row: `{"path", "bytes"}` of a file, a [`Piece`] of a segment.

    Args:
        rows: A split of a corpus.
        fingerprint_of: Of a file, as [`file_fingerprints`] returns it.
    """
    fingerprint_of = fingerprint_of or file_fingerprints()
    clips: list[tuple[str, dict | Piece]] = [(fingerprint_of(audio), audio) for audio in rows["audio"][:]]
    if not set(SEGMENT) <= set(rows.column_names):
        return clips
    headers: dict[str, Header] = {}
    for row, (start_s, end_s) in enumerate(zip(rows["start"][:], rows["end"][:], strict=True)):
        if start_s is not None or end_s is not None:
            whole, audio = clips[row]
            header = headers.get(whole) or headers.setdefault(whole, read_header(audio))
            start, stop = _samples(header, start_s, end_s)
            name = f"{whole}-{start}-{stop}"
            clips[row] = name, Piece(audio["path"], name, start, stop, header.sampling_rate, audio["bytes"])
    return clips


def _samples(header: Header, start_s: float | None, end_s: float | None) -> tuple[int, int]:
    """The first sample of a segment, and one past its last."""
    start = round((start_s or 0.0) * header.sampling_rate)
    stop = header.num_samples if end_s is None else round(end_s * header.sampling_rate)
    return start, min(stop, header.num_samples)
