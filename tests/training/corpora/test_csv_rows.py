"""CSV, row by row: what is read, and errors for other files."""

import codecs
import csv
import gzip
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_affect_training.corpora.corpus import BadRows, CorpusError
from speech_affect_training.corpora.csv_rows import LONGEST_LINE, csv_rows, separator_hint


TEXT = 'a,b\n1,Grüße\n"x\ny","z""z"\n\n 2 ,\n'
ROWS = [(1, ["a", "b"]), (2, ["1", "Grüße"]), (4, ["x\ny", 'z"z']), (6, [" 2 ", ""])]


@pytest.fixture
def rows_of(tmp_path):
    """Writes bytes to t.csv and reads them."""

    def read(content: bytes, **options):
        (tmp_path / "t.csv").write_bytes(content)
        return list(csv_rows(tmp_path / "t.csv", **options))

    return read


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_rows_are_numbered_as_lines(rows_of, mark):
    assert rows_of(mark + TEXT.encode()) == ROWS


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_other_ends_of_lines(rows_of, end):
    content = TEXT.replace("x\ny", "xy").replace("\n", end).encode()
    assert rows_of(content) == [*ROWS[:2], (3, ["xy", 'z"z']), (5, [" 2 ", ""])]


def test_quotes_within_a_field_and_spaces_in_the_header(rows_of):
    assert rows_of(b' a , "b"\n1,5" wide\n') == [(1, ["a", '"b"']), (2, ["1", '5" wide'])]


NOT_TEXT = {
    "UTF-16": (TEXT.encode("utf-16"), 1),
    "Latin-1": (TEXT.encode("latin-1"), 2),
    "a byte": (TEXT.encode().replace(b"z", b"\xff"), 4),
    "a surrogate": (TEXT.encode().replace(b"z", b"\xed\xa0\x80"), 4),
    "NUL": (TEXT.replace("2", "2\0").encode(), 6),
    "gzip": (gzip.compress(TEXT.encode(), mtime=0), 1),
}


@pytest.mark.parametrize("kind", NOT_TEXT)
def test_other_encodings(rows_of, kind):
    content, row = NOT_TEXT[kind]
    with pytest.raises(CorpusError, match=rf"t.csv, row {row}: not UTF-8 text. Save the file as UTF-8 \(in a spread"):
        rows_of(content)


def test_any_bytes_reads_what_is_not_utf8_but_no_nul(rows_of):
    assert rows_of(TEXT.encode("latin-1"), any_bytes=True)[1] == (2, ["1", "Gr\ufffd\ufffde"])
    for kind in ("UTF-16", "NUL"):
        with pytest.raises(CorpusError, match="not UTF-8 text"):
            rows_of(NOT_TEXT[kind][0], any_bytes=True)


BROKEN = {
    "not closed": ('a,b\n\n1,2\n1,"2\n3,4\n', 4, "unexpected end of data"),
    "closed too late": ('a,b\n1,"2\n3,"4\n', 2, "',' expected after '\"'"),
    "longer than a field may be": ("a,b\n1,2\n1," + "x" * 200_000, 3, "field larger than field limit (131072)"),
    "never closed": ('a,b\n1,"' + "x\n" * 200_000, 2, "field larger than field limit (131072)"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_quotes_name_the_row_that_they_begin_in(rows_of, kind):
    text, row, reason = BROKEN[kind]
    message = f"t.csv, row {row}: not CSV ({reason}). Close each quote that opens a field, and write quotes within"
    with pytest.raises(CorpusError, match=re.escape(message)):
        rows_of(text.encode())


def test_a_line_without_an_end(rows_of):
    with pytest.raises(CorpusError, match=r"t.csv, row 2: over 1048576 characters; this is no table"):
        rows_of(b"a,b\n" + b"1," * LONGEST_LINE)
    assert len(rows_of(b"a,b\n" + b"1," * 10_000)[1][1]) == 10_001


@pytest.mark.parametrize("content", [b"", b"\n\r\n\n", codecs.BOM_UTF8])
def test_empty(rows_of, content):
    with pytest.raises(CorpusError, match=r"t.csv is empty; expected a header row and one row per clip\."):
        rows_of(content)


@pytest.mark.parametrize("separator", ";\t|")
def test_other_separators_are_named(separator):
    assert f"seem to be separated by {separator!r}; save it with commas" in separator_hint([f"a{separator}b"])
    assert separator_hint([f"a{separator}b", "c"]) == separator_hint(["a"]) == ""


def test_rows_of_another_length_are_bad_rows(rows_of):
    bad_rows = BadRows("skip")
    assert rows_of(b"a,b\n1\n1,2\n1,2,3\n", bad_rows=bad_rows) == [(1, ["a", "b"]), (3, ["1", "2"])]
    assert bad_rows.counts == {"malformed row": 2} and "row 4: 3 fields, but 2 columns" in bad_rows.examples[1]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=4), min_size=1))
def test_what_a_csv_writer_writes_is_read_as_it_was(tmp_path_factory, records):
    path = tmp_path_factory.getbasetemp() / "written.csv"
    text = io.StringIO()
    csv.writer(text).writerows(records)
    path.write_bytes(text.getvalue().encode())
    read = [fields for _, fields in csv_rows(path)]
    header = [name.removeprefix("\ufeff") if not place else name for place, name in enumerate(records[0])]
    assert read == [[name.strip() for name in header], *records[1:]]
