"""Augmented copies of training clips: speed, timbre, gain, reverberation, noise, and clips joined end to end."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torchaudio.functional import resample

from speech_affect.audio import SAMPLING_RATE, SHORTEST_S

from ..corpora.clip_table import ClipTable
from ..settings.augmentation import AugmentationSettings
from ..settings.labels import UNKNOWN
from . import acoustics
from .clip_loading import SourceClip


# raise when the same settings give other audio than before
AUGMENTATION_VERSION = 1
# speeds are multiples of 1/160, a hundred hertz at 16 kHz: finer ones would need many times larger resampling filters
SPEED_STEPS = 160


class AugmentationParameters(NamedTuple):
    """What is done to one copy, drawn before any audio is read; None where an augmentation is left out."""

    pause_s: float | None
    speed: float | None
    tilt: float | None
    t60_s: float | None
    snr_db: float | None
    noise: str
    gain_db: float | None


def draw_parameters(
    settings: AugmentationSettings, rng: np.random.Generator, has_partner: bool, has_voices: bool
) -> AugmentationParameters:
    """Draw the parameters of one copy; how many random numbers are drawn does not depend on their values.

    Args:
        settings: Probabilities and ranges.
        rng: Draws them.
        has_partner: Whether there is a second clip to join.
        has_voices: Whether there are voices to make babble of.
    """

    def draw(probability: float, limits: tuple[float, float]) -> float | None:
        happens, value = rng.random() < probability, rng.uniform(*limits)
        return value if happens else None

    noises = ("white", "pink", "babble") if has_voices else ("white", "pink")
    pause_s = draw(settings.join_probability, settings.pause_range_s)
    return AugmentationParameters(
        pause_s=pause_s if has_partner else None,
        speed=draw(settings.speed_probability, settings.speed_range),
        tilt=draw(settings.tilt_probability, settings.tilt_range),
        t60_s=draw(settings.reverberation_probability, settings.t60_range_s),
        snr_db=draw(settings.noise_probability, settings.snr_range_db),
        noise=noises[int(rng.random() * len(noises))],
        gain_db=draw(settings.gain_probability, settings.gain_range_db),
    )


def augment(
    waveform: np.ndarray,
    parameters: AugmentationParameters,
    rng: np.random.Generator,
    partner: np.ndarray | None = None,
    voices: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Make an augmented copy of a clip, the same for the same state of `rng`.

    The order is that of nature: first the speaker, then the room, then other sounds in it, then the recording's gain.

    Args:
        waveform: (samples,) in [-1, 1] at 16 kHz.
        parameters: What to do, see [`draw_parameters`].
        rng: Draws the room and the noise.
        partner: (samples,), the second clip, needed with `pause_s`.
        voices: Other clips, each (samples,), needed for babble.

    Returns:
        (samples,) float32 in [-1, 1]; its length changes with speed and joining.
    """
    if parameters.pause_s is not None:
        pause = np.zeros(round(parameters.pause_s * SAMPLING_RATE))
        waveform = np.concatenate([waveform, pause, partner]).astype(np.float32)
    if parameters.speed is not None:
        waveform = change_speed(waveform, parameters.speed)
    if parameters.tilt is not None:
        waveform = tilt_spectrum(waveform, parameters.tilt)
    if parameters.t60_s is not None:
        waveform = acoustics.reverberate(waveform, acoustics.impulse_response(parameters.t60_s, rng))
    if parameters.snr_db is not None:
        noise = _noise(parameters.noise, len(waveform), voices, rng)
        waveform = acoustics.add_noise(waveform, noise, parameters.snr_db)
    if parameters.gain_db is not None:
        waveform = waveform * 10 ** (parameters.gain_db / 20)
    return acoustics.within_full_scale(waveform)


