"""Clips as a job sees them: names, labels, emotions, speakers, in columns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import datasets
import numpy as np

from speech_affect import DIMENSIONS

from ..metrics.rated import mean_of_rated
from ..settings.labels import EMOTION_WORDS, LABELS, UNLABELLED, WORD_SCALE


# columns of a split that joins several corpora -> their values in a corpus that is alone
ORIGIN = {"corpus": "", "language": None, "rating_scale": ""}


@dataclass(frozen=True)
class ClipTable:
    """A table with one row per clip.

    Args:
        files: Names.
        fingerprints: Of the audio, by which its frames are cached.
        labels: (clips, dimensions) on the label scale, float64; NaN where the clip was not rated.
        rating_variances: (clips, dimensions), variance of the single grades; NaN where there are fewer than two.
        grades: Per clip (graders, dimensions), the mean of each grader's grades; NaN where there is none.
        emotions: Codes of the classes (see `settings.labels.EMOTIONS`), None where unknown.
        votes: Per clip the codes of the graders' classes, empty where there are none.
        speakers: Names, None where unknown.
        genders: Names, None where unknown.
        transcripts: None where unknown.
        corpora: Names of the corpora that the clips come from, empty where there is one alone, and `unlabelled` of
            unlabelled speech.
        languages: ISO 639 codes, None where unknown.
        rating_scales: Names of what the labels are ratings of; no CCC is taken over clips of different scales.
    """

    files: Sequence[str]
    fingerprints: Sequence[str]
    labels: np.ndarray
    rating_variances: np.ndarray
    grades: Sequence[np.ndarray]
    emotions: Sequence[str | None]
    votes: Sequence[tuple[str, ...]]
    speakers: Sequence[str | None]
    genders: Sequence[str | None]
    transcripts: Sequence[str | None]
    corpora: Sequence[str]
    languages: Sequence[str | None]
    rating_scales: Sequence[str]

    def __len__(self) -> int:
        return len(self.files)

    def rated_clips(self) -> dict[str, int]:
        """Return for each dimension the number of clips that have a label in it."""
        return dict(zip(DIMENSIONS, (~np.isnan(self.labels)).sum(axis=0).tolist(), strict=True))

    def take(self, indices: Sequence[int]) -> ClipTable:
        """Return these rows, in this order."""

        def pick(column: Sequence) -> Sequence:
            return column[list(indices)] if isinstance(column, np.ndarray) else [column[index] for index in indices]

        return ClipTable(**{field.name: pick(getattr(self, field.name)) for field in fields(self)})


def clip_table(rows: datasets.Dataset, fingerprints: Sequence[str]) -> ClipTable:
    """Return the table of one split.

    Args:
        rows: The split, with the columns of `corpora.corpus.FEATURES`, and those of `ORIGIN` where it has several
            corpora.
        fingerprints: Of each row's audio.
    """
    columns = {name: [unknown] * len(rows) for name, unknown in ORIGIN.items()}
    columns |= rows.remove_columns("audio")[:]  # whole columns: row by row would take minutes
    labels = [np.asarray(columns[dimension], dtype=np.float64) for dimension in DIMENSIONS]
    return ClipTable(
        files=columns["file"],
        fingerprints=list(fingerprints),
        labels=np.stack(labels, axis=1),
        rating_variances=np.array([_variances(grades) for grades in columns["graders"]]).reshape(-1, len(DIMENSIONS)),
        grades=[_grades(grades) for grades in columns["graders"]],
        emotions=columns["emotion"],
        votes=[_votes(grades) for grades in columns["graders"]],
        speakers=columns["speaker"],
        genders=columns["gender"],
        transcripts=columns["transcript"],
        corpora=columns["corpus"],
        languages=columns["language"],
        rating_scales=columns["rating_scale"],
    )


def class_of(word: str | None) -> str | None:
    """Return the code of the class that a grader's word names: `Angry` is A, `Other-Curious` O; None for others."""
    return EMOTION_WORDS.get((word or "").partition("-")[0].strip().casefold())


def _votes(grades: list[dict] | None) -> tuple[str, ...]:
    """Codes of the classes that the graders' own words name; others none."""
    codes = (class_of(grade["emotion"]) for grade in grades or ())
    return tuple(code for code in codes if code is not None)


