"""Pieces of a recording, windows or segments, read in one pass from start to end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from .audio import resample_audio, to_mono


SHORTEST_S = 0.1
SHORTEST_HOP_S = 0.01
# times written in milliseconds may lie this far behind the end of the audio
ROUNDING_S = 0.001


@dataclass(frozen=True)
class Span:
    """
    A stretch of a recording, in its own samples.

    Args:
        index: its place among the results.
        start, stop: samples; `stop` is infinite where the end is not known before it is read.
        given: (start_s, end_s) as the caller gave them.
    """

    index: int
    start: int
    stop: float
    given: tuple[float, float] | None = None


def check_spans(window_s: float | None, hop_s: float | None, segments) -> None:
    """
    Raise a `ValueError` unless these name one way to cut a recording.

    Args:
        window_s: length of the windows in seconds, at least 0.1.
        hop_s: between the starts of two windows, in seconds, 0.01 to `window_s`: no audio is left out.
        segments: (start_s, end_s) of each.
    """
    if window_s is not None and segments is not None:
        raise ValueError("window_s and segments are both given; give one, and None for the other")
    if window_s is None:
        if hop_s is not None:
            raise ValueError(f"hop_s is {hop_s} without window_s; give window_s too, the length of the windows")
        return
    if not SHORTEST_S <= window_s < math.inf:
        raise ValueError(f"window_s is {window_s}; windows last at least {SHORTEST_S} s")
    if hop_s is not None and not SHORTEST_HOP_S <= hop_s <= window_s:
        raise ValueError(f"hop_s is {hop_s}; it is {SHORTEST_HOP_S} s to window_s, {window_s} s, so that all is heard")


def window_spans(window_s: float, hop_s: float | None, sampling_rate: int) -> Iterator[Span]:
    """Windows that start at 0, hop, 2 hop, ..., without end; `hop_s` is `window_s` without it."""
    hop_s = window_s if hop_s is None else hop_s
    for index in count():
        start_s = index * hop_s
        yield Span(index, round(start_s * sampling_rate), round((start_s + window_s) * sampling_rate))


def segment_spans(segments, sampling_rate: int, num_samples: int) -> list[Span]:
    """
    Given segments, in the order in which they are read.

    Args:
        segments: (start_s, end_s) of each, in any order; they may overlap.
        sampling_rate: in hertz.
        num_samples: of the recording.

    Raises:
        ValueError: a segment is reversed, too short, out of range, or no pair of numbers.
    """
    end_of_audio_s = num_samples / sampling_rate
    spans = []
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
        stop = min(round(end_s * sampling_rate), num_samples)
        spans.append(Span(index, round(start_s * sampling_rate), stop, (start_s, end_s)))
    return sorted(spans, key=lambda span: span.start)


WHOLE_S = 30.0  # longer pieces come in parts
BLOCK_S = 10.0


@dataclass
class PiecePart:
    """
    A piece of a recording, or the next part of a long one.

    Args:
        index: place of the piece among the results.
        samples: (samples,) float32, mono in [-1, 1], at the recording's own rate.
        is_first, is_last: of the piece's parts; both for a piece up to `WHOLE_S`.
        start_s, end_s: of the piece, in seconds; of its last part alone, and None when the piece is the recording.
    """

    index: int
    samples: np.ndarray
    is_first: bool
    is_last: bool
    start_s: float | None = None
    end_s: float | None = None


@dataclass
class _Filling:
    span: Span
    chunks: list[np.ndarray] = field(default_factory=list)
    held: int = 0
    is_first: bool = True

    def add(self, samples: np.ndarray) -> None:
        self.chunks.append(samples)
        self.held += len(samples)

    def take(self, is_last: bool, times: tuple[float | None, float | None] = (None, None)) -> PiecePart:
        samples = np.concatenate(self.chunks) if self.chunks else np.zeros(0, dtype=np.float32)
        part = PiecePart(self.span.index, samples, self.is_first, is_last, *times)
        self.chunks, self.held, self.is_first = [], 0, False
        return part


def read_pieces(
    source, window_s: float | None = None, hop_s: float | None = None, segments=None
) -> Iterator[PiecePart]:
    """
    Read a recording in the pieces that are to be estimated.

    Windows start at 0, hop, 2 hop, ... until one reaches the end. That one is cut there, and left out if that leaves
    less than 0.1 s, unless it is the only one.

    Args:
        source: of [`open_audio`]: has `sampling_rate`, `num_samples` and `blocks(block_samples)`.
        window_s, hop_s: length of windows and distance of their starts, in seconds; `hop_s` is `window_s` without it.
        segments: (start_s, end_s) of each, in any order; they may overlap. Without either, the recording is one piece.

    Yields:
        [`PiecePart`], those of a piece in order; parts of overlapping long pieces alternate.

    Raises:
        ValueError: both windows and segments, values out of range, or a recording that ends before its header says.
    """
    check_spans(window_s, hop_s, segments)
    rate = source.sampling_rate
    if segments is not None:
        yield from _read(source, segment_spans(segments, rate, source.num_samples), _unfinished_segments)
    elif window_s is not None:
        yield from _read(source, window_spans(window_s, hop_s, rate), _last_window)
    else:
        for part in _read(source, [Span(0, 0, math.inf)], _last_window):
            part.start_s = part.end_s = None
            yield part


def _read(source, spans: Iterable[Span], cut_off: Callable) -> Iterator[PiecePart]:
    """`cut_off` tells which of the pieces that the end of the audio cuts are kept."""
    rate = source.sampling_rate
    upcoming, filling, position, reached = iter(spans), [], 0, 0
    following = next(upcoming, None)
    for block in source.blocks(max(1, round(BLOCK_S * rate))):
        if following is None and not filling:
            return
        end = position + len(block)
        while following is not None and following.start < end:
            filling.append(_Filling(following))
            following = next(upcoming, None)
        block = to_mono(block)
        for piece in filling:
            piece.add(block[max(0, piece.span.start - position) : int(min(piece.span.stop, end)) - position])
            if piece.span.stop <= end:
                reached = piece.span.stop
                yield piece.take(is_last=True, times=_times(piece.span, end, rate))
            elif not piece.is_first or piece.held > WHOLE_S * rate:
                yield piece.take(is_last=False)
        filling = [piece for piece in filling if piece.span.stop > end]
        position = end
    left = filling if following is None else [*filling, _Filling(following)]
    for piece in cut_off(left, source, position, reached):
        yield piece.take(is_last=True, times=_times(piece.span, position, rate))


def _last_window(filling: list[_Filling], source, end: int, reached: int) -> list[_Filling]:
    """The first window that the end cuts, unless one before it reached the end already."""
    first = filling[0]
    too_short = end - first.span.start < SHORTEST_S * source.sampling_rate
    return [] if reached == end > 0 or (too_short and first.span.index) else [first]


def _unfinished_segments(filling: list[_Filling], source, end: int, reached: int) -> list[_Filling]:
    rate = source.sampling_rate
    for piece in filling:
        if piece.span.stop > end + ROUNDING_S * rate:
            raise ValueError(
                f"the audio ends at {end / rate:.3f} s, before the end of segment {piece.span.given}, although its "
                f"header says {source.num_samples / rate:.3f} s: it is broken or cut off"
            )
    return filling


def _times(span: Span, end: int, rate: int) -> tuple[float, float]:
    return span.given or (span.start / rate, min(span.stop, end) / rate)


def to_waveform(samples: np.ndarray, sampling_rate: int, target_rate: int) -> np.ndarray:
    """
    Mono samples as a model's input.

    Args:
        samples: (samples,) float32, mono in [-1, 1].
        sampling_rate, target_rate: in hertz.

    Returns:
        (samples * target_rate / sampling_rate,) float32 in [-1, 1].

    Raises:
        ValueError: under 0.1 s.
    """
    waveform = resample_audio(samples, sampling_rate, target_rate) if len(samples) else samples
    if len(waveform) < SHORTEST_S * target_rate:
        raise ValueError(
            f"a clip lasts {len(samples) / sampling_rate:.3f} s; at least {SHORTEST_S} s are needed: "
            "drop it or join it with its neighbour"
        )
    return waveform if waveform is samples else np.clip(waveform, -1, 1)
