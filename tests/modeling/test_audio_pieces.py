"""Pieces are the recording's samples, cut, while little of it is held."""

import io
import re
import tracemalloc
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_affect import audio_pieces
from speech_affect.audio import AudioArray, open_audio
from speech_affect.audio_pieces import check_cut, read_pieces


RATE = 1000


def recording(samples: int) -> np.ndarray:
    """Every sample tells where it is."""
    return (np.arange(samples) / samples).astype(np.float32)


def joined(parts) -> dict[int, tuple]:
    """Per piece: its times and its samples."""
    samples, times = {}, {}
    for part in parts:
        assert part.is_first == (part.index not in samples)
        samples.setdefault(part.index, []).append(part.samples)
        if part.is_last:
            assert part.index not in times
            times[part.index] = (part.start_s, part.end_s)
    return {index: (times[index], np.concatenate(samples[index])) for index in times}


def expected_windows(total: int, window: int, hop: int) -> list[tuple[int, int]]:
    """Word for word: they start at 0, hop, ... until one reaches the end, cut there; left out under 0.1 s."""
    windows, start = [], 0
    while True:
        stop = min(start + window, total)
        if not windows or stop - start >= 100:
            windows.append((start, stop))
        if start + window >= total:
            return windows
        start += hop


@settings(max_examples=150, deadline=None)
@given(
    total=st.integers(1, 25_000),
    window=st.integers(100, 12_000),
    hop=st.integers(10, 12_000),
    block=st.integers(50, 9_000),
)
def test_windows_are_what_the_words_say(total, window, hop, block):
    hop = min(max(hop, total // 200, 10), window)
    whole = recording(total)
    with patch.object(audio_pieces, "BLOCK_S", block / RATE):
        pieces = joined(read_pieces(AudioArray(whole, RATE), window / RATE, hop / RATE))
    expected = expected_windows(total, window, hop)
    assert list(pieces) == list(range(len(expected)))
    for (times, samples), (start, stop) in zip(pieces.values(), expected, strict=True):
        assert times == (start / RATE, stop / RATE)
        np.testing.assert_array_equal(samples, whole[start:stop])


@settings(max_examples=100, deadline=None)
@given(
    bounds=st.lists(st.tuples(st.integers(0, 100_000), st.integers(100, 60_000)), max_size=8),
    block=st.integers(500, 20_000),
)
def test_segments_in_any_order(bounds, block):
    whole = recording(100_000)
    bounds = [(start, min(start + length, 100_000)) for start, length in bounds if start <= 99_900]
    segments = [(start / RATE, stop / RATE) for start, stop in bounds]
    with patch.object(audio_pieces, "BLOCK_S", block / RATE):
        pieces = joined(read_pieces(AudioArray(whole, RATE), segments=segments))
    assert sorted(pieces) == list(range(len(bounds)))
    for index, (start, stop) in enumerate(bounds):
        times, samples = pieces[index]
        assert times == (start / RATE, stop / RATE)
        np.testing.assert_array_equal(samples, whole[start:stop])


def test_a_recording_is_one_piece_and_a_long_one_comes_in_parts():
    [part] = read_pieces(AudioArray(recording(30_000), RATE))
    assert (
        part.is_first and part.is_last and len(part.samples) == 30_000 and (part.start_s, part.end_s) == (None, None)
    )
    parts = list(read_pieces(AudioArray(recording(75_500), RATE)))
    assert [len(part.samples) for part in parts] == [40_000, 10_000, 10_000, 10_000, 5_500, 0]
    assert [part.is_last for part in parts] == [False] * 5 + [True]
    np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), recording(75_500))


def test_a_single_short_window_is_kept():
    [part] = read_pieces(AudioArray(recording(60), RATE), window_s=1)
    assert (part.start_s, part.end_s, len(part.samples)) == (0.0, 0.06, 60)
    [part] = read_pieces(AudioArray(recording(1)[:0], RATE), window_s=1)
    assert (part.start_s, part.end_s, len(part.samples)) == (0.0, 0.0, 0)
    [part] = read_pieces(AudioArray(recording(1)[:0], RATE))
    assert len(part.samples) == 0


def test_reading_stops_after_the_last_segment():
    class Counting(AudioArray):
        blocks_read = 0

        def blocks(self, block_samples):
            for block in super().blocks(block_samples):
                self.blocks_read += 1
                yield block

    source = Counting(recording(500_000), RATE)
    assert len(list(read_pieces(source, segments=[(1, 2), (12, 13)]))) == 2
    assert source.blocks_read <= 3
    assert list(read_pieces(source, segments=[])) == []


