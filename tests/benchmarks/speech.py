"""The audio of the benchmarks: EmoDB, files that are given, or tones and noise with the rhythm of speech."""

from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile


SAMPLING_RATE = 16000
CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpora/emodb-msp/Audios"
PAUSE_S = 0.5
NUM_SYNTHETIC = 24


def speech_files(given: Path | None, folder: Path) -> tuple[str, list[Path]]:
    """Find or make clips.

    Args:
        given: folder of 16 kHz wav files, or None for EmoDB.
        folder: where synthetic clips are written if there are none.

    Returns:
        A description and the sorted files.

    Raises:
        ValueError: the given folder has no wav files.
    """
    source = given if given is not None else CORPUS
    files = sorted(source.glob("*.wav"))
    if given is not None and not files:
        raise ValueError(f"{given} has no .wav files; give a folder of 16 kHz speech")
    if files:
        return f"{len(files)} clips of {'EmoDB' if given is None else source.name}", files
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(NUM_SYNTHETIC):
        clip = synthetic_speech(generator.uniform(1.5, 4.5), generator)
        soundfile.write(folder / f"{index:03d}.wav", clip, SAMPLING_RATE)
    return f"{NUM_SYNTHETIC} synthetic clips (tones and noise with the rhythm of speech)", sorted(folder.glob("*.wav"))


def synthetic_speech(duration_s: float, generator: np.random.Generator) -> np.ndarray:
    """Make (samples,) float32: a gliding harmonic tone and noise, four syllables a second."""
    times = np.arange(round(duration_s * SAMPLING_RATE)) / SAMPLING_RATE
    f0_hz = 120 + 40 * np.sin(2 * np.pi * 0.7 * times)
    phase = 2 * np.pi * np.cumsum(f0_hz) / SAMPLING_RATE
    voiced = sum(np.sin(number * phase) / number for number in range(1, 9))
    syllables = np.clip(np.sin(2 * np.pi * 4 * times), 0, None)
    noise = generator.standard_normal(len(times))
    return ((0.2 * voiced + 0.02 * noise) * syllables + 0.001 * noise).clip(-1, 1).astype(np.float32)


def read_clip(path: Path) -> np.ndarray:
    """Read (samples,) float32 of a file at 16 kHz."""
    samples, sampling_rate = soundfile.read(path, dtype="float32", always_2d=True)
    if sampling_rate != SAMPLING_RATE:
        raise ValueError(f"{path} is at {sampling_rate} Hz; give files at {SAMPLING_RATE} Hz")
    return samples.mean(axis=1)


def waveform(files: list[Path], duration_s: float) -> np.ndarray:
    """Join clips to (samples,) float32 of exactly this length."""
    wanted, parts, held = round(duration_s * SAMPLING_RATE), [], 0
    for path in cycle(files):
        parts.append(read_clip(path))
        held += len(parts[-1])
        if held >= wanted:
            return np.concatenate(parts)[:wanted]


def write_recording(path: Path, files: list[Path], duration_s: float) -> Path:
    """Write a 16-bit wav file of this length, clip by clip, with pauses of faint noise."""
    noise = 0.0005 * np.random.default_rng(0).standard_normal(round(PAUSE_S * SAMPLING_RATE))
    remaining = round(duration_s * SAMPLING_RATE)
    with soundfile.SoundFile(path, "w", SAMPLING_RATE, 1, subtype="PCM_16") as file:
        for clip in cycle(files):
            for part in (read_clip(clip), noise):
                file.write(part[:remaining])
                remaining -= min(remaining, len(part))
            if not remaining:
                return path
