"""Levels, noises and synthetic rooms for waveforms at 16 kHz."""

import hashlib
import json
import math
from collections.abc import Sequence

import numpy as np

from speech_affect.audio import SAMPLING_RATE


# the level assumed for speech in a clip of digital silence when noise is added: -60 dB of full scale
SILENT_CLIP_RMS = 1e-3
PINK_FROM_HZ = 50
_QUICK_MULTIPLE = 2048  # a Fourier transform of a prime length takes eight times as long


def clip_rng(*identity: str | int) -> np.random.Generator:
    """Return the random numbers that belong to a clip: the same in every process and run.

    Args:
        identity: What they depend on, such as the clip's fingerprint and the name of a condition.
    """
    return np.random.default_rng(int(hashlib.sha256(json.dumps(identity).encode()).hexdigest(), 16))


def rms(waveform: np.ndarray) -> float:
    """Return the root mean square of a waveform (samples,), computed in double precision."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def at_rms(waveform: np.ndarray, target: float) -> np.ndarray:
    """Scale a waveform (samples,) to a root mean square, float32; a silent one stays silent."""
    current = rms(waveform)
    # in float64, because a nearly silent waveform would need a gain beyond float32
    return (waveform.astype(np.float64) * (target / current if current else 1.0)).astype(np.float32)


def within_full_scale(waveform: np.ndarray) -> np.ndarray:
    """Scale a waveform (samples,) that exceeds [-1, 1] down as a whole, without clipping, float32."""
    return (waveform / max(1.0, float(np.abs(waveform).max()))).astype(np.float32)


def impulse_response(t60_s: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a room's response: the direct sound at sample 0, then Gaussian noise of equal energy that decays.

    The model is Polack's, as in Habets, "Single- and multi-microphone speech dereverberation using spectral
    enhancement" (2007), section 2.3: the amplitude falls as 10 ** (-3 t / T60), by 60 dB within `t60_s`, where the
    response ends.

    Args:
        t60_s: Reverberation time, 0.01 to 10 s.
        rng: Draws the noise.

    Returns:
        (round(t60_s * 16000) + 1,) float32, of unit energy.
    """
    times_s = np.arange(1, round(t60_s * SAMPLING_RATE) + 1) / SAMPLING_RATE
    tail = rng.standard_normal(len(times_s)) * 10 ** (-3 * times_s / t60_s)
    tail *= math.sqrt(0.5 / np.sum(tail**2))
    return np.concatenate([[math.sqrt(0.5)], tail]).astype(np.float32)


def reverberate(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolve a clip with a room's response; what sounds after the clip's end is cut off.

    Args:
        waveform: (samples,).
        response: (samples,), its direct sound at sample 0, so that the clip is not delayed.

    Returns:
        (samples,) float32 with the clip's root mean square; its peak may lie above 1.
    """
    # numpy, because torch's transforms round differently with another number of threads
    size = len(waveform) + len(response) - 1
    size += -size % _QUICK_MULTIPLE
    spectrum = np.fft.rfft(waveform.astype(np.float64), size) * np.fft.rfft(response.astype(np.float64), size)
    return at_rms(np.fft.irfft(spectrum, size)[: len(waveform)], rms(waveform))


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Mix a clip with noise at a signal-to-noise ratio of their mean powers.

    A mixture that exceeds full scale is scaled down as a whole, which keeps the ratio. For a clip of digital silence
    the ratio is undefined: it gets the noise that speech at -60 dB of full scale would get.

    Args:
        waveform: (samples,).
        noise: (samples,).
        snr_db: In decibels.

    Returns:
        (samples,) float32 in [-1, 1].

    Raises:
        ValueError: The noise is silent.
    """
    noise_rms = rms(noise)
    if not noise_rms:
        raise ValueError("noise is silent, so no signal-to-noise ratio can be reached; give noise that is not silent")
    gain = (rms(waveform) or SILENT_CLIP_RMS) / noise_rms * 10 ** (-snr_db / 20)
    return within_full_scale(waveform + gain * noise.astype(np.float64))


def white_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian noise with a flat spectrum, (num_samples,) float32 of unit variance."""
    return rng.standard_normal(num_samples, dtype=np.float32)


def pink_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian noise whose power falls by 3 dB per octave above 50 Hz and is flat below.

    Returns:
        (num_samples,) float32 of unit RMS, for 16 kHz.
    """
    size = 1 << max(1, num_samples - 1).bit_length()  # quick for the Fourier transform
    frequencies_hz = np.fft.rfftfreq(size, 1 / SAMPLING_RATE)
    spectrum = np.fft.rfft(white_noise(size, rng)) / np.sqrt(np.maximum(frequencies_hz, PINK_FROM_HZ))
    return at_rms(np.fft.irfft(spectrum)[:num_samples], 1.0)


def babble(voices: Sequence[np.ndarray], num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Mix several voices, equally loud, each repeated from a random position.

    Args:
        voices: At least one clip, each (samples,). Silent ones add nothing.
        num_samples: Of the result.
        rng: Draws where each voice begins.

    Returns:
        (num_samples,) float32, each voice of unit RMS over its own length.

    Raises:
        ValueError: There is no voice.
    """
    if not len(voices):
        raise ValueError("no voices given; babble needs at least one other clip")
    total = np.zeros(num_samples, dtype=np.float32)
    for voice in voices:
        start = int(rng.integers(len(voice)))
        total += np.resize(np.roll(at_rms(voice, 1.0), -start), num_samples)
    return total
