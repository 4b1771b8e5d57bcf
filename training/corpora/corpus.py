"""The one shape that every corpus is read into, and the checks that all corpora share."""

import functools
import hashlib
import itertools
import logging
import math
import os
from collections import Counter, defaultdict, namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import datasets
import pyarrow.compute as pc
from datasets import Audio, Features, List, Value

from speech_affect import DIMENSIONS

from ..files import sha256_of_file
from ..settings.labels import LEARNT_FROM, SPLITS, UNKNOWN
from .clip_table import ORIGIN


logger = logging.getLogger(__name__)

# `audio` is written as the plain struct that Audio(decode=False) reads as: encoding through Audio needs torchcodec.
FEATURES = Features(
    {
        "file": Value("string"),
        "audio": {"bytes": Value("binary"), "path": Value("string")},
        **{dimension: Value("float64") for dimension in DIMENSIONS},
        "emotion": Value("string"),
        "speaker": Value("string"),
        "gender": Value("string"),
        "transcript": Value("string"),
        "graders": List(
            {
                "worker": Value("string"),
                **{dimension: Value("float64") for dimension in DIMENSIONS},
                "emotion": Value("string"),
                "emotion_secondary": Value("string"),
            }
        ),
    }
)

# of a corpus with segments: seconds within the file of `audio`, null for its beginning and its end
SEGMENT = Features({"start": Value("float64"), "end": Value("float64")})

# of a corpus that knows where its clips come from; see `clip_table.ORIGIN`
ORIGIN_FEATURES = Features(dict.fromkeys(ORIGIN, Value("string")))

_EMPTY = {"", "na", "n/a", "nan", "none", "null"}
_SAMPLE_BYTES = 4096
_ROUNDING_S = 0.001  # up to here, segments that follow each other may overlap


class CorpusError(ValueError):
    """A corpus that cannot be read as it is; the message names the file and, where there is one, the row."""


class RowError(CorpusError):
    """One row that cannot be used; `reason` is what rows with the same fault share, for the count of skipped rows."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


class BadRows:
    """Stop at the first bad row, or leave bad rows out and count them.

    Args:
        on_error: `"raise"` or `"skip"`.

    Raises:
        CorpusError: `on_error` is something else.
    """

    def __init__(self, on_error: str):
        if on_error not in ("raise", "skip"):
            raise CorpusError(f"on_error is {on_error!r}; allowed are 'raise' and 'skip'.")
        self.on_error = on_error
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []

    def add(self, source: str | os.PathLike, row: int, error: RowError) -> None:
        """Record a bad row of the file `source`; `row` counts from 1.

        Raises:
            CorpusError: `on_error` is `"raise"`.
        """
        message = f"{os.fspath(source)}, row {row}: {shortened(str(error))}"
        if self.on_error == "raise":
            raise CorpusError(f"{message}. Correct it, or pass on_error='skip' to leave bad rows out.") from error
        self.counts[error.reason] += 1
        if len(self.examples) < 5:
            self.examples.append(message)

    @property
    def total(self) -> int:
        """Number of rows that were left out."""
        return sum(self.counts.values())

    def warn(self) -> None:
        """Log one summary: the count of each reason and the first rows."""
        if self.total:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())
            logger.warning("Left out %d rows (%s). The first:\n  %s", self.total, reasons, "\n  ".join(self.examples))


def shortened(text: str, limit: int = 600) -> str:
    """Return a text short enough for a message: a cell or a header can have a hundred thousand characters."""
    return text if len(text) <= limit else f"{text[: limit - 100]} ... {text[-95:]}"


@dataclass(frozen=True)
class Corpus:
    """Rated speech in the common shape.

    Args:
        name: Short name for reports.
        splits: One dataset per split, keyed by names out of `SPLITS`, each with the columns of `FEATURES`
            (`audio` as `{"bytes", "path"}`), those of `SEGMENT` where files hold several clips, and those of
            `ORIGIN_FEATURES` where clips of several corpora, languages or rating scales are joined; ratings are in the
            unit of `label_range`, null where a clip was not rated.
        label_range: Lowest and highest rating possible.
        note: Where the labels and splits come from, for reports.
        skipped: Rows of the label files that were left out (`on_error="skip"`).

    Raises:
        CorpusError: A split's name or columns are not the common ones, or the range is empty.
    """

    name: str
    splits: datasets.DatasetDict
    label_range: tuple[float, float]
    note: str
    skipped: int = 0

    def __post_init__(self):
        check_label_range(self.label_range)
        for name, split in self.splits.items():
            if name not in SPLITS:
                raise CorpusError(f"split {name!r} of {self.name}: allowed are {', '.join(SPLITS)}.")
            optional = {
                name for group in (SEGMENT, ORIGIN_FEATURES) if set(group) <= set(split.column_names) for name in group
            }
            if set(split.column_names) != {*FEATURES, *optional}:
                raise CorpusError(
                    f"split {name!r} of {self.name} has the columns {split.column_names}; needed are {list(FEATURES)}."
                )


def with_audio(data: datasets.Dataset | datasets.DatasetDict) -> datasets.Dataset | datasets.DatasetDict:
    """Mark the struct column `audio` as `Audio(decode=False)`; no row is rewritten and no decoder is needed."""
    return data.cast_column("audio", Audio(decode=False))


def audio_sizes(rows: datasets.Dataset) -> Iterator[tuple[str | None, int]]:
    """Yield the path of each row's audio, None where it is embedded, and its size in bytes; no audio is read."""
    for table in rows.select_columns(["audio"]).with_format("arrow").iter(1000):
        audio = table["audio"].combine_chunks()
        embedded = pc.binary_length(audio.field("bytes")).to_pylist()
        for size, path in zip(embedded, audio.field("path").to_pylist(), strict=True):
            yield (path, os.path.getsize(path)) if size is None else (None, size)


