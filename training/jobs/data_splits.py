"""Ways of dividing a corpus into clips to train on, to develop on and to test on; and what else is heard in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..audio.augmentation import AugmentedClip, augmented_copies, augmented_table
from ..audio.degradation import DegradedClip, degraded_clips, degraded_table
from ..corpora.clip_table import ClipTable, clip_table, join_tables, unlabelled_table
from ..corpora.corpus import Corpus
from ..corpora.folds import speaker_folds
from ..corpora.unlabelled import Piece
from ..files import clip_fingerprint
from ..settings.augmentation import AugmentationSettings
from ..settings.conditions import Condition
from ..settings.labels import LEARNT_FROM
from ..settings.systems import SystemSpec


@dataclass
class DataSplits:
    """
    The given splits, or one fold.

    Args:
        name: empty for the given splits, else of the fold.
        tables: per split the clips.
        audio: per fingerprint the encoded audio.
        transcripts: per split what is said in each clip, None where that is not known.
        copies: augmented copies of the training clips.
        conditions: per test split and condition, as `test1@babble_5db`, the degraded clips.
    """

    name: str
    tables: dict[str, ClipTable]
    audio: dict[str, dict]
    transcripts: dict[str, list[str | None]]
    copies: list[AugmentedClip] = field(default_factory=list)
    conditions: dict[str, list[DegradedClip]] = field(default_factory=dict)

    @property
    def test_splits(self) -> list[str]:
        return [split for split in self.tables if split not in LEARNT_FROM]

    def training_table(self, spec: SystemSpec, unlabelled: Sequence[Piece]) -> ClipTable:
        """
        All that a system trains on: rated clips, and where it wants them augmented copies and unlabelled speech.

        Unlabelled files that are clips to develop or test on are left out.
        """
        parts = [self.tables["train"]]
        if spec.augmented:
            parts.append(augmented_table(self.tables["train"], self.copies))
        if spec.unlabelled:
            held_out = {f for split, table in self.tables.items() if split != "train" for f in table.fingerprints}
            heard = [piece for piece in unlabelled if piece.file_fingerprint not in held_out]
            parts.append(unlabelled_table([piece.path for piece in heard], [piece.fingerprint for piece in heard]))
        return join_tables(parts)

    def condition_tables(self) -> dict[str, ClipTable]:
        return {
            name: degraded_table(self.tables[name.split("@")[0]], clips) for name, clips in self.conditions.items()
        }


def make_data_splits(
    corpus: Corpus,
    folds: int | None,
    copies: int,
    augmentation: AugmentationSettings,
    conditions: Sequence[Condition],
) -> list[DataSplits]:
    """
    The given splits, and the folds where they are asked for.

    Args:
        corpus: labelled clips.
        folds: of leave-speakers-out cross-validation; None for none.
        copies: augmented copies of each training clip.
        augmentation: probabilities and ranges of their augmentation.
        conditions: noises and rooms that test splits (the given ones) are tried under.

    Raises:
        ValueError: what [`speaker_folds`] refuses.
    """
    known: dict[str, str] = {}
    all_splits = [_data_splits("", corpus, copies, augmentation, known)]
    for index, fold in enumerate(speaker_folds(corpus, folds) if folds else []):
        all_splits.append(_data_splits(f"fold{index}", fold, copies, augmentation, known))
    given = all_splits[0]
    for split in given.test_splits:
        for condition in conditions:
            clips = degraded_clips(given.tables[split], given.audio, condition)
            given.conditions[f"{split}@{condition.name}"] = clips
    return all_splits


def _data_splits(name: str, corpus: Corpus, copies: int, augmentation, known: dict[str, str]) -> DataSplits:
    tables, audio = {}, {}
    transcripts = {split: list(rows["transcript"]) for split, rows in corpus.splits.items()}
    for split, rows in corpus.splits.items():
        clips = list(rows["audio"])
        fingerprints = [_fingerprint(clip, known) for clip in clips]
        tables[split] = clip_table(rows, fingerprints)
        audio.update(zip(fingerprints, clips, strict=True))
    train = tables["train"]
    sources = [(f, audio[f], speaker) for f, speaker in zip(train.fingerprints, train.speakers, strict=True)]
    return DataSplits(name, tables, audio, transcripts, augmented_copies(sources, copies, augmentation))


def _fingerprint(audio: dict, known: dict[str, str]) -> str:
    """Each file is read once, in however many folds it is."""
    if audio.get("bytes") is not None:
        return clip_fingerprint(audio)
    if audio["path"] not in known:
        known[audio["path"]] = clip_fingerprint(audio)
    return known[audio["path"]]
