"""The demo corpus: synthetic English speech in the layout of MSP-Podcast, made on first use.

With it every step of the training runs without a licensed corpus. Each clip has a latent activation, valence and
dominance in [-1, 1]. Activation and dominance shape how eSpeak NG speaks and how loud it is; valence chooses the
words, by their ratings in the VADER lexicon (Hutto & Gilbert, "VADER: A parsimonious rule-based model for sentiment
analysis of social media text", ICWSM 2014). So activation and dominance show in low-level acoustic features, valence
in the words, as Mitra et al. found in real speech ("Speech Emotion: Investigating Model Representations, Multi-Task
Learning and Knowledge Distillation", Interspeech 2022). Labels are simulated grades, not ratings by people.
"""

import csv
import hashlib
import json
import math
import os
import secrets
import shutil
from collections import Counter, namedtuple
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from speech_affect.audio import SAMPLING_RATE

from ..files import read_json
from ..settings.labels import EMOTION_WORDS
from .espeak import SpeechRequest, installed_version, synthesize
from .msp_labels import CONSENSUS_COLUMNS, Grade


GENERATOR_VERSION = 1  # raise it with every change to the audio or the labels: made corpora are reused by it
MANIFEST_NAME = "demo_corpus.json"


# a synthetic speaker: an eSpeak NG voice, in one split
Speaker = namedtuple("Speaker", "voice gender split")

# Speakers are numbered from 1 in this order. Every split has both genders and more than one accent.
SPEAKERS = (
    Speaker("en-us+f1", "Female", "Train"),
    Speaker("en-us+m1", "Male", "Train"),
    Speaker("en+f2", "Female", "Train"),
    Speaker("en-gb-x-rp+m3", "Male", "Train"),
    Speaker("en-us+belinda", "Female", "Train"),
    Speaker("en-gb-scotland+m7", "Male", "Train"),
    Speaker("en-us+Annie", "Female", "Train"),
    Speaker("en-us+f3", "Female", "Development"),
    Speaker("en+m4", "Male", "Development"),
    Speaker("en-us+f4", "Female", "Test1"),
    Speaker("en-us+m2", "Male", "Test1"),
    Speaker("en-gb-x-rp+f5", "Female", "Test1"),
)

# The sign of an adjective is given here, its rating comes from the lexicon; one that the lexicon does not list is
# neutral (0), as in VADER itself. None starts with a vowel, so that "a" always fits.
NEGATIVE = "horrible cruel brutal nasty violent bad rotten disgusting miserable sad terrible dreadful"
NEUTRAL = "local recent common regular brief public"
POSITIVE = "wonderful great lovely brilliant superb beautiful perfect splendid happy joyful friendly pleasant"
WORDS = {-1: NEGATIVE.split(), 0: NEUTRAL.split(), 1: POSITIVE.split()}
NOUNS = ("meeting", "story", "teacher", "market", "garden", "lecture", "neighbour", "journey")
TEMPLATES = (
    "It was a {} and {} {noun}, quite {}.",
    "We talked about the {} {noun}, it was {} and {}.",
    "The {noun} was {}, {} and {}, they said.",
    "She told me of a {} {noun}, a {} one.",
    "They found the {noun} {} and {} today.",
)

GRADERS_PER_CLIP = (5, 8)
GRADERS = 60
GRADE_NOISE = 0.8  # standard deviation on the 1..7 scale

# a grader's word for an emotion, and the word given as secondary emotion
SECONDARY = {"Angry": "Frustrated", "Sad": "Disappointed", "Happy": "Amused", "Surprise": "Confused"}
SECONDARY |= {"Fear": "Concerned", "Contempt": "Annoyed", "Neutral": "Concerned"}
NO_AGREEMENT = "X"

_BATCH_CLIPS = 500  # clips that are synthesised before they are written


class Clip(NamedTuple):
    """One clip before it is synthesised; activation, valence and dominance are latent, in [-1, 1]."""

    name: str
    speaker_id: int
    text: str
    activation: float
    valence: float
    dominance: float
    grades: tuple[Grade, ...]

    @property
    def speaker(self) -> Speaker:
        return SPEAKERS[self.speaker_id - 1]


def make_demo_corpus(folder: str | os.PathLike, *, utterances_per_speaker: int = 30, seed: int = 0) -> Path:
    """Return the demo corpus, which is made unless an earlier call has made it.

    The same arguments give byte-identical files. A corpus appears under its name only when it is complete, so an
    interrupted call leaves none, and several processes may call this at once.

    Args:
        folder: A cache folder; the corpus becomes a subfolder of it, named by its settings.
        utterances_per_speaker: Clips of each of the 12 speakers, 1..9999.
        seed: Of the words, the latents, the graders and the synthesiser, 0..2**31 - 1.

    Returns:
        The folder of the corpus, in the layout of an MSP-Podcast release.

    Raises:
        ImportError: `espeakng-loader` or `vaderSentiment` is not installed.
        ValueError: An argument is out of range.
    """
    if not 1 <= utterances_per_speaker <= 9999:
        raise ValueError(f"utterances_per_speaker={utterances_per_speaker} is outside 1..9999 (names have 4 digits).")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed={seed} is outside 0..2**31 - 1.")
    settings = {
        "generator_version": GENERATOR_VERSION,
        "seed": seed,
        "utterances_per_speaker": utterances_per_speaker,
        "speakers": len(SPEAKERS),
        "espeakng_loader": installed_version("espeakng-loader", "espeakng_loader"),
        "vaderSentiment": installed_version("vaderSentiment", "vaderSentiment"),
    }
    folder = Path(folder)
    corpus = folder / f"demo-msp-{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]}"
    if _is_complete(corpus, settings):
        return corpus
    scratch = folder / f".{corpus.name}-{secrets.token_hex(8)}"
    try:
        _write_corpus(scratch, settings)
        _publish(scratch, corpus, settings)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return corpus


