"""The examples of the Space, spoken by voices of the demo corpus.

python -m speech_affect_training.corpora.example_clips --output space/examples
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from speech_affect.audio import SAMPLING_RATE
from speech_affect.resampling import resample

from ..files import atomic_path
from .espeak import ESPEAK_SAMPLING_RATE, SpeechRequest, synthesize


PAUSE_S = 0.35
HAPPY = SpeechRequest("What a wonderful day, I love it!", "en-us+f3", rate_wpm=210, pitch=70, pitch_range=90)
SAD = SpeechRequest("I am so tired, and nothing helps.", "en-us+m2", rate_wpm=115, pitch=25, pitch_range=20)
ANGRY = SpeechRequest("I told you to stop that right now!", "en-us+m4", rate_wpm=230, pitch=60, pitch_range=95)
CALM = SpeechRequest("We walked along the river and said very little.", "en-us+f2", rate_wpm=140, pitch=45)
CLIPS = {"a_good_day": [HAPPY], "tired": [SAD], "four_moods": [CALM, HAPPY, ANGRY, SAD]}


def make_examples(folder: Path) -> list[Path]:
    """Write each clip as Opus, 16 kHz, mono, into a folder, which is made if it is not there; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pause = np.zeros(round(PAUSE_S * SAMPLING_RATE), dtype=np.float32)
    for name, sentences in CLIPS.items():
        parts = []
        for spoken in synthesize(sentences):
            samples = resample(spoken.astype(np.float32) / 32768, ESPEAK_SAMPLING_RATE, SAMPLING_RATE)
            parts += [samples.clip(-1, 1), pause]
        with atomic_path(folder / f"{name}.ogg") as path:
            soundfile.write(path, np.concatenate(parts[:-1]), SAMPLING_RATE, format="OGG", subtype="OPUS")
    return [folder / f"{name}.ogg" for name in CLIPS]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parents[2] / "space" / "examples")
    for written in make_examples(parser.parse_args().output):
        print(written)
