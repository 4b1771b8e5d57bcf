"""Altered copies of training clips: speed, timbre, level, room, noise, and clips joined end to end."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torchaudio.functional import resample

from speech_affect.audio import decode_audio, resample_audio, to_mono
from speech_affect.audio_pieces import SHORTEST_S

from ..settings.labels import UNKNOWN
from ..settings.suggestions import did_you_mean
from .acoustics import (
    LONGEST_T60_S,
    SHORTEST_T60_S,
    at_rms,
    check_waveform,
    impulse_response,
    reverberate,
    rms,
    within_full_scale,
)
from .clip_duration import audio_header
from .degradation import add_noise_at, babble, clip_rng, pink_noise, white_noise


SAMPLING_RATE = 16_000
# raise when the same settings give other audio than before
AUGMENTATION_VERSION = 1
# speeds are multiples of 1/160, a hundred hertz at 16 kHz: finer ones would need many times larger resampling filters
SPEED_STEPS = 160
# per range the values that it may span
_LIMITS = {
    "speed_range": (0.5, 2.0),
    "tilt_range": (-0.99, 0.99),
    "gain_range_db": (-60.0, 60.0),
    "t60_range_s": (SHORTEST_T60_S, LONGEST_T60_S),
    "snr_range_db": (-60.0, 100.0),
    "pause_range_s": (0.0, 10.0),
}
MOST_VOICES = 16


@dataclass(frozen=True)
class AugmentationSettings:
    """
    How likely each alteration is, and how strong; strengths are drawn evenly from (lowest, highest).

    Args:
        speed_probability: of another speed, tempo and pitch together.
        speed_range: 0.5 to 2; 1.1 is faster and higher by a tenth. Rounded to multiples of 1/160.
        tilt_probability: of another spectral tilt.
        tilt_range: -0.99 to 0.99, a of the filter 1 + a z^-1: positive is darker, negative brighter.
        gain_probability: of another level.
        gain_range_db: -60 to 60; a clip that would reach beyond full scale gets as much as fits.
        reverberation_probability: of a synthetic room.
        t60_range_s: 0.01 to 10, its reverberation time.
        noise_probability: of noise: white, pink or, where voices are at hand, babble, each as likely.
        snr_range_db: -60 to 100, its signal-to-noise ratio.
        babble_voices: 0 to 16 clips that babble is made of.
        join_probability: of a second clip behind the first.
        pause_range_s: 0 to 10, the silence between them.

    Raises:
        ValueError: a value of another type, or outside what is allowed.
    """

    speed_probability: float = 1.0
    speed_range: tuple[float, float] = (0.85, 1.2)
    tilt_probability: float = 0.5
    tilt_range: tuple[float, float] = (-0.5, 0.5)
    gain_probability: float = 1.0
    gain_range_db: tuple[float, float] = (-12.0, 12.0)
    reverberation_probability: float = 0.3
    t60_range_s: tuple[float, float] = (0.1, 0.6)
    noise_probability: float = 0.5
    snr_range_db: tuple[float, float] = (5.0, 30.0)
    babble_voices: int = 3
    join_probability: float = 0.3
    pause_range_s: tuple[float, float] = (0.0, 0.3)

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _LIMITS:
                object.__setattr__(self, field.name, _range(field.name, value, *_LIMITS[field.name]))
            elif field.name != "babble_voices":
                if not _is_number(value) or not 0 <= value <= 1:
                    raise ValueError(f"{field.name} is {value!r}; give a probability, 0 to 1")
                object.__setattr__(self, field.name, float(value))
        voices = self.babble_voices
        if isinstance(voices, bool) or not isinstance(voices, int) or not 0 <= voices <= MOST_VOICES:
            raise ValueError(f"babble_voices is {voices!r}; give a whole number, 0 to {MOST_VOICES}")

    @classmethod
    def from_mapping(cls, mapping: dict) -> AugmentationSettings:
        """
        Settings as a recipe has them, the others at their defaults.

        Raises:
            ValueError: no mapping, an unknown setting, or a value that is not allowed.
        """
        if not isinstance(mapping, dict):
            raise ValueError(f"augmentation is {mapping!r}; give a mapping of settings")
        allowed = [field.name for field in fields(cls)]
        for name in mapping:
            if name not in allowed:
                listed = f"{', '.join(allowed)}{did_you_mean(name, allowed)}"
                raise ValueError(f"augmentation has an unknown setting {name!r}; allowed are {listed}")
        return cls(**mapping)


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _range(name: str, value, lowest: float, highest: float) -> tuple[float, float]:
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 2
        or not all(map(_is_number, value))
        or not lowest <= value[0] <= value[1] <= highest
    ):
        raise ValueError(f"{name} is {value!r}; give two numbers, the lower first, within {lowest:g} to {highest:g}")
    return float(value[0]), float(value[1])


class Alterations(NamedTuple):
    """What happens to one copy, drawn before any audio is touched; None where an alteration is left out."""

    pause_s: float | None
    speed: float | None
    tilt: float | None
    t60_s: float | None
    snr_db: float | None
    noise: str
    gain_db: float | None


def draw_alterations(
    settings: AugmentationSettings, rng: np.random.Generator, has_partner: bool, has_voices: bool
) -> Alterations:
    """
    Draw the alterations of one copy. The same count of numbers is drawn whatever they turn out to be.

    Args:
        settings: probabilities and ranges.
        rng: draws them.
        has_partner: whether there is a second clip to join.
        has_voices: whether there are voices to make babble of.
    """

    def draw(probability: float, limits: tuple[float, float]) -> float | None:
        happens, value = rng.random() < probability, rng.uniform(*limits)
        return value if happens else None

    noises = ("white", "pink", "babble") if has_voices else ("white", "pink")
    pause_s = draw(settings.join_probability, settings.pause_range_s)
    return Alterations(
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
    settings: AugmentationSettings,
    rng: np.random.Generator,
    partner: np.ndarray | None = None,
    voices: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """
    An altered copy of a clip, the same for the same state of `rng`.

    Args:
        waveform: (samples,) in [-1, 1] at 16 kHz.
        settings: probabilities and ranges.
        rng: draws what happens, the room and the noise.
        partner: (samples,), a second clip that may be joined behind the first; without it none is.
        voices: other clips, each (samples,), for babble; without them noise is white or pink.

    Returns:
        (samples,) float32 in [-1, 1]; its length changes with speed and joining.

    Raises:
        ValueError: one of the clips is no waveform.
    """
    return _altered(
        waveform, draw_alterations(settings, rng, partner is not None, len(voices) > 0), rng, partner, voices
    )


def _altered(waveform, alterations: Alterations, rng, partner, voices) -> np.ndarray:
    """In the order of nature: the speaker, then the room, then other sounds in it, then the recording's level."""
    check_waveform("waveform", waveform)
    if alterations.pause_s is not None:
        waveform = join(waveform, partner, alterations.pause_s)
    if alterations.speed is not None:
        waveform = change_speed(waveform, alterations.speed)
    if alterations.tilt is not None:
        waveform = tilt_spectrum(waveform, alterations.tilt)
    if alterations.t60_s is not None:
        waveform = reverberate(waveform, impulse_response(alterations.t60_s, rng))
    if alterations.snr_db is not None:
        waveform = add_noise_at(waveform, _noise(alterations.noise, len(waveform), voices, rng), alterations.snr_db)
    if alterations.gain_db is not None:
        waveform = waveform * 10 ** (alterations.gain_db / 20)
    return within_full_scale(waveform)


