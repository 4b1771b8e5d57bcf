"""Signals: speech-like ones, and extreme ones that no microphone records."""

import numpy as np


USUAL_RATES = (1000, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000, 384000, 768000)
MOST_CHANNELS = 64
MOST_VALUES = 6_000_000  # samples times channels of one clip, to keep cases short


def any_rate(rng: np.random.Generator) -> int:
    """A sampling rate in hertz; one in eight lies outside the accepted 1,000 to 768,000."""
    choice = rng.integers(8)
    if choice == 0:
        return int(rng.choice([1, 2, 100, 999, 768_001, 1_000_000, 2**31 - 1, rng.integers(1, 1000)]))
    return int(rng.integers(1000, 768_001)) if choice < 3 else int(rng.choice(USUAL_RATES))


def any_channels(rng: np.random.Generator) -> int:
    """A number of channels: 1 to 64, mostly 1 or 2."""
    return int(rng.integers(1, MOST_CHANNELS + 1)) if rng.integers(4) == 0 else int(rng.integers(1, 3))


def any_length(rng: np.random.Generator, rate: int, channels: int = 1) -> int:
    """A number of samples, around the shortest accepted length (0.1 s) up to 1.5 s."""
    seconds = rng.choice([0.1, rng.uniform(0, 0.2), rng.uniform(0.1, 1.5)])
    return int(min(seconds * rate, MOST_VALUES // channels))


def bursts(rng: np.random.Generator, samples: int, rate: int, channels: int = 1) -> np.ndarray:
    """A speech-like signal, (samples, channels) float32: a tone switched on and off four times a second, and noise."""
    times = np.arange(samples) / rate
    tone = np.sin(2 * np.pi * rng.uniform(80, 400) * times) * (np.sin(2 * np.pi * 4 * times) > 0)
    hiss = rng.standard_normal((samples, 1), dtype=np.float32)
    loudness = rng.uniform(0.05, 0.9) * np.linspace(1, 0.5, channels, dtype=np.float32)
    return ((0.7 * tone[:, None] + 0.05 * hiss) * loudness).astype(np.float32)


def unlike_numbers(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Bursts with NaN or infinity in one, some or all samples."""
    signal = bursts(rng, samples, rate)[:, 0].astype(rng.choice(["f2", "f4", "f8"]))
    places = rng.integers(samples, size=int(rng.choice([1, 2, max(1, samples // 3)]))) if samples else []
    signal[slice(None) if rng.integers(4) == 0 else places] = rng.choice([np.nan, np.inf, -np.inf])
    return signal


def very_small(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Denormals, smallest normals and zeros of both signs, alone or within bursts."""
    dtype = np.dtype(str(rng.choice(["f2", "f4", "f8"])))
    smallest = np.finfo(dtype)
    sizes = np.array([smallest.smallest_subnormal, smallest.tiny, 0.0, -0.0, -smallest.smallest_subnormal], dtype)
    tiny = rng.choice(sizes, samples)
    signal = bursts(rng, samples, rate)[:, 0].astype(dtype)
    return tiny if rng.integers(2) else np.where(rng.integers(2, size=samples, dtype=bool), tiny, signal)


def very_large(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Full scale, constants and single peaks, with gains up to the largest number of the type."""
    ramp = np.arange(samples)
    signal = [
        lambda: np.ones(samples),
        lambda: np.full(samples, -1.0),
        lambda: np.full(samples, rng.uniform(-1, 1)),
        lambda: np.sign(np.sin(ramp * rng.uniform(0.001, 3.0))),
        lambda: (-1.0) ** ramp,
        lambda: (ramp == samples // 2).astype(float),
        lambda: rng.uniform(-1, 1, samples),
        lambda: np.zeros(samples),
        lambda: np.cumsum(rng.standard_normal(samples)).clip(-1, 1),
    ][rng.integers(9)]()
    gain = float(rng.choice([1.0, 1.0, np.nextafter(np.float32(1), np.float32(2)), 7.99, 8.01, 32767, 1e30, 1e308]))
    dtype = str(rng.choice(["f4", "f8"]))
    return np.clip(signal * gain, -np.finfo(dtype).max, np.finfo(dtype).max).astype(dtype)
