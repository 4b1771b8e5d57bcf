"""Resampling: torchaudio's filter in double precision as the oracle, and any cutting gives the same."""

import copy
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.functional import resample as torchaudio_resample

from speech_affect.resampling import Resampler, resample, whole_rate


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)


def cut(samples: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Pieces of these sizes, then the rest in one."""
    return np.split(samples, np.minimum(np.cumsum(sizes), len(samples)))


@pytest.mark.parametrize("seconds", [0.0101, 0.6])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000])
def test_equals_torchaudio(rate, seconds):
    waveform = noise(round(rate * seconds))
    for source, target in ((rate, 16000), (16000, rate)):
        expected = torchaudio_resample(torch.from_numpy(waveform).double(), source, target).numpy()
        got = resample(waveform, source, target)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("rate", [1009, 15999, 44101, 767999])
def test_rates_without_a_small_ratio_equal_torchaudio_at_their_ratio(rate):
    ratio = Resampler(rate, 16000).ratio
    assert abs(ratio * 16000 / rate - 1) < 2e-4
    waveform = noise(round(0.15 * rate))
    double = torch.from_numpy(waveform).double()
    expected = torchaudio_resample(double, ratio.numerator, ratio.denominator).numpy()
    np.testing.assert_allclose(resample(waveform, rate, 16000), expected, atol=1e-6, rtol=0)


@given(
    rate=st.sampled_from([8000, 11025, 16000, 44100, 48000, 44101]),
    samples=st.integers(0, 6000),
    sizes=st.lists(st.one_of(st.integers(0, 3), st.integers(0, 2000)), max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_any_cutting_gives_the_same(rate, samples, sizes):
    waveform = noise(samples)
    resampler = Resampler(rate, 16000)
    pieces = [resampler.push(piece) for piece in cut(waveform, sizes)]
    got = np.concatenate([*pieces, resampler.flush()])
    expected = resample(waveform, rate, 16000)
    assert len(got) == len(expected) == math.ceil(samples / resampler.ratio)
    np.testing.assert_allclose(got, expected, atol=1.2e-7, rtol=0)  # one step of float32 at full scale


def test_what_was_pushed_is_never_changed_by_what_follows():
    waveform = noise(44100)
    resampler = Resampler(44100, 16000)
    first = resampler.push(waveform[:20000])
    np.testing.assert_allclose(first, resample(waveform, 44100, 16000)[: len(first)], atol=1.2e-7, rtol=0)
    assert len(first) >= 20000 * 16000 / 44100 - 200  # at most a period and half a filter behind


def test_memory_does_not_grow():
    resampler = Resampler(44100, 16000)
    kept = []
    for _ in range(50):
        resampler.push(noise(4410))
        kept.append(len(resampler._tail))
    assert max(kept[25:]) <= max(kept[:25]) < 600
    assert resampler._tail.base is None  # not a view of all that was pushed


def test_flush_restarts_and_a_copy_is_independent():
    waveform = noise(5000)
    resampler = Resampler(48000, 16000)
    begun = resampler.push(waveform[:2000])
    twin = copy.copy(resampler)
    as_if_it_ended = np.concatenate([begun, twin.flush()])
    np.testing.assert_allclose(as_if_it_ended, resample(waveform[:2000], 48000, 16000), atol=1.2e-7, rtol=0)
    whole = np.concatenate([begun, resampler.push(waveform[2000:]), resampler.flush()])
    np.testing.assert_allclose(whole, resample(waveform, 48000, 16000), atol=1.2e-7, rtol=0)
    again = np.concatenate([resampler.push(waveform), resampler.flush()])
    np.testing.assert_allclose(again, whole, atol=1.2e-7, rtol=0)


def test_one_rate_is_left_as_it_is():
    waveform = noise(100)
    np.testing.assert_array_equal(resample(waveform, 16000, 16000), waveform)


@pytest.mark.parametrize(
    "rate, message",
    [
        (999, "sampling_rate is 999; 1000 to 768000 Hz are allowed: check the audio's rate"),
        (768001, "sampling_rate is 768001; 1000 to 768000 Hz"),
        (44100.5, "sampling_rate is 44100.5; give a whole number of hertz"),
        (True, "sampling_rate is True; give a whole number of hertz"),
    ],
)
def test_rates_are_checked(rate, message):
    with pytest.raises(ValueError, match=message):
        Resampler(rate, 16000)


NO_RATES = [math.nan, math.inf, Decimal("NaN"), Fraction(1, 3), 16000j, "16000", "fast", b"16000", None, {}, [16000]]


@pytest.mark.parametrize("rate", [*NO_RATES, np.array([16000]), torch.tensor([16000])], ids=repr)
def test_what_is_no_number_of_hertz(rate):
    with pytest.raises(ValueError, match=r"^sampling_rate is .*; give a whole number of hertz$"):
        whole_rate(rate)


@pytest.mark.parametrize(
    "rate", [16000, 16000.0, np.int16(16000), np.float32(16000), np.array(16000), torch.tensor(16000), Decimal(16000)]
)
def test_any_number_is_a_rate(rate):
    assert whole_rate(rate) == 16000 and type(whole_rate(rate)) is int
    # an int16 cannot hold the ratio's terms
    assert Resampler(rate, 44100).ratio == Fraction(160, 441)