def _noise(kind: str, num_samples: int, voices: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    if kind == "white":
        return acoustics.white_noise(num_samples, rng)
    if kind == "babble":
        noise = acoustics.babble(voices, num_samples, rng)
        if noise.any():  # otherwise the voices are silent, at least in the part that was used
            return noise
    return acoustics.pink_noise(num_samples, rng)


def change_speed(waveform: np.ndarray, factor: float) -> np.ndarray:
    """Play a clip faster (above 1) or slower: tempo, pitch and timbre change together.

    Args:
        waveform: (samples,) at 16 kHz.
        factor: Rounded to a multiple of 1/160.

    Returns:
        (ceil(samples / factor),) float32; the clip itself if it became shorter than the extractor's 0.1 s.
    """
    steps = round(factor * SPEED_STEPS)
    if len(waveform) * SPEED_STEPS < SHORTEST_S * SAMPLING_RATE * steps:
        return waveform
    return resample(torch.tensor(waveform, dtype=torch.float32), steps, SPEED_STEPS).numpy()


def tilt_spectrum(waveform: np.ndarray, coefficient: float) -> np.ndarray:
    """Apply the filter 1 + a z^-1 and restore the level: timbre changes, loudness does not.

    Args:
        waveform: (samples,).
        coefficient: The a; positive is darker, negative brighter.

    Returns:
        (samples,) float32 with the clip's root mean square.
    """
    tilted = waveform.astype(np.float32)
    tilted[1:] += np.float32(coefficient) * waveform[:-1]
    return acoustics.at_rms(tilted, acoustics.rms(waveform))


@dataclass(frozen=True)
class AugmentedClip:
    """One augmented copy of a clip, described but not yet computed.

    Args:
        source: The clip.
        copy: Which of its copies, from 1 on.
        settings: Probabilities and ranges of the augmentations.
        partner: The clip that may be joined to it, or None.
        voices: Clips that babble may be made of.
    """

    source: SourceClip
    copy: int
    settings: AugmentationSettings
    partner: SourceClip | None = None
    voices: tuple[SourceClip, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Identity of all that decides the result; its random numbers are drawn from it."""
        identity = {
            "version": AUGMENTATION_VERSION,
            "settings": asdict(self.settings),
            "source": self.source.fingerprint,
            "partner": self.partner and self.partner.fingerprint,
            "voices": [voice.fingerprint for voice in self.voices],
            "copy": self.copy,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def joined(self) -> bool:
        """Whether the partner follows the clip, so that the clip's labels do not describe the whole."""
        return self._draw()[0].pause_s is not None

    @property
    def duration_s(self) -> float:
        """Duration of what [`load`] returns, computed from the parameters and the headers of the files."""
        parameters, _ = self._draw()
        duration_s = self.source.duration_s
        if parameters.pause_s is not None:
            duration_s += parameters.pause_s + self.partner.duration_s
        return duration_s / (parameters.speed or 1.0)

    def load(self) -> dict:
        """Decode the clips that are needed and augment: `{"array": (samples,) float32, "sampling_rate": 16000}`.

        Raises:
            ValueError: A file is missing or not audio.
        """
        parameters, rng = self._draw()
        partner = self.partner.waveform() if parameters.pause_s is not None else None
        needs_voices = parameters.snr_db is not None and parameters.noise == "babble"
        voices = [voice.waveform() for voice in self.voices] if needs_voices else []
        array = augment(self.source.waveform(), parameters, rng, partner, voices)
        return {"array": array, "sampling_rate": SAMPLING_RATE}

    def _draw(self) -> tuple[AugmentationParameters, np.random.Generator]:
        rng = acoustics.clip_rng(self.fingerprint)
        return draw_parameters(self.settings, rng, self.partner is not None, len(self.voices) > 0), rng


def augmented_copies(
    clips: Sequence[tuple[str, dict, str | None]], copies: int, settings: AugmentationSettings
) -> list[AugmentedClip]:
    """Describe augmented copies of every clip.

    Partners and voices come from the other clips of the same speaker or, for unknown speakers, from the other clips of
    unknown speakers. So nothing crosses between speakers, and a clip has the same copies whatever other speakers the
    list holds, in whatever order.

    Args:
        clips: (fingerprint, audio, speaker) of each; None and `Unknown` are unknown speakers.
        copies: Of each clip, 0 or more.
        settings: Probabilities and ranges of the augmentations.

    Returns:
        Copy 1 of all clips in order, then copy 2, and so on.
    """
    make = _CopyMaker(clips, settings)
    return [make(row, copy) for copy in range(1, copies + 1) for row in range(len(clips))]


class _CopyMaker:
    """Makes a copy of a number of one of the clips, as [`augmented_copies`] describes them."""

    def __init__(self, clips: Sequence[tuple[str, dict, str | None]], settings: AugmentationSettings):
        self.settings = settings
        self.sources = [(SourceClip(fingerprint, audio), speaker or UNKNOWN) for fingerprint, audio, speaker in clips]
        by_speaker: dict[str, dict[str, SourceClip]] = defaultdict(dict)
        for source, speaker in self.sources:
            by_speaker[speaker].setdefault(source.fingerprint, source)
        self.pools = {speaker: [pool[f] for f in sorted(pool)] for speaker, pool in by_speaker.items()}
        self.places = {
            speaker: {clip.fingerprint: i for i, clip in enumerate(pool)} for speaker, pool in self.pools.items()
        }

    def __call__(self, row: int, copy: int) -> AugmentedClip:
        source, speaker = self.sources[row]
        place = self.places[speaker][source.fingerprint]
        return _augmented_clip(source, copy, self.settings, self.pools[speaker], place)


class EpochCopies:
    """Draws in each epoch another copy of each clip, or the clip itself; none is joined to another clip.

    What is drawn depends on seed, epoch and clip alone.

    Args:
        clips, settings: As of [`augmented_copies`].
        copies: Of each clip, 1 or more, to one unchanged clip: of 3, a quarter of the clips of an epoch are unchanged.
        seed: Of the draws.
    """

    def __init__(
        self,
        clips: Sequence[tuple[str, dict, str | None]],
        copies: int,
        settings: AugmentationSettings,
        seed: int,
    ):
        self._make = _CopyMaker(clips, settings)
        self._copies, self._seed = copies, seed

    def draw(self, row: int, epoch: int) -> SourceClip | AugmentedClip:
        """Return what an epoch has of the clip in a row."""
        source, _ = self._make.sources[row]
        rng = acoustics.clip_rng(source.fingerprint, self._seed, epoch)
        if not rng.integers(self._copies + 1):
            return source
        return replace(self._make(row, int(rng.integers(1, 2**62))), partner=None)


def _augmented_clip(
    source: SourceClip, copy: int, settings: AugmentationSettings, pool: list[SourceClip], place: int
) -> AugmentedClip:
    """With a partner and voices drawn from all clips of the pool but the one at `place`, the source itself."""
    others = len(pool) - 1
    if not others:
        return AugmentedClip(source, copy, settings)
    rng = acoustics.clip_rng(source.fingerprint, copy)
    chosen = [
        int(rng.integers(others)),
        *rng.choice(others, size=min(settings.babble_voices, others), replace=False).tolist(),
    ]
    partner, *voices = (pool[number + (number >= place)] for number in chosen)
    return AugmentedClip(source, copy, settings, partner, tuple(voices))


def augmented_table(table: ClipTable, copies: Sequence[AugmentedClip]) -> ClipTable:
    """Return the rows of augmented copies of a table's clips.

    A copy keeps what is known of its source; one that was joined with another clip has no label, grades, emotion,
    votes or transcript.

    Args:
        table: The sources.
        copies: As [`augmented_copies`] makes them, their sources in this table.
    """
    index = {fingerprint: row for row, fingerprint in enumerate(table.fingerprints)}
    sources = table.take([index[copy.source.fingerprint] for copy in copies])
    joined = np.array([copy.joined for copy in copies], dtype=bool)
    return replace(
        sources,
        files=[f"{name}#{copy.copy}" for name, copy in zip(sources.files, copies, strict=True)],
        fingerprints=[copy.fingerprint for copy in copies],
        labels=np.where(joined[:, None], np.nan, sources.labels),
        rating_variances=np.where(joined[:, None], np.nan, sources.rating_variances),
        grades=[grades[:0] if j else grades for j, grades in zip(joined, sources.grades, strict=True)],
        emotions=[None if j else emotion for j, emotion in zip(joined, sources.emotions, strict=True)],
        votes=[() if j else votes for j, votes in zip(joined, sources.votes, strict=True)],
        transcripts=[None if j else text for j, text in zip(joined, sources.transcripts, strict=True)],
    )