def check_label_range(label_range: Sequence[float]) -> tuple[float, float]:
    """Return `(low, high)` as floats; raise CorpusError unless they are finite and low < high."""
    try:
        low, high = (float(value) for value in label_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise CorpusError(f"label_range is {label_range!r}; it must be two finite numbers, the lower first.")
    return low, high


def is_empty(value: object) -> bool:
    """Return whether a label is absent: None, NaN, an empty string, or one of NA, N/A, nan, none, null."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or str(value).strip().casefold() in _EMPTY


def parse_rating(value: object, low: float, high: float, column: str) -> float:
    """Return a rating as a float.

    Raises:
        RowError: Not a number, NaN, or outside `low`..`high`; the message names the `column`.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not low <= number <= high:  # false for NaN
        raise RowError("bad number", f"{column} is {value!r}; allowed is a number from {low:g} to {high:g}")
    return number


def parse_ratings(
    values: Sequence[object], label_range: tuple[float, float], columns: Sequence[str]
) -> tuple[float | None, ...]:
    """Return the ratings as floats, None where a clip was not rated.

    Raises:
        RowError: A rating is no number, or lies outside `label_range`.
    """
    return tuple(
        None if is_empty(value) else parse_rating(value, *label_range, column)
        for value, column in zip(values, columns, strict=True)
    )


def listed(items: Iterable[str], limit: int = 10) -> str:
    """Return the first items as a message may list them, and how many more there are."""
    items = list(items)
    return ", ".join(items[:limit]) + (f" and {len(items) - limit} more" if len(items) > limit else "")


_Clip = namedtuple("_Clip", "split index file path size start end corpus")


def check_disjoint(corpus: Corpus, audio: bool = True) -> None:
    """Check that no speaker who is learnt from is tested on, and that no audio occurs twice in splits or corpora.

    Test splits may share speakers with each other, as those of MSP-Podcast may. Files are compared by size first,
    then by a few bytes; only those still alike are hashed as a whole.

    Args:
        corpus: The corpus to check. Speakers named `Unknown` are ignored.
        audio: Whether to compare audio content too (opens files; speakers alone need none).

    Raises:
        ValueError: Names the speakers or files found in more than one split.
    """
    # training and development may not share speakers either: the best step would be chosen on voices already known
    seen = defaultdict(list)
    for name, split in corpus.splits.items():
        for speaker in split.unique("speaker"):
            if speaker not in (None, UNKNOWN):
                seen[speaker].append(name)
    shared = {speaker: names for speaker, names in seen.items() if len(names) > 1 and set(names) & set(LEARNT_FROM)}
    if shared:
        places = listed(f"{speaker} in {' and '.join(names)}" for speaker, names in sorted(shared.items()))
        raise ValueError(f"{corpus.name}: {len(shared)} speakers occur in more than one split: {places}.")
    groups = _same_audio(corpus) if audio else []
    if groups:
        places = listed(" = ".join(f"{clip.split}/{clip.file}" for clip in group) for group in groups)
        raise ValueError(
            f"{corpus.name}: {len(groups)} clips have the same audio in more than one split or corpus: {places}."
        )


def _same_audio(corpus: Corpus) -> list[list[_Clip]]:
    """Groups of clips with equal audio content, or with a part of it in common, that span splits or corpora."""
    digest_of_file = functools.cache(sha256_of_file)  # many segments can be of one file

    def content(clip: _Clip, start: int = 0, length: int | None = None) -> bytes:
        if clip.path is None:
            return corpus.splits[clip.split][clip.index]["audio"]["bytes"][start:][:length]
        with open(clip.path, "rb") as file:
            file.seek(start)
            return file.read(length)

    def middle(clip: _Clip) -> bytes:  # headers and silence are alike everywhere
        return content(clip, max(0, (clip.size - _SAMPLE_BYTES) // 2), _SAMPLE_BYTES)

    def digest(clip: _Clip) -> str:
        return digest_of_file(clip.path) if clip.path else hashlib.sha256(content(clip)).hexdigest()

    groups = [[clip for name, rows in corpus.splits.items() for clip in _clips(name, rows)]]
    for key in (lambda clip: clip.size, middle, digest):
        groups = [alike for group in groups for alike in _by_key(group, key) if _spans_splits(alike)]
    return [shared for group in groups for shared in _overlapping(group) if _spans_splits(shared)]


def _clips(split: str, rows: datasets.Dataset) -> Iterator[_Clip]:
    def column(name: str) -> Iterable:
        return rows[name][:] if name in rows.column_names else itertools.repeat(None, len(rows))

    columns = (rows["file"][:], audio_sizes(rows), column("start"), column("end"), column("corpus"))
    for index, (file, (path, size), start, end, of) in enumerate(zip(*columns, strict=True)):
        yield _Clip(split, index, file, path, size, start or 0.0, math.inf if end is None else end, of)


def _by_key(clips: list[_Clip], key: Callable[[_Clip], object]) -> Iterable[list[_Clip]]:
    alike = defaultdict(list)
    for clip in clips:
        alike[key(clip)].append(clip)
    return alike.values()


def _overlapping(clips: list[_Clip]) -> list[list[_Clip]]:
    """Clips of equal files in groups that overlap."""
    groups: list[list[_Clip]] = []
    reached = -math.inf
    for clip in sorted(clips, key=lambda clip: clip.start):
        if clip.start < reached - _ROUNDING_S:
            groups[-1].append(clip)
        else:
            groups.append([clip])
        reached = max(reached, clip.end)
    return groups


def _spans_splits(clips: list[_Clip]) -> bool:
    return len({(clip.split, clip.corpus) for clip in clips}) > 1
