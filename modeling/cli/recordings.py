"""The recordings that a command names: files, folders, patterns, lists and tables of segments."""

import csv
import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


STANDARD_INPUT = "-"
SUFFIXES = frozenset((".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav"))
LISTS, TABLES = frozenset((".txt", ".lst")), frozenset((".csv", ".tsv"))
CLOCK = re.compile(r"(?:(\d+) days? )?(\d+):(\d{2}):(\d{2}(?:\.\d+)?)")  # as pandas writes timedeltas


@dataclass
class Recording:
    """A file, and its segments as (start, end) in seconds, if a table has some; an end of None is that of the file."""

    path: str
    segments: list[tuple[float, float | None]] = field(default_factory=list)


def find_recordings(inputs: Sequence[str], segments: Path | None = None) -> list[Recording]:
    """Return the recordings that inputs stand for, in their order, each once.

    Args:
        inputs: Each a file of audio; a folder, of which all audio below is taken, in the order of its names; a
            pattern such as `talks/**/*.wav`; a text file (.txt, .lst) with a path per line; a table (.csv, .tsv) with
            the column `file` and, for segments, `start` and `end` in seconds or as `0 days 00:00:01.5`; or `-`, which
            is standard input. Paths in lists and tables are relative to these.
        segments: A table with `start` and `end` alone, whose segments are taken of every recording.

    Raises:
        ValueError: An input is not there or has no audio, or a table is not as above.
    """
    found: dict[str, Recording] = {}
    for given in inputs:
        for recording in _recordings_of(given):
            known = found.setdefault(recording.path, recording)
            if bool(known.segments) != bool(recording.segments):
                raise ValueError(f"{recording.path} is given as a whole and with segments; give it in one way")
            if known is not recording:
                known.segments += [segment for segment in recording.segments if segment not in known.segments]
    if not found:
        raise ValueError(f"{', '.join(inputs)} names no recording")
    if segments is not None:
        cut = _segments(segments)
        if any(recording.segments for recording in found.values()):
            raise ValueError(f"{', '.join(inputs)} has segments already; leave out those of {segments}")
        return [Recording(path, list(cut)) for path in found]
    return list(found.values())


def _segments(table: Path) -> list[tuple[float, float | None]]:
    with _opened(table) as reader:
        columns = reader.fieldnames or []
        if "file" in columns or not {"start", "end"} <= set(columns):
            raise ValueError(
                f"{table} has the columns {', '.join(columns) or 'none'}; the segments of a recording need start and "
                "end, and a table with the column file is an input itself"
            )
        found = [_segment(row, f"{table}, line {reader.line_num}") for row in reader]
    if not found:
        raise ValueError(f"{table} has no segments")
    return found


def _recordings_of(given: str) -> Iterator[Recording]:
    path, suffix = Path(given), os.path.splitext(given)[1].casefold()
    if given == STANDARD_INPUT:
        yield Recording(given)
    elif path.is_dir():
        inside = [str(each) for each in sorted(path.rglob("*")) if _is_audio(each, path)]
        if not inside:
            raise ValueError(f"the folder {given} has no audio; known are {', '.join(sorted(SUFFIXES))}")
        yield from map(Recording, inside)
    elif path.is_file() and suffix in LISTS:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        yield from (Recording(_beside(path, line)) for line in lines if line)
    elif path.is_file() and suffix in TABLES:
        yield from _rows(path)
    elif path.is_file():
        yield Recording(given)
    elif glob.has_magic(given):
        paths = sorted(each for each in glob.glob(given, recursive=True) if os.path.isfile(each))
        if not paths:
            raise ValueError(f"no file fits the pattern {given!r}")
        yield from map(Recording, paths)
    else:
        raise ValueError(f"there is no file or folder {given!r}")


def _is_audio(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.casefold() in SUFFIXES and path.is_file()


def _beside(table: Path, path: str) -> str:
    return path if os.path.isabs(path) else os.path.normpath(table.parent / path)


@contextmanager
def _opened(table: Path) -> Iterator[csv.DictReader]:
    with open(table, newline="", encoding="utf-8-sig") as file:
        yield csv.DictReader(file, delimiter="\t" if table.suffix.casefold() == ".tsv" else ",")


def _rows(table: Path) -> Iterator[Recording]:
    with _opened(table) as reader:
        columns = reader.fieldnames or []
        if "file" not in columns or ("start" in columns) != ("end" in columns):
            raise ValueError(
                f"{table} has the columns {', '.join(columns) or 'none'}; it needs file, or file, start, end"
            )
        for row in reader:
            if not row["file"]:
                raise ValueError(f"{table}, line {reader.line_num}: there is no file")
            path = _beside(table, row["file"])
            if "start" not in columns:
                yield Recording(path)
                continue
            yield Recording(path, [_segment(row, f"{table}, line {reader.line_num}")])


def _segment(row: dict[str, str], place: str) -> tuple[float, float | None]:
    start, end = (_seconds(row[name], f"{place}: {name}") for name in ("start", "end"))
    start = start or 0.0
    if start < 0:
        raise ValueError(f"{place}: the segment begins at {start:g} s; give 0 or more")
    if end is not None and end < start:
        raise ValueError(f"{place}: the segment is from {start:g} to {end:g} s; give 0 <= start <= end")
    return start, end


def _seconds(text: str | None, place: str) -> float | None:
    if text is None or text.strip().casefold() in ("", "nat", "nan"):
        return None
    clock = CLOCK.fullmatch(text.strip())
    if clock:
        days, hours, minutes, seconds = clock.groups(default="0")
        return (int(days) * 24 + int(hours)) * 3600 + int(minutes) * 60 + float(seconds)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{place} is {text!r:.50}; give seconds, or a time such as 0 days 00:00:01.5") from None
