"""Rows in each format, read back by programs that others wrote."""

import io
import json
import sys

import pandas
import parselmouth
import pyarrow.parquet
import pytest
from parselmouth.praat import call

from speech_affect.cli.formats import FORMATS, audformat_rows, check_output, flat_row, write_csv, write_output


ROWS = [
    {
        "file": "a.wav",
        "start_s": 0.0,
        "end_s": 1.0,
        "activation": 3.25,
        "valence": 4.0,
        "dominance": 5.5,
        "error": None,
    },
    {
        "file": "a.wav",
        "start_s": 1.5,
        "end_s": 2.0,
        "activation": None,
        "valence": None,
        "dominance": None,
        "error": None,
    },
]


def test_rows_are_flat():
    emotions, uncertainty = {"happy": 0.25, "sad": 0.75}, {"valence": 0.5}
    result = {"activation": 3.0, "uncertainty": uncertainty, "emotions": emotions, "error": "no such file"}
    names = ["file", "activation", "uncertainty_valence", "emotions_happy", "emotions_sad", "error"]
    assert list(flat_row("a.wav", result)) == names
    assert flat_row("a.wav", {"activation": 3.0}) == {"file": "a.wav", "activation": 3.0, "error": None}


def test_every_format_holds_the_rows(tmp_path):
    for name in ("rows.csv", "rows.json", "rows.jsonl", "rows.parquet"):
        write_output(tmp_path / name, iter(ROWS))
    assert (tmp_path / "rows.csv").read_text() == (
        "file,start_s,end_s,activation,valence,dominance,error\na.wav,0.0,1.0,3.25,4.0,5.5,\na.wav,1.5,2.0,,,,\n"
    )
    assert json.loads((tmp_path / "rows.json").read_text()) == ROWS
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == ROWS
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == ROWS
    assert len(list(tmp_path.iterdir())) == 4


def test_audformat_has_times_that_pandas_reads(capsys):
    long = {**ROWS[0], "start_s": 90061.5, "end_s": 90061.50005}  # a day, an hour, a minute and 1.5 s
    failed = {"file": "b.wav", "valence": None, "speech_ratio": None, "error": "no audio"}
    file = io.StringIO()
    write_csv(file, audformat_rows([ROWS[0], long]))
    assert file.getvalue() == (
        "file,start,end,activation,valence,dominance\n"
        "a.wav,0 days 00:00:00,0 days 00:00:01,3.25,4.0,5.5\n"
        "a.wav,1 days 01:01:01.500000,1 days 01:01:01.500050,3.25,4.0,5.5\n"
    )
    assert capsys.readouterr().err == ""
    times = pandas.to_timedelta(pandas.Series([row["start"] for row in audformat_rows([ROWS[1], long])]))
    assert times.dt.total_seconds().tolist() == [1.5, 90061.5]
    # a whole recording that cannot be read: to the end, which no number says
    assert list(audformat_rows([failed])) == [
        {"file": "b.wav", "start": "0 days 00:00:00", "end": None, "valence": None}
    ]
    assert capsys.readouterr().err == "warning: b.wav: no audio\n"


def test_praat_reads_the_tiers(tmp_path):
    write_output(tmp_path / "rows.TextGrid", iter(ROWS))
    grid = parselmouth.read(str(tmp_path / "rows.TextGrid"))
    assert call(grid, "Get number of tiers") == 3 and call(grid, "Get total duration") == 2
    for tier, (name, text) in enumerate((("activation", "3.25"), ("valence", "4.00"), ("dominance", "5.50")), start=1):
        assert call(grid, "Get tier name", tier) == name
        count = call(grid, "Get number of intervals", tier)
        found = [
            (call(grid, "Get start time of interval", tier, k), call(grid, "Get label of interval", tier, k))
            for k in range(1, count + 1)
        ]
        assert found == [(0, text), (1, ""), (1.5, "")]


def test_a_model_of_two_dimensions_has_two_tiers(tmp_path):
    rows = [{name: value for name, value in row.items() if name != "valence"} for row in ROWS]
    write_output(tmp_path / "rows.TextGrid", rows)
    grid = parselmouth.read(str(tmp_path / "rows.TextGrid"))
    tiers = range(1, int(call(grid, "Get number of tiers")) + 1)
    assert [call(grid, "Get tier name", tier) for tier in tiers] == ["activation", "dominance"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, {**ROWS[0], "file": "b.wav"}], "a TextGrid is of one recording in windows or segments"),
        (
            [{"file": "a.wav", "activation": 1.0, "error": None}],
            "a TextGrid is of one recording in windows or segments",
        ),
        ([ROWS[0], {**ROWS[1], "start_s": 0.5}], "intervals of a TextGrid cannot overlap"),
    ],
)
def test_what_is_no_text_grid_leaves_no_file(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        write_output(tmp_path / "rows.TextGrid", rows)
    assert not list(tmp_path.iterdir())


def test_outputs_that_cannot_be(tmp_path):
    with pytest.raises(
        ValueError, match=r"has the suffix '.xlsx'; known are .csv, .json, .jsonl, .parquet, .TextGrid"
    ):
        check_output(tmp_path / "rows.xlsx", FORMATS)
    with pytest.raises(ValueError, match="lies in a folder that is not there; make it first"):
        check_output(tmp_path / "missing" / "rows.csv", FORMATS)
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(ValueError, match="rows.csv is a folder; name a file"):
        check_output(tmp_path / "rows.csv", FORMATS)


def test_missing_pyarrow_is_noticed_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    check_output(tmp_path / "rows.csv", FORMATS)
    with pytest.raises(ValueError, match=r"^writing \.parquet needs pyarrow: pip install pyarrow, or write \.csv$"):
        check_output(tmp_path / "rows.parquet", FORMATS)