def _is_complete(corpus: Path, settings: dict) -> bool:
    clips = sum(1 for _ in (corpus / "Audios").glob("*.wav"))
    expected = settings["speakers"] * settings["utterances_per_speaker"]
    return read_json(corpus / MANIFEST_NAME) == settings and clips == expected


def _publish(scratch: Path, corpus: Path, settings: dict) -> None:
    """Give the finished corpus its name, unless another process was faster; replace a damaged one."""
    try:
        os.replace(scratch, corpus)
    except OSError:  # there is a folder that is not empty
        if not _is_complete(corpus, settings):
            damaged = scratch.with_name(f"{scratch.name}-damaged")
            os.replace(corpus, damaged)
            shutil.rmtree(damaged, ignore_errors=True)
            os.replace(scratch, corpus)


def _write_corpus(folder: Path, settings: dict) -> None:
    clips = plan_clips(settings["utterances_per_speaker"], settings["seed"])
    for name in ("Audios", "Labels", "Transcripts"):
        (folder / name).mkdir(parents=True)
    _write_audio(folder / "Audios", clips, settings["seed"])
    for clip in clips:
        _write_lines(folder / "Transcripts" / f"{clip.name}.txt", [clip.text])
    _write_labels(folder / "Labels", clips)
    _write_lines(folder / "Partitions.txt", (f"{clip.speaker.split}; {clip.name}.wav" for clip in clips))
    genders = (f"Speaker_{number}; {speaker.gender}" for number, speaker in enumerate(SPEAKERS, start=1))
    _write_lines(folder / "Speaker_ids.txt", [*genders, *(f"{clip.name}.wav; {clip.speaker_id}" for clip in clips)])
    readme = Path(__file__).with_name("demo_readme.md").read_text(encoding="utf-8")
    _write_lines(folder / "readme.txt", readme.format(**settings).splitlines())
    _write_lines(folder / MANIFEST_NAME, [json.dumps(settings, indent=2)])


def plan_clips(utterances_per_speaker: int, seed: int) -> list[Clip]:
    """Choose the words, latents and grades of every clip, ordered by speaker.

    Each speaker has the same spread of the three latents and uses every adjective, so that no split is easier by
    chance. Activation, valence and dominance are independent.
    """
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    lexicon = SentimentIntensityAnalyzer().lexicon
    ratings = {word: lexicon.get(word, 0.0) for words in WORDS.values() for word in words}
    clips = []
    for speaker_id in range(1, len(SPEAKERS) + 1):
        rng = np.random.default_rng([seed, speaker_id])
        uses = Counter()
        latents = zip(
            _spread(rng, utterances_per_speaker),
            rng.permutation(np.arange(utterances_per_speaker) % 3 - 1),
            _spread(rng, utterances_per_speaker),
            strict=True,
        )
        for index, (activation, direction, dominance) in enumerate(latents, start=1):
            text, valence = _sentence(rng, int(direction), ratings, uses)
            grades = _grades(rng, (activation, valence, dominance))
            name = f"MSP-PODCAST_{speaker_id:04d}_{index:04d}"
            clips.append(Clip(name, speaker_id, text, float(activation), valence, float(dominance), grades))
    return clips


def _spread(rng: np.random.Generator, count: int) -> np.ndarray:
    """`(count,)` values in random order, one drawn uniformly from each of `count` equal parts of [-1, 1]."""
    return 2 * (rng.permutation(count) + rng.random(count)) / count - 1


def _sentence(rng: np.random.Generator, direction: int, ratings: dict[str, float], uses: Counter) -> tuple[str, float]:
    """A sentence whose adjectives all have one sign, and their mean rating scaled to [-1, 1].

    They are chosen at random among the least used words and counted in `uses`, so that each occurs about as often.
    """
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    least_used_first = sorted(rng.permutation(WORDS[direction]).tolist(), key=lambda word: uses[word])
    words = least_used_first[: template.count("{}")]
    uses.update(words)
    strongest = max(abs(rating) for rating in ratings.values())
    valence = sum(ratings[word] for word in words) / len(words) / strongest
    return template.format(*words, noun=rng.choice(NOUNS)), valence


