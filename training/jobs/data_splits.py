"""Clips to train on, to develop on and to test on: the splits of a corpus, or one fold of cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..audio.augmentation import AugmentedClip, augmented_copies, augmented_table
from ..audio.clip_loading import LoadableClip
from ..audio.degradation import DegradedClip, degraded_clips
from ..corpora.clip_table import ClipTable, clip_table, join_tables, unlabelled_table, with_labels
from ..corpora.corpus import Corpus
from ..corpora.folds import speaker_folds, without_corpora, without_tests
from ..corpora.segments import Piece, clips_of, file_fingerprint, file_fingerprints
from ..settings.augmentation import AugmentationSettings
from ..settings.checks import check_names
from ..settings.conditions import Condition
from ..settings.labels import LEARNT_FROM
from ..settings.split_key import SplitKey
from ..settings.systems import SystemSpec


TRAIN, DEVELOPMENT = map(SplitKey, LEARNT_FROM)


@dataclass
class DataSplits:
    """The train, development and test tables of the given splits, or of one fold.

    Args:
        name: Empty for the given splits, else the fold, such as `fold0`, or `without_<corpus>`.
        tables: Clips per split.
        audio: Per fingerprint the encoded audio: a file, or a segment of one.
        copies: Augmented copies of the training clips.
        conditions: Per test split and condition the degraded clips.
        evaluated_as: The split that predictions for `test1` are a part of: all clips in cross-validation (`cv5`), or
            of the corpora left out one by one (`left_out`); None for the given splits, which stand for themselves.
    """

    name: str
    tables: dict[SplitKey, ClipTable]
    audio: dict[str, dict | Piece]
    copies: list[AugmentedClip] = field(default_factory=list)
    conditions: dict[SplitKey, list[DegradedClip]] = field(default_factory=dict)
    evaluated_as: SplitKey | None = None

    def seen_by(self, spec: SystemSpec) -> DataSplits:
        """Return what a system learns from: the clips of [`of_languages`], to train on with its `labels` alone.

        Raises:
            ValueError: As [`of_languages`], or the labels are of a corpus that is not there.
        """
        known = sorted({name for table in self.tables.values() for name in table.corpora if name})
        known = known or ["none in a run of one corpus"]
        check_names(f"labels of system {spec.name!r}", spec.labels, known, "corpus")
        own = self.of_languages(spec)
        if not spec.labels:
            return own
        return replace(own, tables={**own.tables, TRAIN: with_labels(own.tables[TRAIN], spec.labels)})

    def of_languages(self, spec: SystemSpec) -> DataSplits:
        """Return what a system sees: if it has languages, their clips alone to train on and to develop on.

        Raises:
            ValueError: There are no training clips in one of its languages, or none at all to develop on.
        """
        if not spec.languages:
            return self
        tables = dict(self.tables)
        for key in (TRAIN, DEVELOPMENT):
            spoken = tables[key].languages
            tables[key] = tables[key].take([row for row, code in enumerate(spoken) if code in spec.languages])
            missing = [code for code in spec.languages if code not in spoken]
            if missing and (key == TRAIN or not len(tables[key])):
                known = ", ".join(sorted(filter(None, set(spoken)))) or "none that is known"
                raise ValueError(
                    f"system {spec.name!r} learns languages {', '.join(spec.languages)}, but of "
                    f"{self.name or 'the corpus'} no {key} clip is in {missing[0]}; the languages there are {known}"
                )
        sources = set(tables[TRAIN].fingerprints)
        return replace(self, tables=tables, copies=[c for c in self.copies if c.source.fingerprint in sources])

    def training_table(self, spec: SystemSpec, unlabelled: Sequence[Piece]) -> ClipTable:
        """Return the clips that a system trains on, without unlabelled files that are clips to develop or test on."""
        parts = [self.tables[TRAIN]]
        if spec.augmented and not spec.train_encoders:
            parts.append(augmented_table(self.tables[TRAIN], self.copies))
        if spec.unlabelled:
            held_out = self.held_out()
            pieces = [piece for piece in unlabelled if file_fingerprint(piece.fingerprint) not in held_out]
            parts.append(unlabelled_table([piece.path for piece in pieces], [piece.fingerprint for piece in pieces]))
        return join_tables(parts)

    def held_out(self) -> set[str]:
        """Return the fingerprints of the files that clips to develop or to test on are, or are stretches of."""
        tested = [table for key, table in self.tables.items() if key != TRAIN]
        return {file_fingerprint(clip) for table in tested for clip in table.fingerprints}

    def every_clip(self, unlabelled: Sequence[Piece]) -> dict[str, dict | LoadableClip]:
        """Return the audio of all clips, copies, degraded clips and pieces of unlabelled speech by fingerprint."""
        made = [*self.copies, *(clip for clips in self.conditions.values() for clip in clips), *unlabelled]
        return {**self.audio, **{clip.fingerprint: clip for clip in made}}

    def condition_tables(self) -> dict[SplitKey, ClipTable]:
        """Return the degraded clips per test split and condition, with all that is known of their sources."""
        return {
            key: replace(self.tables[SplitKey(key.split)], fingerprints=[clip.fingerprint for clip in clips])
            for key, clips in self.conditions.items()
        }


def make_data_splits(
    corpus: Corpus,
    folds: int | None,
    copies: int,
    augmentation: AugmentationSettings,
    conditions: Sequence[Condition],
    leave_out: Sequence[str] = (),
    hold_out_tests: bool = True,
) -> list[DataSplits]:
    """Make the given splits, behind them the folds, and behind these the corpora left out one by one.

    Args:
        corpus: Labelled clips.
        folds: Number of folds of leave-speakers-out cross-validation; None for none.
        copies: Augmented copies of each training clip.
        augmentation: Parameters of the augmentation.
        conditions: Noises and rooms under which the given test splits are predicted too.
        leave_out: Names of corpora; `["all"]` for each of them.
        hold_out_tests: Whether the given test splits are tested on, not trained on.

    Raises:
        ValueError: The corpus cannot be divided into so many folds, or does not have a corpus to leave out.
    """
    fingerprint_of = file_fingerprints()  # one for all folds

    def make(name: str, part: Corpus, evaluated_as: SplitKey | None = None) -> DataSplits:
        tables, audio = {}, {}
        for split, rows in part.splits.items():
            clips = clips_of(rows, fingerprint_of)
            tables[SplitKey(split)] = clip_table(rows, [fingerprint for fingerprint, _ in clips])
            audio.update(clips)
        sources = []
        if train := tables.get(TRAIN):  # nothing is, where finished models are evaluated
            sources = [(f, audio[f], speaker) for f, speaker in zip(train.fingerprints, train.speakers, strict=True)]
        return DataSplits(
            name, tables, audio, augmented_copies(sources, copies, augmentation), evaluated_as=evaluated_as
        )

    given = make("", corpus if hold_out_tests else without_tests(corpus))
    for key in [key for key in given.tables if key not in (TRAIN, DEVELOPMENT)]:
        for condition in conditions:
            clips = degraded_clips(given.tables[key], given.audio, condition)
            given.conditions[SplitKey(key.split, condition.name)] = clips
    parts = speaker_folds(corpus, folds) if folds else []
    crossed = [make(f"fold{index}", part, SplitKey("cv", folds=len(parts))) for index, part in enumerate(parts)]
    others = without_corpora(corpus, leave_out) if leave_out else {}
    without = [make(f"without_{name}", part, SplitKey("left_out")) for name, part in others.items()]
    return [given, *crossed, *without]