def test_a_file_that_ends_before_its_header_says():
    file = io.BytesIO()
    soundfile.write(file, recording(160_000), 16000, format="MP3")
    half = file.getvalue()[: len(file.getvalue()) // 2]
    message = r"segment 1, from {} s .* the audio at \d\.\d+ s \(its header says 10.000 s: it is broken or cut off\)"
    for segments, start in (([(1, 2), (8.5, 9.5)], "8.5"), ([(1, 2), (0.5, 9)], "0.5"), ([(1, 2), (9, None)], "9.0")):
        with open_audio(half, RATE) as source:
            first, second = read_pieces(source, segments=segments)
        assert first.error is None and len(first.samples) == 16000
        assert re.match(message.format(start), second.error) and not len(second.samples)
    with open_audio(half, RATE) as source:
        last = list(read_pieces(source, window_s=1))[-1]
        assert 4 < last.end_s < 6 and last.end_s - last.start_s == pytest.approx(len(last.samples) / 16000)


def test_an_end_a_little_behind_the_audio_is_cut():
    source = AudioArray(recording(16008), 16000)
    for end_s in (1.001, 1.0105, 1.1, None, float("nan"), float("inf")):
        [part] = read_pieces(source, segments=[(0.5, end_s)])
        assert (part.start_s, part.end_s) == (0.5, 1.0005)
        np.testing.assert_array_equal(part.samples, recording(16008)[8000:])
    beyond = r"segment 1, from (0.0 s to 1.101|1.11 s to 1.2) s, lies behind the end of the audio at 1.000 s; give"
    for segment in ((0, 1.101), (1.11, 1.2)):
        error, part = read_pieces(source, segments=[(0, 0.5), segment])
        assert re.match(beyond, error.error) and (error.index, error.start_s, error.end_s) == (1, *segment)
        assert len(part.samples) == 8000
    [error] = read_pieces(source, segments=[(1.2, None)])
    assert error.error.startswith("segment 0, from 1.2 s on, lies behind")


@dataclass
class Turn:
    """As a `Segment` of pyannote."""

    start: float
    end: float


NOW = pd.Timestamp("2026-01-01")


@pytest.mark.parametrize(
    "segment",
    [
        *((0.5, 1.25), [0.5, 1.25], np.array([0.5, 1.25]), np.float32([0.5, 1.25]), (Decimal("0.5"), Fraction(5, 4))),
        *({"start": 0.5, "end": 1.25, "text": "yes"}, {"start_s": 0.5, "end_s": 1.25}, {"timestamp": (0.5, 1.25)}),
        *(Turn(0.5, 1.25), torch.tensor([0.5, 1.25]), pd.Series({"start": 0.5, "end": 1.25})),
        (timedelta(milliseconds=500), timedelta(seconds=1.25)),
        (np.timedelta64(500, "ms"), np.timedelta64(1_250_000_000, "ns")),
        (pd.Timedelta("500ms"), pd.Timedelta("1.25s")),
        (NOW + pd.Timedelta("500ms") - NOW, {"a": pd.Timedelta("1.25s")}["a"]),
    ],
)
def test_forms_of_segments(segment):
    assert check_cut(None, None, iter([(0, 1), segment])) == [(0.0, 1.0), (0.5, 1.25)]


@pytest.mark.parametrize("end", [None, float("nan"), pd.NaT, np.timedelta64("NaT"), float("inf")])
def test_an_end_that_is_missing_is_that_of_the_recording(end):
    for segment in ((1.5, end), {"start": 1.5, "end": end}):
        [part] = read_pieces(AudioArray(recording(2345), RATE), segments=[segment])
        assert (part.start_s, part.end_s, len(part.samples)) == (1.5, 2.345, 845)


@pytest.mark.parametrize(
    "segment",
    [
        *((2, 1), (-0.1, 1), (float("nan"), 1), (None, 1), (float("inf"), None), (1,), (1, 2, 3), 1, "ab", ("0", "1")),
        *({"start": 1}, {"onset": 1, "end": 2}, (True, 2), (0, 1j), (10**400, None), ("a" * 10**6, 1)),
    ],
)
def test_segments_are_checked(segment):
    message = (
        r"segment 1 is .{1,220}; a segment is \(start_s, end_s\), or a dict or an object with start and end, with"
    )
    with pytest.raises(ValueError, match=message):
        check_cut(None, None, [(0, 1), segment])


def test_segments_in_samples_are_noticed():
    # silero-vad gives samples unless it is told otherwise
    message = r"segment 1 is {'end': 20000, 'start': 1500}, which looks like samples; divide them by the sampling rate"
    with pytest.raises(ValueError, match=message):
        check_cut(None, None, [{"start": 0, "end": 2}, {"start": 1500, "end": 20000}])
    assert check_cut(None, None, [{"start": 0, "end": 5}, {"start": 1500.0, "end": 20000.0}])[1] == (1500, 20000)
    with pytest.raises(ValueError, match="segments is 5; give a list of"):
        check_cut(None, None, 5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"window_s": 1, "segments": [(0, 1)]}, "window_s and segments are both given; give one, and None for the ot"),
        ({"hop_s": 1}, "hop_s is 1 without window_s; give window_s too"),
        ({"hop_s": 1, "segments": [(0, 1)]}, "hop_s is 1 without window_s"),
        ({"window_s": 0.05}, "window_s is 0.05; windows last at least 0.1 s"),
        ({"window_s": -1}, "window_s is -1;"),
        ({"window_s": float("nan")}, "window_s is nan"),
        ({"window_s": "1"}, "window_s is '1', a str; give a number of seconds"),
        ({"window_s": "a" * 10**6}, "window_s is 'a{1,200}.{3}a{1,200}', a str; give a number of seconds"),
        ({"window_s": 1, "hop_s": [1]}, r"hop_s is \[1\], a list; give a number of seconds"),
        ({"window_s": True}, "window_s is True, a bool; give a number of seconds"),
        ({"window_s": float("inf")}, "window_s is inf"),
        ({"window_s": 2, "hop_s": 3}, "hop_s is 3; give 0.01 s to window_s, 2 s, so that no audio is left out"),
        ({"window_s": 2, "hop_s": 0}, "hop_s is 0; give 0.01 s"),
        ({"window_s": 2, "hop_s": float("nan")}, "hop_s is nan"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        list(read_pieces(AudioArray(recording(1000), RATE), **options))


def test_little_is_held_of_a_long_file(tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as file:
        for _ in range(40):
            file.write(np.zeros(16000 * 15, dtype=np.int16))
    with open_audio(path, RATE) as source:
        tracemalloc.start()
        count = sum(1 for _ in read_pieces(source, window_s=4, hop_s=2))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 299
    # the whole is 38 MB as float32; two blocks of 10 s and their copies are 2.6
    assert peak < 6e6