def _noise(kind: str, num_samples: int, voices, rng) -> np.ndarray:
    if kind == "white":
        return white_noise(num_samples, rng)
    if kind == "babble":
        voices_together = babble(voices, num_samples, rng)
        if voices_together.any():  # else each was silent, at least where it was heard
            return voices_together
    return pink_noise(num_samples, rng)


def join(first: np.ndarray, second: np.ndarray, pause_s: float) -> np.ndarray:
    """Two clips (samples,) at 16 kHz end to end, with silence of `pause_s` seconds between them, float32."""
    check_waveform("partner", second)
    pause = np.zeros(round(pause_s * SAMPLING_RATE))
    return np.concatenate([first, pause, second]).astype(np.float32)


def change_speed(waveform: np.ndarray, factor: float) -> np.ndarray:
    """
    Play a clip faster (above 1) or slower: tempo, pitch and timbre change together.

    Args:
        waveform: (samples,) at 16 kHz.
        factor: rounded to a multiple of 1/160.

    Returns:
        (ceil(samples / factor),) float32; the clip itself where it would last less than the extractor's 0.1 s.
    """
    steps = round(factor * SPEED_STEPS)
    if len(waveform) * SPEED_STEPS < SHORTEST_S * SAMPLING_RATE * steps:
        return waveform
    return resample(torch.tensor(waveform, dtype=torch.float32), steps, SPEED_STEPS).numpy()


def tilt_spectrum(waveform: np.ndarray, coefficient: float) -> np.ndarray:
    """
    The filter 1 + a z^-1, its level undone: timbre changes, loudness does not.

    Args:
        waveform: (samples,).
        coefficient: a; positive is darker, negative brighter.

    Returns:
        (samples,) float32 with the clip's root mean square.
    """
    tilted = waveform.astype(np.float32)
    tilted[1:] += np.float32(coefficient) * waveform[:-1]
    return at_rms(tilted, rms(waveform))


