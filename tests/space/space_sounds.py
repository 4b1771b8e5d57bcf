"""Sounds for the Space's tests."""

import numpy as np


def voice(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """A sound that comes and goes as syllables do, (samples,)."""
    times = np.arange(round(seconds * rate)) / rate
    hum = np.sin(2 * np.pi * (120 + 30 * seed) * times) + 0.3 * np.random.default_rng(seed).standard_normal(len(times))
    return (0.2 * hum * np.clip(np.sin(2 * np.pi * 2.5 * times), 0, 1)).astype(np.float32)
