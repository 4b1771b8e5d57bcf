"""Rows as CSV, JSON, JSON lines, Parquet, or a TextGrid for Praat and ELAN."""

import csv
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice, pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO


TIMES = ("start_s", "end_s")
PARQUET_ROWS = 10_000  # in memory at a time
TEXT_GRID = ".TextGrid"
OF_ONE_RECORDING = "a TextGrid is of one recording in windows or segments: give one, with --window-s or a table"
WITHOUT_OVERLAP = "intervals of a TextGrid cannot overlap: leave out --hop-s, or write .csv"


def flat_row(file: str, result: dict) -> dict:
    """Return a result of the pipeline as one level: `uncertainty_valence`, `emotions_happy`; and always `error`."""
    row: dict = {"file": file}
    for name, value in result.items():
        row |= {f"{name}_{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return {**{name: value for name, value in row.items() if name != "error"}, "error": result.get("error")}


def audformat_rows(rows: Iterable[dict]) -> Iterator[dict]:
    """Yield rows as audformat has them: `file,start,end` and the values, without an end where it is the file's.

    There is no column for an error: it goes to standard error, and the row has no values.
    """
    from ..affect_result import DIMENSIONS  # not for --help

    for row in rows:
        if row["error"] is not None:
            print(f"warning: {row['file']}: {row['error']}", file=sys.stderr)
        start, end = row.get("start_s") or 0.0, row.get("end_s")
        values = {name: row[name] for name in DIMENSIONS if name in row}
        yield {"file": row["file"], "start": _timedelta(start), "end": end and _timedelta(end), **values}


def _timedelta(seconds: float) -> str:
    """Return a time as pandas writes timedeltas: `0 days 00:00:01.500000`."""
    rest, microseconds = divmod(round(seconds * 1e6), 1_000_000)
    minutes, rest = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} days {hours:02}:{minutes:02}:{rest:02}{f'.{microseconds:06}' if microseconds else ''}"


def check_output(path: Path, suffixes: Collection[str]) -> None:
    """Raise a `ValueError` unless the file's suffix is that of a format, and it can be written."""
    if path.is_dir():
        raise ValueError(f"the output {path} is a folder; name a file")
    if path.suffix not in suffixes:
        raise ValueError(f"the output {path} has the suffix {path.suffix!r}; known are {', '.join(suffixes)}")
    if not path.parent.exists():
        raise ValueError(f"the output {path} lies in a folder that is not there; make it first")
    check_folder(path.parent)
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ValueError("writing .parquet needs pyarrow: pip install pyarrow, or write .csv") from error


def check_folder(path: Path) -> None:
    """Raise a `ValueError` unless this is a folder that can be written to, or one can be made there."""
    nearest = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise ValueError(f"the output folder {path} cannot be made: {nearest} is a file; name another")
    try:
        TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise ValueError(f"the folder {nearest} cannot be written to ({error.strerror}); name another") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of the file at the end, or is deleted after an error."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_output(path: Path, rows: Iterable[dict]) -> None:
    """Write a file in the format of its suffix, whole or not at all."""
    with whole_file(path) as temporary:
        FORMATS[path.suffix](temporary, rows)


def write_csv(file: TextIO, rows: Iterable[dict]) -> None:
    """Write rows that all have the columns of the first; None is an empty field."""
    rows = iter(rows)
    first = next(rows)
    writer = csv.DictWriter(file, list(first), lineterminator="\n")
    writer.writeheader()
    for row in chain([first], rows):
        writer.writerow(row)
        file.flush()


def _csv(path: Path, rows: Iterable[dict]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        write_csv(file, rows)


def _json_lines(path: Path, rows: Iterable[dict]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _json(path: Path, rows: Iterable[dict]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for index, row in enumerate(rows):
            file.write(("[\n  " if index == 0 else ",\n  ") + json.dumps(row, ensure_ascii=False))
        file.write("\n]\n")


def _parquet(path: Path, rows: Iterable[dict]) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = iter(rows)
    first = next(rows)
    texts = {"file": pyarrow.string(), "error": pyarrow.string()}
    schema = pyarrow.schema([(name, texts.get(name, pyarrow.float64())) for name in first])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        rows = chain([first], rows)
        while part := list(islice(rows, PARQUET_ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(part, schema))


def _text_grid(path: Path, rows: Iterable[dict]) -> None:
    """Write a tier for each dimension of the model, whose intervals have the values as their text; silence has none.

    Source of the format: Praat's manual, "TextGrid file formats".
    """
    from ..affect_result import DIMENSIONS  # not for --help

    pieces = list(rows)
    if len({row["file"] for row in pieces}) > 1 or not set(TIMES) <= set(pieces[0]):
        raise ValueError(OF_ONE_RECORDING)
    names = [name for name in DIMENSIONS if name in pieces[0]]
    pieces = sorted((row for row in pieces if row["error"] is None), key=lambda row: row["start_s"])
    for before, after in pairwise(pieces):
        if after["start_s"] < before["end_s"] - 1e-6:
            raise ValueError(WITHOUT_OVERLAP)
    end = max((row["end_s"] for row in pieces), default=0.0)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "0",
        f"{end}",
        "<exists>",
        f"{len(names)}",
    ]
    for name in names:
        intervals = list(_intervals(pieces, name))
        lines += ['"IntervalTier"', f'"{name}"', "0", f"{end}", f"{len(intervals)}"]
        lines += [f'{start}\n{stop}\n"{text}"' for start, stop, text in intervals]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _intervals(pieces: list[dict], name: str) -> Iterator[tuple[float, float, str]]:
    """Yield intervals without a gap, as a tier needs them."""
    reached = 0.0
    for row in pieces:
        start, end, value = row["start_s"], row["end_s"], row.get(name)
        if start > reached:
            yield reached, start, ""
        if end > max(start, reached):
            yield max(start, reached), end, "" if value is None else f"{value:.2f}"
            reached = end


FORMATS: dict[str, Callable[[Path, Iterable[dict]], None]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    TEXT_GRID: _text_grid,
}
