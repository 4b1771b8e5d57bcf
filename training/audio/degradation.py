"""Clips under noise and in a room: the conditions that a finished model is tested under."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .acoustics import at_rms, check_t60, check_waveform, impulse_response, reverberate, rms, within_full_scale


KINDS = ("clean", "white", "babble", "room")
# where there is no speech to relate the noise to, it is taken to be this loud: -60 dB of full scale
SILENT_CLIP_RMS = 1e-3
SAMPLING_RATE = 16_000
PINK_FROM_HZ = 50


@dataclass(frozen=True)
class Condition:
    """
    How a clip is degraded.

    Args:
        kind: `clean`, `white` (noise), `babble` (other voices) or `room` (reverberation).
        value: signal-to-noise ratio in decibels of `white` and `babble`, reverberation time in seconds of `room`
            (0.01 to 10), nothing of `clean`.

    Raises:
        ValueError: an unknown kind, or a value that it does not take.
    """

    kind: str
    value: float = 0.0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind of condition is {self.kind!r}; allowed are {', '.join(KINDS)}")
        if self.kind == "clean" and self.value != 0:
            raise ValueError(f"value is {self.value} of a clean condition; leave it out")
        if self.kind == "room":
            check_t60("value of a room", self.value)
        elif not math.isfinite(self.value):
            raise ValueError(f"value of {self.kind} is {self.value}; give a finite signal-to-noise ratio in decibels")

    @property
    def name(self) -> str:
        """For tables and files, such as `clean`, `white_10db`, `room_0.6s`."""
        if self.kind == "clean":
            return self.kind
        return f"{self.kind}_{self.value:g}{'s' if self.kind == 'room' else 'db'}"


def clip_rng(*identity: str | int) -> np.random.Generator:
    """
    Random numbers that belong to a clip: the same in every process and run.

    Args:
        identity: what they depend on, such as the clip's fingerprint and the name of a condition.
    """
    return np.random.default_rng(int(hashlib.sha256(json.dumps(identity).encode()).hexdigest(), 16))


def degrade(
    waveform: np.ndarray, condition: Condition, voices: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """
    A clip under a condition.

    Args:
        waveform: (samples,) in [-1, 1] at 16 kHz.
        condition: what to do to it.
        voices: other clips, each (samples,), for babble.
        rng: draws noise, room and offsets; [`clip_rng`] makes one that belongs to the clip.

    Returns:
        (samples,) float32 in [-1, 1]; the clip itself when clean.

    Raises:
        ValueError: no waveform, or babble without a voice to be heard.
    """
    check_waveform("waveform", waveform)
    if condition.kind == "clean":
        return waveform
    if condition.kind == "room":
        return within_full_scale(reverberate(waveform, impulse_response(condition.value, rng)))
    noise = white_noise(len(waveform), rng) if condition.kind == "white" else babble(voices, len(waveform), rng)
    return add_noise_at(waveform, noise, condition.value)


def add_noise_at(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """
    Mix at a signal-to-noise ratio, of mean powers over the whole clip.

    A mixture that reaches beyond full scale is scaled down as a whole, which keeps the ratio. A clip of digital
    silence has no such ratio: it gets the noise that speech at -60 dB of full scale would get.

    Args:
        waveform: (samples,).
        noise: (samples,), as long, at any level but silent.
        snr_db: in decibels.

    Returns:
        (samples,) float32 in [-1, 1].

    Raises:
        ValueError: no waveforms, of different lengths, silent noise, or a ratio that is not finite.
    """
    check_waveform("waveform", waveform)
    check_waveform("noise", noise)
    if len(noise) != len(waveform):
        raise ValueError(f"noise has {len(noise)} samples and the waveform {len(waveform)}; give as many")
    if not math.isfinite(snr_db):
        raise ValueError(f"snr_db is {snr_db}; give a finite number of decibels")
    noise_rms = rms(noise)
    if not noise_rms:
        raise ValueError("noise is silent, so no signal-to-noise ratio can be reached; give noise that can be heard")
    gain = (rms(waveform) or SILENT_CLIP_RMS) / noise_rms * 10 ** (-snr_db / 20)
    return within_full_scale(waveform + gain * noise.astype(np.float64))


def white_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with a flat spectrum, (num_samples,) float32 of unit variance: to be mixed, not played."""
    return rng.standard_normal(num_samples, dtype=np.float32)


def pink_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """
    Gaussian noise whose power falls by 3 dB per octave from 50 Hz on; below, where speech has nothing, it is flat.

    Args:
        num_samples: of the result, at 16 kHz.
        rng: draws the noise.

    Returns:
        (num_samples,) float32 of unit RMS: to be mixed, not played.
    """
    size = 1 << max(1, num_samples - 1).bit_length()  # quick for the Fourier transform
    frequencies_hz = np.fft.rfftfreq(size, 1 / SAMPLING_RATE)
    spectrum = np.fft.rfft(white_noise(size, rng)) / np.sqrt(np.maximum(frequencies_hz, PINK_FROM_HZ))
    return at_rms(np.fft.irfft(spectrum)[:num_samples], 1.0)


def babble(voices: Sequence[np.ndarray], num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """
    Several voices at once, equally loud, each repeated from a random place on.

    Args:
        voices: at least one clip, each (samples,). Silent ones add nothing.
        num_samples: of the result.
        rng: draws where each voice begins.

    Returns:
        (num_samples,) float32, each voice of unit RMS over its own length: to be mixed.

    Raises:
        ValueError: no voice, or a voice that is no waveform.
    """
    if not len(voices):
        raise ValueError("no voices given; babble needs at least one other clip")
    total = np.zeros(num_samples, dtype=np.float32)
    for index, voice in enumerate(voices):
        check_waveform(f"voice {index}", voice)
        start = int(rng.integers(len(voice)))
        total += np.resize(np.roll(at_rms(voice, 1.0), -start), num_samples)
    return total
