"""Pieces of a recording, windows or segments, read in one pass from start to end."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from .audio import SHORTEST_S, AudioArray, to_mono
from .audio_file import AudioFile


SHORTEST_HOP_S = 0.01
ROUNDING_S = 0.001  # times written in milliseconds may lie this far behind the end of the audio
WHOLE_S = 30.0  # longer pieces come in parts
BLOCK_S = 10.0


@dataclass
class PiecePart:
    """A piece of a recording, or the next part of a long one.

    Args:
        index: position of the piece among the results.
        samples: (samples,) float32, mono in [-1, 1], at the recording's own rate.
        is_first, is_last: of the piece's parts; both for a piece up to `WHOLE_S`.
        start_s, end_s: of the piece, in seconds, in its last part alone; None when the piece is the recording.
    """

    index: int
    samples: np.ndarray
    is_first: bool
    is_last: bool
    start_s: float | None = None
    end_s: float | None = None


@dataclass
class _Piece:
    """A piece to be read, in samples; `stop` is infinite if unknown, `given` are the times of a segment."""

    index: int
    start: int
    stop: float
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
        part.start_s, part.end_s = self.given or (self.start / rate, min(self.stop, end) / rate)
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
        segments: (start_s, end_s) of each, in any order; they may overlap. Without windows and segments, the recording
            is one piece.

    Yields:
        [`PiecePart`], those of a piece in order; parts of overlapping long pieces alternate.

    Raises:
        ValueError: both windows and segments, values out of range, or a recording that ends before a segment does.
    """
    _check_options(window_s, hop_s, segments)
    rate = source.sampling_rate
    if segments is not None:
        yield from _read(source, _segments(segments, rate, source.num_samples))
    elif window_s is not None:
        yield from _read(source, _windows(window_s, window_s if hop_s is None else hop_s, rate))
    else:
        for part in _read(source, [_Piece(0, 0, math.inf)]):
            part.start_s = part.end_s = None
            yield part


def _check_options(window_s: float | None, hop_s: float | None, segments) -> None:
    if window_s is not None and segments is not None:
        raise ValueError("window_s and segments are both given; give one, and None for the other")
    if window_s is None:
        if hop_s is not None:
            raise ValueError(f"hop_s is {hop_s} without window_s; give window_s too, the length of the windows")
        return
    if not SHORTEST_S <= window_s < math.inf:
        raise ValueError(f"window_s is {window_s}; windows last at least {SHORTEST_S} s")
    if hop_s is not None and not SHORTEST_HOP_S <= hop_s <= window_s:
        raise ValueError(
            f"hop_s is {hop_s}; give {SHORTEST_HOP_S} s to window_s, {window_s} s, so that no audio is left out"
        )


def _windows(window_s: float, hop_s: float, rate: int) -> Iterator[_Piece]:
    """Windows without end."""
    for index in count():
        start_s = index * hop_s
        yield _Piece(index, round(start_s * rate), round((start_s + window_s) * rate))


def _segments(segments, rate: int, num_samples: int) -> list[_Piece]:
    """Segments in the order in which they are read."""
    end_of_audio_s = num_samples / rate
    pieces = []
    for index, segment in enumerate(segments):
        try:
            start_s, end_s = map(float, segment)
            valid = start_s >= 0 and end_s <= end_of_audio_s + ROUNDING_S and end_s - start_s >= SHORTEST_S - 1e-9
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise ValueError(
                f"segment {index} is {segment}; a segment is (start_s, end_s) with 0 <= start_s, end_s <= "
                f"{end_of_audio_s:.3f} (the end of the audio) and at least {SHORTEST_S} s between them"
            )
        stop = min(round(end_s * rate), num_samples)
        pieces.append(_Piece(index, round(start_s * rate), stop, (start_s, end_s)))
    return sorted(pieces, key=lambda piece: piece.start)


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
            piece.chunks.append(block[max(0, piece.start - start) : int(min(piece.stop, end)) - start])
            if piece.stop <= end:
                reached = int(piece.stop)
                yield piece.take_last(end, rate)
            elif not piece.is_first or sum(map(len, piece.chunks)) > WHOLE_S * rate:
                yield piece.take()
        unfinished = [piece for piece in unfinished if piece.stop > end]
    if following is not None:
        unfinished.append(following)
    for piece in _cut_by_the_end(unfinished, source, end, reached):
        yield piece.take_last(end, rate)


def _cut_by_the_end(pieces: list[_Piece], source: AudioFile | AudioArray, end: int, reached: int) -> list[_Piece]:
    """Those of the unfinished pieces that are kept: all segments, or the first window, see [`read_pieces`]."""
    rate = source.sampling_rate
    for piece in pieces:
        if piece.given is not None and piece.stop > end + ROUNDING_S * rate:
            raise ValueError(
                f"the audio ends at {end / rate:.3f} s, before the end of segment {piece.given}, although its "
                f"header says {source.num_samples / rate:.3f} s: it is broken or cut off"
            )
    if not pieces or pieces[0].given is not None:
        return pieces
    first = pieces[0]
    is_too_short = end - first.start < SHORTEST_S * rate and first.index > 0
    return [] if is_too_short or reached == end > 0 else [first]