class SourceClip(NamedTuple):
    """A clip of the corpus, not decoded: `audio` is `{"path", "bytes"}` as `datasets.Audio(decode=False)` has it."""

    fingerprint: str
    audio: dict

    @property
    def duration_s(self) -> float:
        """As its header has it."""
        return audio_header(self.audio).duration_s

    def waveform(self) -> np.ndarray:
        """(samples,) float32 in [-1, 1], mono at 16 kHz."""
        encoded = self.audio.get("bytes")
        samples, rate = decode_audio(self.audio["path"] if encoded is None else encoded)
        return resample_audio(to_mono(samples), rate, SAMPLING_RATE).clip(-1, 1)


@dataclass(frozen=True)
class AugmentedClip:
    """
    One altered copy of a clip, described and not yet computed.

    Args:
        source: the clip.
        copy: which of its copies, from 1 on.
        settings: of the alterations.
        partner: the clip that may be joined behind it, or None.
        voices: clips that babble may be made of.

    Raises:
        ValueError: `copy` is below 1.
    """

    source: SourceClip
    copy: int
    settings: AugmentationSettings
    partner: SourceClip | None = None
    voices: tuple[SourceClip, ...] = ()

    def __post_init__(self):
        if self.copy < 1:
            raise ValueError(f"copy is {self.copy}; copies are numbered from 1 on")

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
        """Whether the partner follows the clip, so that the clip's labels are not those of the whole."""
        return self._draw()[0].pause_s is not None

    @property
    def duration_s(self) -> float:
        """Of what [`load`] makes, told from what is drawn and the headers of the files."""
        alterations, _ = self._draw()
        duration_s = self.source.duration_s
        if alterations.pause_s is not None:
            duration_s += alterations.pause_s + self.partner.duration_s
        return duration_s / (alterations.speed or 1.0)

    def load(self) -> dict:
        """
        Decode what is needed and alter it: `{"array": (samples,) float32, "sampling_rate": 16000}`.

        Raises:
            ValueError: a file that is not there or no audio.
        """
        alterations, rng = self._draw()
        partner = self.partner.waveform() if alterations.pause_s is not None else None
        needs_voices = alterations.snr_db is not None and alterations.noise == "babble"
        voices = [voice.waveform() for voice in self.voices] if needs_voices else []
        array = _altered(self.source.waveform(), alterations, rng, partner, voices)
        return {"array": array, "sampling_rate": SAMPLING_RATE}

    def _draw(self) -> tuple[Alterations, np.random.Generator]:
        rng = clip_rng(self.fingerprint)
        return draw_alterations(self.settings, rng, self.partner is not None, len(self.voices) > 0), rng


def augmented_copies(
    clips: Sequence[tuple[str, dict, str | None]], copies: int, settings: AugmentationSettings
) -> list[AugmentedClip]:
    """
    Describe altered copies of every clip.

    Partners and voices come from the other clips of the same speaker, or, where the speaker is unknown, from the other
    clips whose speaker is unknown. So nothing crosses between speakers, and a clip has the same copies whatever other
    speakers the list holds, in whatever order.

    Args:
        clips: (fingerprint, audio, speaker) of each; a speaker of None or `Unknown` is not known.
        copies: of each clip, 0 or more.
        settings: of the alterations.

    Returns:
        copy 1 of all clips in order, then copy 2, and so on.

    Raises:
        ValueError: a negative count.
    """
    if copies < 0:
        raise ValueError(f"copies is {copies}; give 0 or more")
    by_speaker: dict[str, dict[str, SourceClip]] = defaultdict(dict)
    for fingerprint, audio, speaker in clips:
        by_speaker[speaker or UNKNOWN].setdefault(fingerprint, SourceClip(fingerprint, audio))
    pools = {speaker: [pool[f] for f in sorted(pool)] for speaker, pool in by_speaker.items()}
    places = {speaker: {clip.fingerprint: i for i, clip in enumerate(pool)} for speaker, pool in pools.items()}
    return [
        _augmented_clip(SourceClip(fingerprint, audio), copy, settings, pools[key], places[key][fingerprint])
        for copy in range(1, copies + 1)
        for fingerprint, audio, key in ((f, a, speaker or UNKNOWN) for f, a, speaker in clips)
    ]


def _augmented_clip(
    source: SourceClip, copy: int, settings: AugmentationSettings, pool: list[SourceClip], place: int
) -> AugmentedClip:
    """With a partner and voices drawn from all clips of the pool but the one at `place`, the source itself."""
    others = len(pool) - 1
    if not others:
        return AugmentedClip(source, copy, settings)
    rng = clip_rng(source.fingerprint, copy)
    chosen = [
        int(rng.integers(others)),
        *rng.choice(others, size=min(settings.babble_voices, others), replace=False).tolist(),
    ]
    partner, *voices = (pool[number + (number >= place)] for number in chosen)
    return AugmentedClip(source, copy, settings, partner, tuple(voices))
