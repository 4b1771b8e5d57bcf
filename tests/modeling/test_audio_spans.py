"""Windows and segments as stretches of samples, and what is refused."""

from itertools import islice

import numpy as np
import pytest

from speech_affect.audio_pieces import check_spans, segment_spans, window_spans


def test_windows_start_at_multiples_of_the_hop():
    spans = list(islice(window_spans(4, 1, 16000), 3))
    assert [(span.index, span.start, span.stop) for span in spans] == [
        (0, 0, 64000),
        (1, 16000, 80000),
        (2, 32000, 96000),
    ]
    assert [span.start for span in islice(window_spans(2.5, None, 8000), 3)] == [0, 20000, 40000]


def test_rounding_does_not_drift():
    # 0.3 s at 11,025 Hz are 3307.5 samples
    spans = list(islice(window_spans(1, 0.3, 11025), 1001))
    assert spans[1000].start == 3307500


def test_segments_are_sorted_and_keep_their_place():
    spans = segment_spans([(2, 3), (0.5, 2.5), (2, 2.1)], 1000, 3000)
    assert [(span.index, span.start, span.stop, span.given) for span in spans] == [
        (1, 500, 2500, (0.5, 2.5)),
        (0, 2000, 3000, (2.0, 3.0)),
        (2, 2000, 2100, (2.0, 2.1)),
    ]
    assert segment_spans([], 1000, 3000) == []
    assert segment_spans(np.array([[0, 1.5]]), 1000, 3000)[0].given == (0.0, 1.5)


def test_an_end_rounded_to_milliseconds_is_in_range():
    assert segment_spans([(0, 1.001)], 16000, 16008)[0].stop == 16008
    with pytest.raises(ValueError, match="segment 0"):
        segment_spans([(0, 1.003)], 16000, 16008)


@pytest.mark.parametrize(
    "segment",
    [(2, 1), (1, 1), (1, 1.05), (-0.1, 1), (0, 3.5), (4, 5), (0, float("nan")), (float("nan"), 1), (1,), 1, "ab"],
)
def test_segments_that_cannot_be(segment):
    message = (
        r"segment 1 is .*; a segment is \(start_s, end_s\) with 0 <= start_s, end_s <= 3.000 \(the end of the audio"
    )
    with pytest.raises(ValueError, match=message):
        segment_spans([(0, 1), segment], 1000, 3000)


@pytest.mark.parametrize(
    "window_s, hop_s, segments, message",
    [
        (1, None, [(0, 1)], "window_s and segments are both given; give one, and None for the other"),
        (None, 1, None, "hop_s is 1 without window_s; give window_s too"),
        (None, 1, [(0, 1)], "hop_s is 1 without window_s"),
        (0.05, None, None, "window_s is 0.05; windows last at least 0.1 s"),
        (0, None, None, "window_s is 0;"),
        (-1, None, None, "window_s is -1;"),
        (float("nan"), None, None, "window_s is nan"),
        (float("inf"), None, None, "window_s is inf"),
        (2, 3, None, "hop_s is 3; it is 0.01 s to window_s, 2 s, so that all is heard"),
        (2, 0, None, "hop_s is 0; it is 0.01 s"),
        (2, -1, None, "hop_s is -1; it is 0.01 s"),
        (2, float("nan"), None, "hop_s is nan"),
    ],
)
def test_options_that_cannot_be(window_s, hop_s, segments, message):
    with pytest.raises(ValueError, match=message):
        check_spans(window_s, hop_s, segments)


def test_options_that_can():
    for window_s, hop_s, segments in (
        (None, None, None),
        (1, None, None),
        (1, 1, None),
        (0.1, 0.01, None),
        (None, None, []),
    ):
        check_spans(window_s, hop_s, segments)
