"""Pieces of a recording, windows or segments, read in one pass from start to end."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from numbers import Integral, Real

import numpy as np

from .audio import SHORTEST_S, AudioArray, to_mono
from .audio_file import AudioFile, shown


SHORTEST_HOP_S = 0.01
ROUNDING_S = 0.1  # annotators and detectors round: a segment may end this far behind the audio, and is cut there
FEWEST_SAMPLES = 1000  # whole numbers in a dict, from here on, are samples rather than seconds
WHOLE_S = 30.0  # longer pieces come in parts
BLOCK_S = 10.0
NEVER = 1 << 62  # samples


@dataclass
class PiecePart:
    """A piece of a recording, or the next part of a long one.

    Args:
        index: position of the piece among the results.
        samples: (samples,) float32, mono in [-1, 1], at the recording's own rate.
        is_first, is_last: of the piece's parts; both for a piece up to `WHOLE_S`.
        start_s, end_s: of the piece, in seconds, in its last part alone; None when the piece is the recording.
        error: why the recording has no such segment; there are then no samples.
    """

    index: int
    samples: np.ndarray
    is_first: bool
    is_last: bool
    start_s: float | None = None
    end_s: float | None = None
    error: str | None = None


@dataclass
class _Piece:
    """A piece to be read, in samples; `given` are the times of a segment, the second one infinite if unknown."""

    index: int
    start: int
    stop: int
    given: tuple[float, float] | None = None
    chunks: list[np.ndarray] = field(default_factory=list)
    is_first: bool = True

    def take(self) -> PiecePart:
        """Hand out what was read, as a part that is not the last."""
        samples = np.concatenate(self.chunks) if self.chunks else np.zeros(0, dtype=np.float32)
        part = PiecePart(self.index, samples, self.is_first, is_last=False)
        self.chunks, self.is_first = [], False
        return part

    def take_last(self, end: int, rate: int) -> PiecePart:
        """Hand out the last part; `end` is the end of what was read, in samples."""
        part = self.take()
        part.is_last = True
        part.start_s, part.end_s = self.given or (self.start / rate, self.stop / rate)
        if self.stop > end:
            part.end_s = max(part.start_s, end / rate)
        return part

    def is_behind(self, end: int, rate: int) -> bool:
        """Return whether a segment begins or ends behind the end of the audio, by more than rounding explains."""
        last_s = end / rate + ROUNDING_S
        return self.given is not None and (self.given[0] > last_s or last_s < self.given[1] < math.inf)

    def take_error(self, error: str) -> PiecePart:
        """Hand out, in place of the last part, why there is none."""
        part = PiecePart(self.index, np.zeros(0, dtype=np.float32), self.is_first, is_last=True, error=error)
        part.start_s, part.end_s = self.given or (None, None)
        return part


def read_pieces(
    source: AudioFile | AudioArray, window_s: float | None = None, hop_s: float | None = None, segments=None
) -> Iterator[PiecePart]:
    """Read a recording in the pieces that are to be estimated.

    Windows start at 0, hop, 2 hop, ... until one reaches the end. That one is cut there, and left out if that leaves
    less than 0.1 s, unless it is the only one.

    Args:
        source: as [`open_audio`] returns it.
        window_s: length of the windows in seconds, at least 0.1.
        hop_s: between the starts of two windows, in seconds, 0.01 to `window_s`, which it is by default.
        segments: as of [`check_cut`], in any order; they may overlap. Without windows and segments, the recording is
            one piece.

    Yields:
        [`PiecePart`], those of a piece in order; parts of overlapping long pieces alternate. A segment that ends up to
        0.1 s behind the audio is cut there; one that ends later comes as an error.

    Raises:
        ValueError: options that [`check_cut`] refuses, or a file that is broken.
    """
    segments = check_cut(window_s, hop_s, segments)
    rate = source.sampling_rate
    if segments is not None:
        pieces = _segments(segments, rate)
        end = source.num_samples
        yield from (piece.take_error(_error(piece, source, end)) for piece in pieces if piece.is_behind(end, rate))
        yield from _read(source, [piece for piece in pieces if not piece.is_behind(end, rate)])
    elif window_s is not None:
        yield from _read(source, _windows(window_s, window_s if hop_s is None else hop_s, rate))
    else:
        for part in _read(source, [_Piece(0, 0, NEVER)]):
            part.start_s = part.end_s = None
            yield part


def check_cut(window_s: float | None, hop_s: float | None, segments) -> list[tuple[float, float]] | None:
    """Check how recordings are to be cut.

    Args:
        window_s, hop_s: as of [`read_pieces`].
        segments: (start, end) each, or dicts or objects that have them: `start` and `end`, `start_s` and `end_s`, or
            `timestamp`. In seconds or timedeltas; an end that is missing (None, NaN, NaT) is that of the recording.

    Returns:
        (start_s, end_s) of each segment, infinite for an end that is missing; None without segments.

    Raises:
        ValueError: both windows and segments, or values of another type or out of range.
    """
    if window_s is not None and segments is not None:
        raise ValueError("window_s and segments are both given; give one, and None for the other")
    for name, value in (("window_s", window_s), ("hop_s", hop_s)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise ValueError(f"{name} is {shown(value)}, a {type(value).__name__}; give a number of seconds")
    if segments is not None:
        try:
            segments = [_bounds(index, segment) for index, segment in enumerate(segments)]
        except TypeError as error:
            raise ValueError(f"segments is {shown(segments)}; give a list of (start_s, end_s)") from error
    if window_s is None:
        if hop_s is not None:
            raise ValueError(f"hop_s is {hop_s} without window_s; give window_s too, the length of the windows")
        return segments
    if not SHORTEST_S <= window_s < math.inf:
        raise ValueError(f"window_s is {window_s}; windows last at least {SHORTEST_S} s")
    if hop_s is not None and not SHORTEST_HOP_S <= hop_s <= window_s:
        raise ValueError(
            f"hop_s is {hop_s}; give {SHORTEST_HOP_S} s to window_s, {window_s} s, so that no audio is left out"
        )
    return None


def _bounds(index: int, segment) -> tuple[float, float]:
    try:
        if isinstance(segment, Mapping):
            names = ("start_s", "end_s") if "start_s" in segment else ("start", "end")
            start, end = segment.get("timestamp") or [segment[name] for name in names]
        elif hasattr(segment, "start") and hasattr(segment, "end"):
            start, end = segment.start, segment.end
        else:
            start, end = segment
        start_s, end_s = _seconds(start), _seconds(end)
    except (TypeError, ValueError, KeyError, OverflowError):
        start_s = end_s = math.nan
    if isinstance(segment, Mapping) and end_s >= FEWEST_SAMPLES and isinstance(end, Integral):
        raise ValueError(
            f"segment {index} is {shown(segment)}, which looks like samples; divide them by the sampling rate, or "
            "give seconds as floats (silero-vad: return_seconds=True)"
        )
    end_s = math.inf if math.isnan(end_s) else end_s
    if not 0 <= start_s <= end_s or start_s == math.inf:
        raise ValueError(
            f"segment {index} is {shown(segment)}; a segment is (start_s, end_s), or a dict or an object with start "
            "and end, with 0 <= start <= end, in seconds or timedeltas"
        )
    return start_s, end_s


def _seconds(time) -> float:
    """Return a time in seconds, NaN if it is missing."""
    if time is None:
        return math.nan
    if isinstance(time, (str, bytes, bool)):
        raise TypeError(f"{time!r:.50} is no number of seconds")
    if isinstance(time, np.timedelta64):
        time = time / np.timedelta64(1, "s")
    return float(time.total_seconds() if hasattr(time, "total_seconds") else time)


def _windows(window_s: float, hop_s: float, rate: int) -> Iterator[_Piece]:
    """Windows without end."""
    for index in count():
        start_s = index * hop_s
        yield _Piece(index, round(start_s * rate), round((start_s + window_s) * rate))


def _segments(segments: list[tuple[float, float]], rate: int) -> list[_Piece]:
    """Segments in the order in which they are read."""
    pieces = [
        _Piece(index, _samples(start_s, rate), _samples(end_s, rate), (start_s, end_s))
        for index, (start_s, end_s) in enumerate(segments)
    ]
    return sorted(pieces, key=lambda piece: piece.start)


def _samples(time_s: float, rate: int) -> int:
    return round(min(time_s * rate, NEVER))


def _read(source: AudioFile | AudioArray, pieces: Iterable[_Piece]) -> Iterator[PiecePart]:
    rate = source.sampling_rate
    upcoming = iter(pieces)
    following = next(upcoming, None)
    unfinished: list[_Piece] = []
    end = reached = 0
    for block in source.blocks(max(1, round(BLOCK_S * rate))):
        if following is None and not unfinished:
            return
        start, end = end, end + len(block)
        while following is not None and following.start < end:
            unfinished.append(following)
            following = next(upcoming, None)
        block = to_mono(block)
        for piece in unfinished:
            piece.chunks.append(block[max(0, piece.start - start) : min(piece.stop, end) - start])
            if piece.stop <= end:
                reached = piece.stop
                yield piece.take_last(end, rate)
            elif not piece.is_first or sum(map(len, piece.chunks)) > WHOLE_S * rate:
                yield piece.take()
        unfinished = [piece for piece in unfinished if piece.stop > end]
    if following is not None:
        unfinished += [following, *(upcoming if following.given else [])]
    yield from _at_the_end(unfinished, source, end, reached)


def _at_the_end(pieces: list[_Piece], source: AudioFile | AudioArray, end: int, reached: int) -> Iterator[PiecePart]:
    """Segments that the audio ends in, cut, or before, as errors; or the first window, see [`read_pieces`]."""
    rate = source.sampling_rate
    if pieces and pieces[0].given is None:
        is_too_short = end - pieces[0].start < SHORTEST_S * rate and pieces[0].index > 0
        pieces = [] if is_too_short or reached == end > 0 else pieces[:1]
    for piece in pieces:
        if piece.is_behind(end, rate):
            yield piece.take_error(_error(piece, source, end))
        else:
            yield piece.take_last(end, rate)


def _error(piece: _Piece, source: AudioFile | AudioArray, end: int) -> str:
    """Say why a recording whose audio ends at `end` has no such segment."""
    start_s, end_s = piece.given or (0.0, 0.0)
    until = f"to {end_s} s" if end_s < math.inf else "on"
    header_s = source.num_samples / source.sampling_rate
    broken = f" (its header says {header_s:.3f} s: it is broken or cut off)" if end < source.num_samples else ""
    return (
        f"segment {piece.index}, from {start_s} s {until}, lies behind the end of the audio at "
        f"{end / source.sampling_rate:.3f} s{broken}; give times in seconds up to there"
    )
