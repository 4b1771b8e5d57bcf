"""Which stretches of a recording are estimated: all of it, windows, or given segments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count


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
