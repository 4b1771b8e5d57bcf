"""The label files of MSP-Podcast in each form that its releases have had."""

import functools
import json
import operator
import os
import sys
from collections import defaultdict, namedtuple
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..settings.labels import UNKNOWN
from .corpus import BadRows, CorpusError, RowError, is_empty, parse_rating, shortened
from .csv_rows import check_header, csv_rows, separator_hint


LABEL_RANGE = (1.0, 7.0)
RATING_COLUMNS = ("EmoAct", "EmoVal", "EmoDom")  # one is enough: what a corpus does not have, nobody rated
CONSENSUS_COLUMNS = ("FileName", "EmoClass", *RATING_COLUMNS, "SpkrID", "Gender", "Split_Set")
GRADE_COLUMNS = ("EmoClass_Major", "EmoClass_Second", *RATING_COLUMNS)
OPTIONAL_COLUMNS = frozenset(GRADE_COLUMNS)
WORKER_COLUMNS = ("Workers", "WorkerID")  # release 1.6 and release 2.0


# the consensus of one turn and a line of Partitions.txt: text as written, not yet checked; rows count from 1
Label = namedtuple("Label", "row file emotion activation valence dominance speaker gender split")
Partition = namedtuple("Partition", "row split file")


class Grade(NamedTuple):
    """What one worker gave one turn; ratings are in 1..7, None where the worker gave none. One can grade a turn twice.

    The emotions are the release's own words: `Neutral`, `Other-Curious`, `Concerned,Amused`.
    """

    worker: str
    activation: float | None
    valence: float | None
    dominance: float | None
    emotion: str | None
    emotion_secondary: str | None


def read_consensus(path: Path, bad_rows: BadRows) -> Iterator[Label]:
    """Yield the labels of a labels_consensus.csv or labels_consensus.json, chosen by the suffix.

    Args:
        path: The label file.
        bad_rows: Takes the rows that cannot be read.

    Raises:
        CorpusError: A column is missing, the file is not what its name says, or a bad row is not to be skipped.
    """
    if path.suffix.casefold() == ".csv":
        return (Label(row, *fields) for row, fields in _records(path, CONSENSUS_COLUMNS, bad_rows))
    return _consensus_json(path, bad_rows)


def read_grades(path: Path, bad_rows: BadRows) -> dict[str, list[Grade]]:
    """Return what each worker gave each file, from labels_detailed.csv, labels_detailed.json or labels.txt.

    Raises:
        CorpusError: As for `read_consensus`.
    """
    readers = {".csv": _grades_csv, ".json": _grades_json}
    grades: dict[str, list[Grade]] = defaultdict(list)
    for row, file, fields in readers.get(path.suffix.casefold(), _grades_text)(path, bad_rows):
        try:
            grades[file].append(_grade(*(_fields_of_line(*fields) if len(fields) == 1 else fields)))
        except RowError as error:
            bad_rows.add(path, row, error)
    return dict(grades)


def read_partitions(path: Path, bad_rows: BadRows) -> list[Partition]:
    """Return the lines `Split; file` of a Partitions.txt.

    Raises:
        CorpusError: A line is not of that form and not to be skipped.
    """
    partitions = []
    for row, line in _lines(path):
        split, _, file = (part.strip("; ") for part in line.partition(";"))
        if split and file:
            partitions.append(Partition(row, split, file))
        elif line:
            error = RowError("malformed row", f"{line!r} is not of the form 'Train; MSP-PODCAST_0001_0008.wav'")
            bad_rows.add(path, row, error)
    return partitions


def read_speakers(path: Path) -> dict[str, tuple[str, str]]:
    """Return file name -> (speaker, gender) of a Speaker_ids.txt.

    It holds lines `Speaker_30; Male` and lines `MSP-PODCAST_0001_0008.wav; 30`, in either order; other lines are
    ignored.
    """
    genders, speakers = {}, {}
    for _, line in _lines(path):
        key, _, value = (part.strip(" ;") for part in line.partition(";"))
        if key.casefold().endswith(".wav"):
            speakers[key] = value.removeprefix("Speaker_") or UNKNOWN
        elif key.startswith("Speaker_"):
            genders[key.removeprefix("Speaker_")] = value
    return {file: (speaker, genders.get(speaker, UNKNOWN)) for file, speaker in speakers.items()}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for row, line in enumerate(file, start=1):
            yield row, line.strip()


