"""Rows that rate segments of files: their times in every form, and that only the segment is read, on every route."""

import csv
import datetime
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import Dataset

from speech_affect_training.audio.clip_loading import SourceClip, clip_duration_s, load_batches
from speech_affect_training.corpora.corpus import FEATURES, CorpusError, RowError, check_disjoint
from speech_affect_training.corpora.parquet import load_parquet_corpus, write_parquet
from speech_affect_training.corpora.segments import Piece, clips_of, cut, parse_time, segment_name
from speech_affect_training.corpora.table import load_table_corpus
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.jobs.data_splits import TRAIN, make_data_splits
from speech_affect_training.settings.augmentation import AugmentationSettings
from speech_affect_training.settings.systems import SystemSpec


RATE = 16_000
HEADER = ("file", "start", "end", "activation", "valence", "dominance", "speaker", "split")
ROWS = [
    ("long.wav", "0.5", "1.25", "2", "2", "2", "ann", "train"),
    ("long.wav", "0 days 00:00:01.5", "0 days 00:00:02", "3", "3", "3", "ann", "train"),
    ("long.wav", "00:00:02.5", "", "4", "4", "4", "ann", "train"),
    ("dev.wav", "", "NaT", "5", "5", "5", "bob", "dev"),
    ("long.wav", "2", "2.4", "6", "6", "6", "cyd", "test"),
]
OPTIONS = {"audio_column": "file", "speaker_column": "speaker", "split_column": "split", "label_range": (1, 7)}
TIMES = {"train": [(0.5, 1.25), (1.5, 2.0), (2.5, None)], "development": [(None, None)], "test1": [(2.0, 2.4)]}


@pytest.fixture
def table(tmp_path):
    """A folder with a recording of 3 s, whose samples count up, and ratings of five stretches."""
    soundfile.write(tmp_path / "long.wav", numbers(0, 3 * RATE), RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "dev.wav", np.arange(RATE, dtype=np.int16)[::-1], RATE, subtype="PCM_16")
    return write(tmp_path / "ratings.csv")


def write(path, rows=ROWS, header=HEADER):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def fails(match, source, **changes):
    with pytest.raises(CorpusError, match=match):
        load_table_corpus(source, **{**OPTIONS, **changes})


def times_of(corpus):
    return {name: list(zip(rows["start"], rows["end"], strict=True)) for name, rows in corpus.splits.items()}


def numbers(first, last):
    """The samples of the long recording: counted from -24000."""
    return np.arange(first - 24_000, last - 24_000, dtype=np.int16)


def samples_of(clip):
    """The samples of a clip, as 16-bit numbers."""
    return np.rint(clip.load()["array"] * 32768).astype(int)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1.5, 1.5),
        (np.float32(1.5), 1.5),
        (2, 2.0),
        ("1.5", 1.5),
        (" 0 days 00:00:01.5 ", 1.5),
        ("00:00:01.500000", 1.5),
        ("0 days 01:02:03", 3723.0),
        ("1500 ms", 1.5),
        (datetime.timedelta(days=1, seconds=1.5), 86401.5),
        (pd.Timedelta("1.5s"), 1.5),
        (np.timedelta64(1500, "ms"), 1.5),
        (datetime.time(0, 0, 1, 500000), 1.5),
        (0, 0.0),
        *((empty, None) for empty in ("", "NaT", "NA", None, float("nan"), pd.NaT, np.timedelta64("NaT"))),
    ],
)
def test_times(value, seconds):
    assert parse_time(value, "end") == seconds


@pytest.mark.parametrize("value", ["1,5", "00:00:01,5", "01:30", "-1", -0.5, "soon", True, "inf", "2021-01-01", [1]])
def test_what_is_no_time(value):
    with pytest.raises(RowError, match=r"^end is .*; allowed are seconds from 0, as 1.5, 00:00:01.5 or 0 days"):
        parse_time(value, "end")


def test_a_name_has_the_times():
    assert segment_name("a.wav", 1.5, 2.25) == "a.wav#t=1.5,2.25"
    assert segment_name("a.wav", None, 2.0) == segment_name("a.wav", 0.0, 2.0) == "a.wav#t=0,2"
    assert segment_name("a.wav", 1 / 3, None) == "a.wav#t=0.333333"
    assert segment_name("a.wav", None, None) == "a.wav"


def test_rows_of_one_file_are_clips_of_their_own(table):
    corpus = load_table_corpus(table, **OPTIONS)
    assert times_of(corpus) == TIMES
    train = corpus.splits["train"]
    assert train["file"][:] == ["long.wav#t=0.5,1.25", "long.wav#t=1.5,2", "long.wav#t=2.5"]
    assert set(train.column_names) == {*FEATURES, "start", "end"}
    assert corpus.splits["development"]["file"][:] == ["dev.wav"]
    check_disjoint(corpus)
    clips = [clip for _, clip in clips_of(train)]
    bounds = [(8000, 20000), (24000, 32000), (40000, 48000)]
    for clip, (first, last) in zip(clips, bounds, strict=True):
        np.testing.assert_array_equal(samples_of(clip), numbers(first, last))
        assert clip_duration_s(clip) == (last - first) / RATE
    whole = clip_fingerprint({"path": str(table.parent / "long.wav")})
    assert [name for name, _ in clips_of(train)] == [f"{whole}-{first}-{last}" for first, last in bounds]
    ((name, audio),) = clips_of(corpus.splits["development"])  # of whole files nothing changes
    assert (name, audio["path"]) == (clip_fingerprint(audio), str(table.parent / "dev.wav"))


