"""Clips of a test split under noise and in synthetic rooms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speech_affect.audio import SAMPLING_RATE

from ..corpora.clip_table import ClipTable
from ..settings.conditions import Condition
from . import acoustics
from .clip_loading import SourceClip


BABBLE_VOICES = 4
# raise when the same condition gives other audio than before
DEGRADATION_VERSION = 1


def degrade(
    waveform: np.ndarray, condition: Condition, voices: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Put a clip under a condition.

    Args:
        waveform: (samples,) in [-1, 1] at 16 kHz.
        condition: The noise or room.
        voices: Other clips, each (samples,), for babble.
        rng: Draws noise, room and offsets; [`clip_rng`] makes one that belongs to the clip.

    Returns:
        (samples,) float32 in [-1, 1].

    Raises:
        ValueError: All voices of babble are missing or silent.
    """
    if condition.kind == "room":
        return acoustics.within_full_scale(
            acoustics.reverberate(waveform, acoustics.impulse_response(condition.value, rng))
        )
    noise = (
        acoustics.white_noise(len(waveform), rng)
        if condition.kind == "white"
        else acoustics.babble(voices, len(waveform), rng)
    )
    return acoustics.add_noise(waveform, noise, condition.value)


@dataclass(frozen=True)
class DegradedClip:
    """A clip under one condition, computed when it is needed; always the same.

    Args:
        source: The clip.
        condition: Noise or room.
        voices: Other clips, which babble is made of.
    """

    source: SourceClip
    condition: Condition
    voices: tuple[SourceClip, ...]

    @property
    def fingerprint(self) -> str:
        """Identity of all that decides the result."""
        voices = "+".join(voice.fingerprint[:16] for voice in self.voices) if self.condition.kind == "babble" else ""
        return f"{self.source.fingerprint}-{DEGRADATION_VERSION}-{self.condition.name}{voices and '-' + voices}"

    @property
    def duration_s(self) -> float:
        """Duration according to the header of the source."""
        return self.source.duration_s

    def load(self) -> dict:
        """Return `{"array": (samples,) float32, "sampling_rate": 16000}`."""
        voices = [voice.waveform() for voice in self.voices] if self.condition.kind == "babble" else []
        rng = acoustics.clip_rng(self.source.fingerprint, self.condition.name)
        array = degrade(self.source.waveform(), self.condition, voices, rng)
        return {"array": array, "sampling_rate": SAMPLING_RATE}


def degraded_clips(table: ClipTable, audio: dict[str, dict], condition: Condition) -> list[DegradedClip]:
    """Describe every clip of a table under one condition.

    Args:
        table: The clips.
        audio: Of each fingerprint.
        condition: Noise or room.

    Returns:
        Degraded clips in the table's order. The voices of babble are drawn from the table's clips by other speakers
        or, where there are none, from its other clips.
    """
    sources = {fingerprint: SourceClip(fingerprint, audio[fingerprint]) for fingerprint in table.fingerprints}
    pools = _pools(table) if condition.kind == "babble" else {}
    clips = []
    for fingerprint, speaker in zip(table.fingerprints, table.speakers, strict=True):
        voices = tuple(sources[voice] for voice in _voices(fingerprint, pools[speaker])) if pools else ()
        clips.append(DegradedClip(sources[fingerprint], condition, voices))
    return clips


def _pools(table: ClipTable) -> dict[str | None, list[str]]:
    """Per speaker the clips that babble may be made of, in an order that does not depend on the table's."""
    speaker_of = dict(zip(table.fingerprints, table.speakers, strict=True))
    clips = sorted(speaker_of)
    pools = {who: [clip for clip in clips if speaker_of[clip] != who] for who in set(table.speakers)}
    return {who: pool or clips for who, pool in pools.items()}


def _voices(fingerprint: str, pool: list[str]) -> list[str]:
    rng = acoustics.clip_rng(fingerprint, "voices")
    drawn = rng.choice(len(pool), size=min(BABBLE_VOICES + 1, len(pool)), replace=False)  # one may be the clip itself
    return [pool[number] for number in drawn if pool[number] != fingerprint][:BABBLE_VOICES]
