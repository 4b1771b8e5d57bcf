"""Rows of a CSV file, one at a time; a file of another kind is recognised before it does harm."""

import csv
import os
import re
from collections.abc import Iterator, Sequence

from .corpus import BadRows, CorpusError, RowError


# of the file as text: what has longer lines is no table
LONGEST_LINE = 1 << 20
_OTHER_SEPARATORS = ";\t|"
_NOT_UTF8 = re.compile("[\ud800-\udfff]")  # as `surrogateescape` reads a byte


def csv_rows(
    path: str | os.PathLike, bad_rows: BadRows | None = None, any_bytes: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield `(row, fields)` of a CSV file, first its header; rows are counted as lines, so the header is row 1.

    One row is held at a time. A byte-order mark and blank lines are skipped.

    Args:
        path: The file, in UTF-8.
        bad_rows: Takes the rows with more or fewer fields than the header, which are not yielded; without it all are.
        any_bytes: Read what is not UTF-8 as replacement characters, instead of raising an error.

    Raises:
        CorpusError: The file is empty, is not UTF-8 text, has a line of more than a million characters, or a quote
            that is not closed or not the whole field.
    """
    reader = csv.reader(_lines(path, any_bytes), strict=True)
    header, begun = None, 1
    try:
        for fields in reader:
            if header is None and fields:
                header = fields = [field.strip() for field in fields]
            if fields and bad_rows is not None and len(fields) != len(header):
                error = RowError("malformed row", f"{len(fields)} fields, but {len(header)} columns")
                bad_rows.add(path, reader.line_num, error)
            elif fields:
                yield reader.line_num, fields
            begun = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(
            f"{os.fspath(path)}, row {begun}: not CSV ({error}). Close each quote that opens a field, and write "
            'quotes within one twice ("").'
        ) from error
    if header is None:
        raise CorpusError(f"{os.fspath(path)} is empty; expected a header row and one row per clip.")


def check_header(path: str | os.PathLike, header: Sequence[str], columns: Sequence[str]) -> None:
    """Raise CorpusError where a column that is read occurs twice."""
    twice = [column for column in dict.fromkeys(columns) if header.count(column) > 1]
    if twice:
        raise CorpusError(f"{os.fspath(path)} has more than one column {twice[0]!r}; give each its own name.")


def separator_hint(header: Sequence[str]) -> str:
    """Return a hint for a message where columns are missing because the whole header was read as one."""
    for separator in _OTHER_SEPARATORS:
        if len(header) == 1 and separator in header[0]:
            return f" Its columns seem to be separated by {separator!r}; save it with commas between them."
    return ""


def _lines(path: str | os.PathLike, any_bytes: bool) -> Iterator[str]:
    errors = "replace" if any_bytes else "surrogateescape"
    with open(path, encoding="utf-8-sig", errors=errors, newline="") as file:
        for row, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), start=1):
            if len(line) == LONGEST_LINE:
                raise CorpusError(f"{os.fspath(path)}, row {row}: over {LONGEST_LINE} characters; this is no table.")
            if "\0" in line or (not line.isascii() and _NOT_UTF8.search(line)):
                raise CorpusError(
                    f"{os.fspath(path)}, row {row}: not UTF-8 text. Save the file as UTF-8 (in a spreadsheet: "
                    "'CSV UTF-8')."
                )
            yield line