def test_other_names_of_the_columns_and_tables_without_them(table):
    write(table, header=("file", "from", "to", *HEADER[3:]))
    corpus = load_table_corpus(table, **OPTIONS, start_column="from", end_column="to")
    assert times_of(corpus) == TIMES
    fails("has no column 'begin'", table, start_column="begin")
    fails(
        "has no column 'end' beside 'from': give start_column and end_column, or null for both",
        table,
        start_column="from",
    )
    write(table, ROWS[:1], ("file", "Start", "end time (s)", *HEADER[3:]))
    fails("has the columns 'Start' and 'end time .s.': if they are times .* give start_column='Start' and end", table)
    write(table, ROWS[3:], ("file", "Start", "End", *HEADER[3:]))
    corpus = load_table_corpus(table, **OPTIONS, start_column=None, end_column=None)
    assert corpus.splits["test1"].column_names == list(FEATURES)


BAD = {
    "no time": (("soon", "2"), "start is 'soon'; allowed are seconds from 0"),
    "backwards": (("2", "1"), "the segment of long.wav from start, 2 s, to end, 1 s, lasts less than 0.1 s"),
    "short": (("2.95", ""), "the segment of long.wav from start, 2.95 s, to end, 3 s, lasts less than 0.1 s"),
    "past the end": (("1", "3.06"), "end is 3.06 s, and long.wav ends at 3.000 s"),
    "milliseconds": (("500", "1250"), "end is 1250 s, and long.wav ends at 3.000 s"),
    "twice": (
        ("0.50", "00:00:01.25"),
        r"long.wav#t=0.5,1.25 is already in row 2; allowed is one row per file, or per",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_segment_names_row_and_file(table, fault):
    times, message = BAD[fault]
    write(table, [*ROWS, ("long.wav", *times, *ROWS[0][3:])])
    fails(rf"ratings.csv, row 7: {message}", table)
    assert load_table_corpus(table, on_error="skip", **OPTIONS).skipped == 1


def test_an_end_that_was_rounded_is_cut(table):
    write(table, [*ROWS[:2], ("long.wav", "2.5", "3.049", *ROWS[2][3:]), ("dev.wav", "0", "1.01", *ROWS[3][3:])])
    corpus = load_table_corpus(table, **OPTIONS)
    assert times_of(corpus) == {"train": TIMES["train"], "development": [(None, None)]}
    write(table, [*ROWS[:4], ("long.wav", "0", "3", *ROWS[0][3:]), ("long.wav", "", "", *ROWS[0][3:])])
    fails("row 7: long.wav is already in row 6", table)  # both are the whole file


def columns(audio):
    """The rows as typed columns, with timedeltas; `audio` makes a cell out of a file name."""
    made = {name: [row[index] for row in ROWS] for index, name in enumerate(HEADER)}
    times = {name: [parse_time(value, name) for value in made[name]] for name in ("start", "end")}
    numbers = {name: list(map(float, made[name])) for name in ("activation", "valence", "dominance")}
    deltas = {
        n: pa.array([None if t is None else round(t * 1e9) for t in v], pa.duration("ns")) for n, v in times.items()
    }
    return {**made, **numbers, **deltas, "file": [audio(name) for name in made["file"]]}


@pytest.mark.parametrize("kind", ["paths", "embedded", "saved"])
def test_parquet_and_saved_datasets(table, tmp_path, kind):
    cell = str if kind == "paths" else lambda name: {"bytes": (tmp_path / name).read_bytes(), "path": name}
    made = pa.table(columns(cell))
    source = tmp_path / "ratings.parquet"
    pq.write_table(made, source)
    if kind == "saved":
        source = tmp_path / "saved"
        Dataset.from_parquet(str(tmp_path / "ratings.parquet")).save_to_disk(source)
    corpus = load_table_corpus(source, **OPTIONS)
    assert times_of(corpus) == TIMES
    assert corpus.splits["test1"]["file"][:] == ["long.wav#t=2,2.4"]
    ((_, clip),) = clips_of(corpus.splits["test1"])
    np.testing.assert_array_equal(samples_of(clip), numbers(32000, 38400))
    check_disjoint(corpus)


def test_segments_that_overlap_are_not_in_two_splits(table):
    write(table, [*ROWS[:4], ("long.wav", "1.9", "2.4", *ROWS[4][3:])])
    match = r"1 clips have the same audio .*: train/long.wav#t=1.5,2 = test1/long.wav#t=1.9,2.4\."
    with pytest.raises(ValueError, match=match):
        check_disjoint(load_table_corpus(table, **OPTIONS))
    (table.parent / "copy.wav").write_bytes((table.parent / "long.wav").read_bytes())
    write(table, [*ROWS[:4], ("copy.wav", "", "", *ROWS[4][3:])])
    with pytest.raises(
        ValueError, match=r"train/long.wav#t=0.5,1.25 = train/.* = test1/copy.wav|test1/copy.wav = train"
    ):
        check_disjoint(load_table_corpus(table, **OPTIONS))


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "opus", "mp3"])
def test_only_the_segment_is_read_and_it_is_that_of_the_whole(tmp_path, format, monkeypatch):
    path = tmp_path / f"a.{format}"
    options = {"format": "OGG", "subtype": "OPUS"} if format == "opus" else {}
    noise = 0.1 * np.random.default_rng(0).standard_normal((20 * RATE, 2))
    soundfile.write(path, noise, RATE, **options)
    whole = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    read, decode = [], soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda file, n, **given: read.append(n) or decode(file, n, **given)
    )
    samples = Piece(str(path), "ab", 150_000, 166_000, RATE).load()["array"]
    assert read == [16000]
    np.testing.assert_allclose(samples, whole[150_000:166_000], atol=1e-3 if format == "opus" else 1e-6)


