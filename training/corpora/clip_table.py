"""What is known of the clips that a job sees: names, ratings, emotions, speakers; and joining and choosing them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from speech_affect import DIMENSIONS

from ..settings.labels import EMOTION_WORDS


@dataclass(frozen=True)
class ClipTable:
    """
    A row per clip.

    Args:
        files: names.
        fingerprints: of the audio, by which its frames are cached.
        labels: (clips, 3) on the label scale, float64; NaN where nobody rated the clip.
        label_variances: (clips, 3), of the single grades about the label; 0 where there are none.
        emotions: code of the class (`"A"` for anger, ...), None where unknown.
        votes: per clip the codes of the graders' classes, empty where there are none.
        speakers: names, None where unknown.
        genders: names, None where unknown.
    """

    files: Sequence[str]
    fingerprints: Sequence[str]
    labels: np.ndarray
    label_variances: np.ndarray
    emotions: Sequence[str | None]
    votes: Sequence[tuple[str, ...]]
    speakers: Sequence[str | None]
    genders: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.files)

    def take(self, indices: Sequence[int]) -> ClipTable:
        """These rows, in this order."""
        picked = {}
        for field in fields(self):
            column = getattr(self, field.name)
            picked[field.name] = column[list(indices)] if isinstance(column, np.ndarray) else _pick(column, indices)
        return ClipTable(**picked)


def _pick(column: Sequence, indices: Sequence[int]) -> list:
    return [column[index] for index in indices]


def clip_table(rows, fingerprints: Sequence[str]) -> ClipTable:
    """
    The table of one split.

    Args:
        rows: the split, as `corpora.corpus.FEATURES` describes it.
        fingerprints: of each row's audio.
    """
    graders = rows["graders"]
    return ClipTable(
        files=list(rows["file"]),
        fingerprints=list(fingerprints),
        labels=np.stack([np.asarray(rows[d], dtype=np.float64) for d in DIMENSIONS], axis=1),
        label_variances=np.array([_variances(grades) for grades in graders]).reshape(-1, len(DIMENSIONS)),
        emotions=list(rows["emotion"]),
        votes=[_votes(grades) for grades in graders],
        speakers=list(rows["speaker"]),
        genders=list(rows["gender"]),
    )


def _votes(grades: list[dict] | None) -> tuple[str, ...]:
    """Codes of the graders' classes; what no class is called is left out."""
    codes = (_emotion_code(grade["emotion"]) for grade in grades or ())
    return tuple(code for code in codes if code is not None)


def _emotion_code(word: str | None) -> str | None:
    """The class that a grader's own word stands for: `Angry` is A, `Other-Curious` O."""
    return EMOTION_WORDS.get(word.partition("-")[0].strip().casefold()) if word else None


def _variances(grades: list[dict] | None) -> list[float]:
    """Population variance of the single grades, 0 for each dimension that fewer than two graders rated."""
    variances = []
    for dimension in DIMENSIONS:
        given = [grade[dimension] for grade in grades or () if grade[dimension] is not None]
        variances.append(float(np.var(given)) if len(given) > 1 else 0.0)
    return variances


def join_tables(tables: Sequence[ClipTable]) -> ClipTable:
    """All rows of several tables."""
    joined = {}
    for field in fields(ClipTable):
        columns = [getattr(table, field.name) for table in tables]
        if isinstance(columns[0], np.ndarray):
            joined[field.name] = np.concatenate(columns)
        else:
            joined[field.name] = [value for column in columns for value in column]
    return ClipTable(**joined)


def unrated_table(files: Sequence[str], fingerprints: Sequence[str]) -> ClipTable:
    """Clips of which nothing is known."""
    count = len(files)
    return ClipTable(
        files=list(files),
        fingerprints=list(fingerprints),
        labels=np.full((count, len(DIMENSIONS)), np.nan),
        label_variances=np.zeros((count, len(DIMENSIONS))),
        emotions=[None] * count,
        votes=[()] * count,
        speakers=[None] * count,
        genders=[None] * count,
    )


def table_fingerprint(table: ClipTable) -> str:
    """Identity of audio, ratings and classes together; names of files and speakers do not matter."""
    digest = hashlib.sha256()
    decisive = (table.fingerprints, table.labels, table.label_variances, table.emotions, table.votes, table.genders)
    for row in zip(*decisive, strict=True):
        digest.update(repr([v.tolist() if isinstance(v, np.ndarray) else v for v in row]).encode())
    return digest.hexdigest()
