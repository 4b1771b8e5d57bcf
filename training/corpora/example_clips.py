"""The Space's examples, said by the demo corpus's voices: `python training/corpora/example_clips.py`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import soundfile

from speech_affect.audio import SAMPLING_RATE
from speech_affect.resampling import resample

from .espeak import ESPEAK_SAMPLING_RATE, SpeechRequest, synthesize


PAUSE_S = 0.35
HAPPY = ("What a wonderful day, I love it!", {"voice": "en-us+f3", "rate_wpm": 210, "pitch": 70, "pitch_range": 90})
SAD = ("I am so tired, and nothing helps.", {"voice": "en-us+m2", "rate_wpm": 115, "pitch": 25, "pitch_range": 20})
ANGRY = ("I told you to stop that right now!", {"voice": "en-us+m4", "rate_wpm": 230, "pitch": 60, "pitch_range": 95})
CALM = ("We walked along the river and said very little.", {"voice": "en-us+f2", "rate_wpm": 140, "pitch": 45})
CLIPS = {"a_good_day": [HAPPY], "tired": [SAD], "four_moods": [CALM, HAPPY, ANGRY, SAD]}


def make_examples(folder: Path) -> list[Path]:
    """
    Write each clip as Opus, 16 kHz, mono.

    Args:
        folder: made if it is not there.

    Returns:
        the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, sentences in CLIPS.items():
        spoken = synthesize([SpeechRequest(text, **options) for text, options in sentences])
        pause = np.zeros(round(PAUSE_S * SAMPLING_RATE), dtype=np.float32)
        parts = [part for samples in spoken for part in (_at_rate(samples), pause)]
        path = folder / f"{name}.ogg"
        temporary = path.with_suffix(".tmp")
        soundfile.write(temporary, np.concatenate(parts[:-1]), SAMPLING_RATE, format="OGG", subtype="OPUS")
        os.replace(temporary, path)
        paths.append(path)
    return paths


def _at_rate(samples: np.ndarray) -> np.ndarray:
    return resample(samples.astype(np.float32) / 32768, ESPEAK_SAMPLING_RATE, SAMPLING_RATE).clip(-1, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parents[2] / "space" / "examples")
    for written in make_examples(parser.parse_args().output):
        print(written)