def _records(path: Path, columns: Sequence[str], bad_rows: BadRows) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (row, fields) of a CSV file, the fields in the order of `columns`, empty where there is no such column."""
    rows = csv_rows(path, bad_rows, any_bytes=True)  # what is not UTF-8 is in graders' own words
    _, header = next(rows)
    _check_columns(path, header, columns)
    check_header(path, header, columns)
    pick = operator.itemgetter(*(header.index(column) if column in header else -1 for column in columns))
    for row, fields in rows:
        yield row, tuple(map(str.strip, pick([*fields, ""])))


def _check_columns(place: object, found: Sequence[str], required: Sequence[str]) -> None:
    missing = [column for column in required if column not in found and column not in OPTIONAL_COLUMNS]
    if set(RATING_COLUMNS) <= set(required) and not set(RATING_COLUMNS) & set(found):
        missing += RATING_COLUMNS
    if missing:
        raise CorpusError(
            f"{place} has no {' and no '.join(missing)}; it has {shortened(', '.join(found))}.{separator_hint(found)}"
        )


def _json_object(path: Path) -> list[tuple[int, str, object]]:
    """The (number, key, value) of a JSON object; objects in it are tuples of pairs, so that no double key is lost."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            content = json.load(file, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path} is not JSON ({error}).") from error
    if not isinstance(content, tuple):
        raise CorpusError(f"{path} holds no JSON object; expected file names and their labels.")
    return [(row, key, value) for row, (key, value) in enumerate(content, start=1)]


def _as_text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _consensus_json(path: Path, bad_rows: BadRows) -> Iterator[Label]:
    for row, file, value in _json_object(path):
        if not isinstance(value, tuple):
            bad_rows.add(path, row, RowError("malformed row", f"the entry of {file} is not a JSON object"))
            continue
        record = dict(value)
        _check_columns(f"{path}, row {row} ({file})", list(record), CONSENSUS_COLUMNS[1:])
        yield Label(row, file, *(_as_text(record.get(column)) for column in CONSENSUS_COLUMNS[1:]))


def _fields_of_line(line: str) -> tuple[str, ...]:
    """The arguments of `_grade` in `WORKER00000001; Neutral; Concerned; A:1.000000; V:4.000000; D:1.000000;`.

    The ratings are taken from the end, because workers' own words (`Other-...`) may hold semicolons.
    """
    fields = [field.strip() for field in line.rstrip("; ").split(";")]
    head, ratings = fields[:-3], fields[-3:]
    if not head or [rating[:2] for rating in ratings] != ["A:", "V:", "D:"]:
        raise RowError("malformed row", f"{line!r} does not end in 'A:1.0; V:4.0; D:1.0;'")
    return head[0], "".join(head[1:2]), "; ".join(head[2:]), *(rating[2:].strip() for rating in ratings)


# A release has millions of grades and few different ones: the caches save time and share the objects.
@functools.lru_cache(maxsize=65536)
def _rating(text: str, column: str) -> float | None:
    return None if is_empty(text) else parse_rating(text, *LABEL_RANGE, column)


@functools.lru_cache(maxsize=65536)
def _word(text: str) -> str | None:
    return None if is_empty(text) else text


def _grade(worker: str, emotion: str, secondary: str, activation: str, valence: str, dominance: str) -> Grade:
    if not worker:
        raise RowError("malformed row", "the grader has no name")
    ratings = (_rating(activation, "EmoAct"), _rating(valence, "EmoVal"), _rating(dominance, "EmoDom"))
    return Grade(sys.intern(worker), *ratings, _word(emotion), _word(secondary))


def _grades_csv(path: Path, bad_rows: BadRows) -> Iterator[tuple[int, str, Sequence[str]]]:
    _, header = next(csv_rows(path, any_bytes=True))
    worker = next((column for column in WORKER_COLUMNS if column in header), WORKER_COLUMNS[0])
    columns = ("FileName", "EmoDetail") if "EmoDetail" in header else ("FileName", worker, *GRADE_COLUMNS)
    for row, (file, *fields) in _records(path, columns, bad_rows):
        yield row, file, fields


def _grades_json(path: Path, bad_rows: BadRows) -> Iterator[tuple[int, str, Sequence[str]]]:
    for row, file, workers in _json_object(path):
        for worker, value in workers if isinstance(workers, tuple) else [("", None)]:
            if isinstance(value, tuple):
                record = {column: _as_text(given) for column, given in value}
                _check_columns(f"{path}, row {row} ({file}, {worker})", list(record), GRADE_COLUMNS)
                yield row, file, [worker, *(record.get(column, "") for column in GRADE_COLUMNS)]
            else:
                message = f"the entry of {file} is not a JSON object of workers and grades"
                bad_rows.add(path, row, RowError("malformed row", message))


def _grades_text(path: Path, _: BadRows) -> Iterator[tuple[int, str, Sequence[str]]]:
    file = ""
    for row, line in _lines(path):
        first = line.partition(";")[0].strip()
        if first.casefold().endswith(".wav"):
            file = first
        elif file and line:
            yield row, file, [line]


def transcript_of(folders: Sequence[str], file: str) -> str | None:
    """Return the words of a turn, or None where no folder has `NAME.txt` for `NAME.wav`, or it is empty."""
    for folder in folders:
        path = os.path.join(folder, os.path.splitext(file)[0] + ".txt")
        if os.path.isfile(path):
            with open(path, encoding="utf-8-sig", errors="replace") as text:
                return text.read().strip() or None
    return None
