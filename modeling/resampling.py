"""Resampling of a waveform, whole or in pieces, by a windowed sinc, in numpy alone."""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np


LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
ZERO_CROSSINGS = 6  # of the sinc, to each side
ROLLOFF = 0.99  # cut-off, as a share of half the lower rate
LARGEST_FILTER = 8_000_000  # limit for the product of a ratio's terms: the phases of an odd rate would take gigabytes
# outputs of one matrix product: a filter matrix is banded, and the wider it is the more of it is zero
GROUP = 32
BLOCK_SAMPLES = 1 << 17  # in double precision at once


def whole_rate(sampling_rate) -> int:
    """Convert a sampling rate, whatever number type it has, to an int.

    Args:
        sampling_rate: in hertz, 1,000 to 768,000.

    Raises:
        ValueError: the rate is out of range, or no whole number.
    """
    try:
        # neither an array of one number is a number, nor a text of digits
        is_number = np.ndim(sampling_rate) == 0 and not isinstance(sampling_rate, bool)
        rate = int(sampling_rate) if is_number else 0
        is_whole = is_number and bool(rate == sampling_rate)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        is_whole = False
    if not is_whole:
        raise ValueError(f"sampling_rate is {sampling_rate!r:.100}; give a whole number of hertz")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(
            f"sampling_rate is {sampling_rate}; {LOWEST_RATE} to {HIGHEST_RATE} Hz are allowed: check the audio's rate"
        )
    return rate


class Resampler:
    """Windowed-sinc resampling of a stream; the output does not depend on how the input is cut.

    The filter is that of `torchaudio.functional.resample` at its defaults (a sinc under a Hann window, 6 zero
    crossings to each side, rolloff 0.99; J. O. Smith, "Digital Audio Resampling"); sums are taken in double precision.
    Between two pushes it keeps less than one period of the two rates' common grid and the filter's width. Attributes
    are replaced, never changed in place: `copy.copy` gives an independent resampler.

    Args:
        sampling_rate: of the input in hertz, 1,000 to 768,000.
        target_rate: of the output in hertz.

    Attributes:
        ratio: input samples per output sample. It is exact for all rates in use; for rates that share few factors with
            the target, it is the ratio of another rate within 0.02%.

    Raises:
        ValueError: the rate is out of range, or no whole number.
    """

    def __init__(self, sampling_rate: int, target_rate: int):
        exact = Fraction(whole_rate(sampling_rate), target_rate)
        self.ratio = exact.limit_denominator(max(1, int((LARGEST_FILTER / exact) ** 0.5)))
        self._restart()

    def _restart(self) -> None:
        self.samples_in = self.samples_out = 0
        # the filter reaches back before the first sample
        self._tail = np.zeros(_filters(self.ratio).reach, dtype=np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Resample the next piece.

        Args:
            samples: (samples,) floating point, any number of them.

        Returns:
            (outputs,) float32: those that no later sample can change, in whole periods of the common grid.
        """
        if self.ratio == 1:
            return np.asarray(samples, dtype=np.float32)
        filters = _filters(self.ratio)
        self.samples_in += len(samples)
        waiting = np.concatenate([self._tail, samples])
        periods = max(0, (len(waiting) - 2 * filters.reach) // filters.period_in)
        outputs = _convolve(waiting, filters, periods)
        self._tail = waiting[periods * filters.period_in :].astype(np.float32)  # a copy, not a view of the whole piece
        self.samples_out += len(outputs)
        return outputs

    def flush(self) -> np.ndarray:
        """Return the rest, as if silence followed, and restart.

        Returns:
            (outputs,) float32. All outputs together are `ceil(samples * target_rate / sampling_rate)`.
        """
        if self.ratio == 1:
            return np.zeros(0, dtype=np.float32)
        filters = _filters(self.ratio)
        missing = math.ceil(self.samples_in / self.ratio) - self.samples_out
        periods = math.ceil(missing / filters.period_out)
        needed = periods * filters.period_in + 2 * filters.reach
        outputs = _convolve(np.pad(self._tail, (0, max(0, needed - len(self._tail)))), filters, periods)
        self._restart()
        return outputs[:missing]


def resample(waveform: np.ndarray, sampling_rate: int, target_rate: int) -> np.ndarray:
    """Resample a whole waveform, as [`Resampler`] does, which has the arguments and errors.

    Args:
        waveform: (samples,) floating point.
        sampling_rate, target_rate: in hertz.

    Returns:
        (ceil(samples * target_rate / sampling_rate),) float32.
    """
    resampler = Resampler(sampling_rate, target_rate)
    return np.concatenate([resampler.push(waveform), resampler.flush()])


class _Filters:
    """Filter matrices of the outputs of one period of the common grid, `GROUP` outputs each.

    Attributes:
        period_in, period_out: samples of a period, repeated until a group of outputs fits and the inputs of a group
            are no more than the period: then a matrix product reads them in place.
        reach: samples to each side of its position that an output needs, at most.
        first: (groups,), where the inputs of a group begin, counted from `reach` before the period.
        weights: (groups, inputs, GROUP), float64.
    """

    def __init__(self, ratio: Fraction):
        step, base = float(ratio), min(1.0, float(1 / ratio)) * ROLLOFF
        self.reach = math.ceil(ZERO_CROSSINGS / base)
        inputs = 2 * self.reach + math.ceil(GROUP * step) + 1
        repeats = max(math.ceil(GROUP / ratio.denominator), math.ceil(inputs / ratio.numerator))
        self.period_in, self.period_out = ratio.numerator * repeats, ratio.denominator * repeats
        outputs = np.arange(-(-self.period_out // GROUP) * GROUP).reshape(-1, GROUP)
        self.first = outputs[:, 0] * ratio.numerator // ratio.denominator
        # exact in integers, then one division: no rounding grows with the period
        places = self.first[:, None] - self.reach + np.arange(inputs)
        apart = places[:, :, None] * ratio.denominator - outputs[:, None, :] * ratio.numerator
        t = (apart * (base / ratio.denominator)).clip(-ZERO_CROSSINGS, ZERO_CROSSINGS)
        self.weights = np.sinc(t) * np.cos(t * (np.pi / ZERO_CROSSINGS / 2)) ** 2 * base


_filters = lru_cache(maxsize=8)(_Filters)


def _convolve(samples: np.ndarray, filters: _Filters, periods: int) -> np.ndarray:
    """(periods * period_out,) float32 of samples that begin `reach` before the first period."""
    outputs = np.empty((periods, filters.period_out), dtype=np.float32)
    at_once = max(1, BLOCK_SAMPLES // filters.period_in)
    inputs = filters.weights.shape[1]
    for start in range(0, periods, at_once):
        rows = min(at_once, periods - start)
        block = samples[start * filters.period_in :][: rows * filters.period_in + 2 * filters.reach]
        # the last group, which may reach past the period, has weights of zero there
        block = np.pad(block.astype(np.float64), (0, inputs))
        for group, first in enumerate(filters.first):
            windows = np.lib.stride_tricks.as_strided(
                block[first:], (rows, inputs), (filters.period_in * block.itemsize, block.itemsize), writeable=False
            )
            place = slice(group * GROUP, (group + 1) * GROUP)
            part = windows @ filters.weights[group]
            outputs[start : start + rows, place] = part[:, : filters.period_out - place.start]
    return outputs.reshape(-1)