def test_a_recording_whose_header_has_no_length(table, tmp_path):
    """As a recorder leaves it that was cut off."""
    content = bytearray((tmp_path / "long.wav").read_bytes())
    content[4:8] = content[40:44] = bytes(4)
    (tmp_path / "long.wav").write_bytes(content)
    train = load_table_corpus(table, **OPTIONS).splits["train"]
    assert list(zip(train["start"], train["end"], strict=True)) == TIMES["train"]
    np.testing.assert_array_equal(samples_of(clips_of(train)[1][1]), numbers(24_000, 32_000))
    samples, _ = soundfile.read(io.BytesIO(cut(train[1]["audio"], 1.5, 2.0)), dtype="int16")
    np.testing.assert_array_equal(samples, numbers(24_000, 32_000))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_segment_that_is_cut_out_has_the_same_samples(tmp_path, subtype):
    noise = np.random.default_rng(0).uniform(-1, 1, 16_000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype)
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    written = io.BytesIO(cut({"path": str(tmp_path / "a.wav"), "bytes": None}, 0.25, None))
    assert soundfile.info(written).subtype == ("PCM_16" if subtype == "PCM_16" else "FLOAT")
    written.seek(0)
    np.testing.assert_array_equal(soundfile.read(written, dtype="float32")[0], whole[4000:])


def test_the_routes_of_a_run_read_the_segment(table, tmp_path):
    corpus = load_table_corpus(table, **OPTIONS)
    (splits,) = make_data_splits(corpus, None, 1, AugmentationSettings(join_probability=0), [])
    clips = dict(zip(splits.tables[TRAIN].files, splits.tables[TRAIN].fingerprints, strict=True))
    fingerprint = clips["long.wav#t=0.5,1.25"]
    expected = numbers(8000, 20000) / 32768
    (batch,) = load_batches([[splits.audio[fingerprint]]])
    np.testing.assert_array_equal(batch["input_values"][0].numpy(), expected.astype(np.float32))
    source = SourceClip(fingerprint, splits.audio[fingerprint])
    assert source.duration_s == 0.75
    np.testing.assert_array_equal(source.waveform(), expected)
    assert splits.copies[0].source == source and splits.copies[0].duration_s == pytest.approx(0.75, rel=0.2)
    # unlabelled speech out of a file that is tested on is left out, whatever stretch of it
    long = clip_fingerprint({"path": str(tmp_path / "long.wav")})
    pieces = [Piece("long.wav", f"{long}-0-8000", 0, 8000, RATE), Piece("other.wav", "ab-0-8000", 0, 8000, RATE)]
    spec = SystemSpec("student_kd", role="student", teacher="fusion", unlabelled=True)
    assert splits.training_table(spec, pieces).files[3:] == ["other.wav"]


def test_parquet_holds_the_segment_alone(table, tmp_path):
    write(table, [row[:5] + row[6:] for row in ROWS], HEADER[:5] + HEADER[6:])
    corpus = load_table_corpus(table, **OPTIONS)
    written = load_parquet_corpus(write_parquet(corpus, tmp_path / "parquet", licence="None."))
    assert "Speech rated for activation, valence from 1 to 7." in (tmp_path / "parquet" / "README.md").read_text()
    train = written.splits["train"]
    assert train["dominance"][:] == [None] * 3
    assert train.column_names == list(FEATURES)
    assert train["file"][:] == corpus.splits["train"]["file"][:] and train["activation"][:] == [2.0, 3.0, 4.0]
    samples, rate = soundfile.read(io.BytesIO(train[1]["audio"]["bytes"]), dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, numbers(24000, 32000))
    assert written.splits["development"][0]["audio"]["bytes"] == (tmp_path / "dev.wav").read_bytes()
