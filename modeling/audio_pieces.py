"""The pieces of a recording, read once from start to end; nothing holds the whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .audio import resample_audio, to_mono
from .audio_spans import ROUNDING_S, SHORTEST_S, Span, check_spans, segment_spans, window_spans


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