def _grades(rng: np.random.Generator, latents: Sequence[float]) -> tuple[Grade, ...]:
    """Five to eight simulated graders: the label 4 + 3 * latent plus noise, as a whole number in 1..7."""
    low, high = GRADERS_PER_CLIP
    workers = rng.choice(GRADERS, rng.integers(low, high + 1), replace=False) + 1
    noise = rng.normal(0.0, GRADE_NOISE, (len(workers), 3))
    grades = np.clip(np.rint(4 + 3 * np.asarray(latents) + noise), 1, 7).astype(int).tolist()
    emotions = [emotion_of(*grade) for grade in grades]
    return tuple(
        Grade(f"WORKER{worker:08d}", *grade, emotion, SECONDARY[emotion])
        for worker, grade, emotion in zip(workers, grades, emotions, strict=True)
    )


def emotion_of(activation: int, valence: int, dominance: int) -> str:
    """Return the word of SECONDARY that a simulated grader picks for its own three grades (1..7): a rule of thumb."""
    if valence >= 5:
        return "Happy"
    if valence == 4:
        return "Surprise" if activation >= 6 else "Neutral"
    if activation >= 4:
        return "Angry" if dominance >= 4 else "Fear"
    return "Contempt" if dominance >= 5 else "Sad"


def consensus(grades: Sequence[Grade]) -> tuple[str, float, float, float]:
    """Return (class code, activation, valence, dominance): the plurality of the votes, `X` at a tie; the means."""
    (first, votes), *others = Counter(grade.emotion for grade in grades).most_common(2)
    tie = bool(others) and others[0][1] == votes
    means = np.mean([(grade.activation, grade.valence, grade.dominance) for grade in grades], axis=0)
    return (NO_AGREEMENT if tie else EMOTION_WORDS[first.casefold()], *(round(float(mean), 4) for mean in means))


def speech_request(clip: Clip) -> SpeechRequest:
    """Return how eSpeak NG is to speak a clip: faster, higher and livelier with activation, lower with dominance."""
    return SpeechRequest(
        clip.text,
        clip.speaker.voice,
        rate_wpm=round(190 + 45 * clip.activation),
        pitch=round(50 + 20 * clip.activation - 20 * clip.dominance),
        pitch_range=round(50 + 30 * clip.activation),
    )


def shape_speech(samples: np.ndarray, activation: float, dominance: float) -> np.ndarray:
    """Resample the output of eSpeak NG and add what it has no parameter for: vocal effort.

    Louder speech has a flatter spectrum (Traunmüller & Eriksson, "Acoustic effects of variation in vocal effort by
    men, women, and children", JASA 2000). So activation raises high frequencies, by 4 dB at 2 kHz and 6 dB at 8 kHz,
    and the level by 2 dB; dominance changes the level by 6 dB.

    Args:
        samples: int16 `(samples,)` at 22,050 Hz, not silent.
        activation: In [-1, 1].
        dominance: In [-1, 1].

    Returns:
        float64 `(samples,)` at 16 kHz, within ±0.98, with a root mean square of -38..-22 dB below full scale.
    """
    # 441 samples become 320. Cropping the spectrum at 8 kHz does that exactly, and in float64 on every machine alike.
    blocks = math.ceil(len(samples) / 441)
    spectrum = np.fft.rfft(samples / 2**15, blocks * 441)[: blocks * 160 + 1]
    frequency_hz = np.linspace(0, SAMPLING_RATE / 2, len(spectrum))
    tilt_db = 8 * activation * frequency_hz / (frequency_hz + 2000)
    speech = np.fft.irfft(spectrum * 10 ** (tilt_db / 20), blocks * 320)
    level_db = -30 + 2 * activation + 6 * dominance
    gain = 10 ** (level_db / 20) / np.sqrt(np.mean(speech**2))
    return speech * min(gain, 0.98 / np.abs(speech).max())


def _write_audio(folder: Path, clips: Sequence[Clip], seed: int) -> None:
    for start in range(0, len(clips), _BATCH_CLIPS):
        batch = clips[start : start + _BATCH_CLIPS]
        spoken = synthesize([speech_request(clip) for clip in batch], seed=seed)
        for clip, samples in zip(batch, spoken, strict=True):
            speech = shape_speech(samples, clip.activation, clip.dominance)
            soundfile.write(str(folder / f"{clip.name}.wav"), speech, SAMPLING_RATE, subtype="PCM_16")


def _write_labels(folder: Path, clips: Iterable[Clip]) -> None:
    labels, details = [CONSENSUS_COLUMNS], [("FileName", "EmoDetail")]
    for clip in clips:
        _, gender, split = clip.speaker
        labels.append((f"{clip.name}.wav", *consensus(clip.grades), clip.speaker_id, gender, split))
        details += [
            (f"{clip.name}.wav", f"{worker}; {emotion}; {secondary}; A:{a:.6f}; V:{v:.6f}; D:{d:.6f};")
            for worker, a, v, d, emotion, secondary in clip.grades
        ]
    for name, rows in (("labels_consensus.csv", labels), ("labels_detailed.csv", details)):
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