def _grades(grades: list[dict] | None) -> np.ndarray:
    """(graders, dimensions), the mean of what each grader gave."""
    given: dict[str, list[list[float]]] = {}
    for grade in grades or ():
        values = [math.nan if grade[dimension] is None else grade[dimension] for dimension in DIMENSIONS]
        given.setdefault(grade["worker"], []).append(values)
    means = [values[0] if len(values) == 1 else mean_of_rated(np.transpose(values)) for values in given.values()]
    return np.array(means, dtype=np.float64).reshape(-1, len(DIMENSIONS))


def _variances(grades: list[dict] | None) -> list[float]:
    """Population variance of the single grades, NaN for each dimension that has fewer than two."""
    variances = []
    for dimension in DIMENSIONS:
        given = [grade[dimension] for grade in grades or () if grade[dimension] is not None]
        variances.append(float(np.var(given)) if len(given) > 1 else math.nan)
    return variances


def join_tables(tables: Sequence[ClipTable]) -> ClipTable:
    """Return all rows of several tables."""

    def join(columns: list[Sequence]) -> Sequence:
        return np.concatenate(columns) if isinstance(columns[0], np.ndarray) else [v for col in columns for v in col]

    return ClipTable(**{f.name: join([getattr(table, f.name) for table in tables]) for f in fields(ClipTable)})


def with_labels(table: ClipTable, labels: Mapping[str, Collection[str]]) -> ClipTable:
    """Return a table in which the clips of some corpora have no labels but these.

    Args:
        table: The clips.
        labels: Name of each such corpus -> the labels, out of `LABELS`, that are kept.
    """
    shown = [[name in labels.get(corpus, LABELS) for name in LABELS] for corpus in table.corpora]
    kept = np.array(shown, dtype=bool).reshape(-1, len(LABELS))
    rated, classed = kept[:, : len(DIMENSIONS)], kept[:, -1]
    return replace(
        table,
        labels=np.where(rated, table.labels, np.nan),
        rating_variances=np.where(rated, table.rating_variances, np.nan),
        emotions=[emotion if known else None for emotion, known in zip(table.emotions, classed, strict=True)],
        votes=[votes if known else () for votes, known in zip(table.votes, classed, strict=True)],
    )


def listened(table: ClipTable, by_word: Mapping[str, Collection[str]]) -> np.ndarray:
    """Return (clips, dimensions), true where a label is the rating of listeners.

    Args:
        table: The clips.
        by_word: Name of each corpus -> its dimensions whose labels stand for the emotion's word.
    """
    words = [
        [scale == WORD_SCALE or dimension in by_word.get(corpus, ()) for dimension in DIMENSIONS]
        for corpus, scale in zip(table.corpora, table.rating_scales, strict=True)
    ]
    return ~np.isnan(table.labels) & ~np.array(words, dtype=bool).reshape(-1, len(DIMENSIONS))


def listened_labels(table: ClipTable, by_word: Mapping[str, Collection[str]]) -> np.ndarray:
    """Return the labels, NaN where they stand for a word in a dimension that listeners rated other clips in."""
    heard = listened(table, by_word)
    return np.where(heard | ~heard.any(axis=0), table.labels, np.nan)


def unlabelled_table(files: Sequence[str], fingerprints: Sequence[str]) -> ClipTable:
    """Return a table of clips of which nothing but the audio is known."""
    count = len(files)
    return ClipTable(
        files=list(files),
        fingerprints=list(fingerprints),
        labels=np.full((count, len(DIMENSIONS)), np.nan),
        rating_variances=np.full((count, len(DIMENSIONS)), np.nan),
        grades=[np.empty((0, len(DIMENSIONS)))] * count,
        emotions=[None] * count,
        votes=[()] * count,
        speakers=[None] * count,
        genders=[None] * count,
        transcripts=[None] * count,
        corpora=[UNLABELLED] * count,
        languages=[None] * count,
        rating_scales=[""] * count,
    )


def table_fingerprint(table: ClipTable) -> str:
    """Return the SHA-256 of audio, labels and classes together; names of files and speakers do not matter."""
    digest = hashlib.sha256()
    decisive = (table.fingerprints, table.labels, table.rating_variances, table.emotions, table.votes, table.genders)
    decisive += (table.corpora, table.rating_scales)
    for row in zip(*decisive, strict=True):
        digest.update(repr([v.tolist() if isinstance(v, np.ndarray) else v for v in row]).encode())
    return digest.hexdigest()
