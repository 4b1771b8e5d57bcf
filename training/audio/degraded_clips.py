"""The clips of a test split under noise and in rooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..corpora.clip_table import ClipTable
from .augmentation import SAMPLING_RATE, SourceClip
from .degradation import Condition, clip_rng, degrade


# other clips of the split that babble is made of
BABBLE_VOICES = 4
# raise when the same condition gives other audio than before
DEGRADATION_VERSION = 1


@dataclass(frozen=True)
class DegradedClip:
    """
    A clip under one condition, computed when it is needed; always the same.

    Args:
        source: the clip.
        condition: noise or room.
        voices: other clips, which babble is made of.
    """

    source: SourceClip
    condition: Condition
    voices: tuple[SourceClip, ...]

    @property
    def fingerprint(self) -> str:
        voices = "+".join(voice.fingerprint[:16] for voice in self.voices) if self.condition.kind == "babble" else ""
        return f"{self.source.fingerprint}-{DEGRADATION_VERSION}-{self.condition.name}{voices and '-' + voices}"

    @property
    def duration_s(self) -> float:
        return self.source.duration_s

    def load(self) -> dict:
        """`{"array": (samples,) float32, "sampling_rate": 16000}`"""
        voices = [voice.waveform() for voice in self.voices] if self.condition.kind == "babble" else []
        rng = clip_rng(self.source.fingerprint, self.condition.name)
        array = degrade(self.source.waveform(), self.condition, voices, rng)
        return {"array": array, "sampling_rate": SAMPLING_RATE}


def degraded_clips(table: ClipTable, audio: dict[str, dict], condition: Condition) -> list[DegradedClip]:
    """
    Every clip of a table under one condition.

    Args:
        table: the clips.
        audio: of each fingerprint.
        condition: noise or room.

    Returns:
        in the table's order. The voices of babble are drawn from the table's clips by other speakers, where there are
        any, else from its other clips.
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
    rng = clip_rng(fingerprint, "voices")
    drawn = rng.choice(len(pool), size=min(BABBLE_VOICES + 1, len(pool)), replace=False)  # one may be the clip itself
    return [pool[number] for number in drawn if pool[number] != fingerprint][:BABBLE_VOICES]


def degraded_table(table: ClipTable, clips: Sequence[DegradedClip]) -> ClipTable:
    """The same clips, labels and speakers, with the degraded audio."""
    return replace(table, fingerprints=[clip.fingerprint for clip in clips])
