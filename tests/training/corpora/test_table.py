"""A table of your own as a corpus: CSV, Parquet, saved and Hub datasets, bad rows, splits by speaker, links."""

import csv
import logging
import re
import shutil
from pathlib import Path
from unittest import mock

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import Audio, Dataset, DatasetDict

from speech_affect_training.corpora.corpus import FEATURES, CorpusError, check_disjoint
from speech_affect_training.corpora.table import load_table_corpus


SAMPLING_RATE = 16_000
HEADER = ("wav", "arousal", "val", "dom", "who", "sex", "feeling", "words", "part")
ROWS = [
    ("a/1.wav", "1", "9", "5", "ann", "f", "happy", "hello, you", "train"),
    ("a/2.wav", "2.5", "3", "4", "ann", "f", "A", "", "train"),
    ("b/1.wav", "8", "2", "7.25", "bob", "m", "", "no", "dev"),
    ("c/1.wav", "4", "4", "4", "cyd", "", "Sadness", "why", "test"),
    ("c/2.wav", "", "NA", "", "", "", "", "", "Test3"),
]
ROLES = ("audio", "activation", "valence", "dominance", "speaker", "gender", "emotion", "transcript", "split")
COLUMNS = {f"{role}_column": name for role, name in zip(ROLES, HEADER, strict=True)} | {"label_range": (1, 9)}
DEALT = {key: value for key, value in COLUMNS.items() if key != "split_column"}


def write_csv(path, rows=ROWS, header=HEADER):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_parquet(folder, rows):
    pq.write_table(pa.table(rows), folder / "ratings.parquet")
    return folder / "ratings.parquet"


def fails(match, source, **changes):
    """Load a table that is not as it should be."""
    with pytest.raises(CorpusError, match=match):
        load_table_corpus(source, **{**COLUMNS, **changes})


@pytest.fixture
def table(tmp_path):
    """A folder of audio with ratings.csv in it."""
    for seed, row in enumerate(ROWS):
        path = tmp_path / row[0]
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(seed).uniform(-0.5, 0.5, int(0.3 * SAMPLING_RATE))
        soundfile.write(path, noise, SAMPLING_RATE, subtype="PCM_16")
    return write_csv(tmp_path / "ratings.csv")


def typed_rows(audio):
    """The four labelled rows with numbers as numbers; `audio` makes the cell out of the path."""
    rows = [row for row in ROWS if row[-1] != "Test3"]
    columns = {name: [row[index] for row in rows] for index, name in enumerate(HEADER)}
    columns["wav"] = [audio(path) for path in columns["wav"]]
    return {**columns, **{name: [float(value) for value in columns[name]] for name in ("arousal", "val", "dom")}}


def rows_of(corpus):
    return {name: [{**row, "audio": None} for row in split] for name, split in corpus.splits.items()}


def same_labels(corpus, expected):
    """Whether the rows are the expected ones, perhaps under other file names."""
    splits = (rows_of(corpus), expected)
    found, wanted = ({name: [{**row, "file": ""} for row in rows] for name, rows in some.items()} for some in splits)
    return found == wanted


def test_csv(table):
    corpus = load_table_corpus(table, **COLUMNS)
    assert (corpus.name, corpus.label_range, corpus.skipped) == ("ratings", (1.0, 9.0), 0)
    counts = {name: len(split) for name, split in corpus.splits.items()}
    assert counts == {"train": 2, "development": 1, "test1": 1, "test3": 1}
    train = corpus.splits["train"]
    assert train.features["audio"] == Audio(decode=False) and train.column_names == list(FEATURES)
    labels = [(1.0, 9.0, 5.0, "H", "ann", "f", "hello, you"), (2.5, 3.0, 4.0, "A", "ann", "f", None)]
    for row, name, expected in zip(train, ("a/1.wav", "a/2.wav"), labels, strict=True):
        audio = {"bytes": None, "path": str(table.parent / name)}
        assert list(row.values()) == [name, audio, *expected, []]
    (withheld,) = corpus.splits["test3"]
    assert list(withheld.values())[2:] == [None, None, None, None, "Unknown", "Unknown", None, []]
    assert corpus.splits["test1"][0]["emotion"] == "S"
    assert "by part" in corpus.note
    check_disjoint(corpus)


def test_optional_columns_may_be_left_out(table):
    left_out = ("speaker_column", "gender_column", "emotion_column", "transcript_column")
    row = load_table_corpus(table, **{**COLUMNS, **dict.fromkeys(left_out)}).splits["train"][0]
    assert (row["emotion"], row["speaker"], row["gender"], row["transcript"]) == (None, "Unknown", "Unknown", None)


# --- other sources give the same rows ---


@pytest.fixture
def labelled(table):
    """What `typed_rows` must be read as."""
    write_csv(table, ROWS[:4])
    return rows_of(load_table_corpus(table, **COLUMNS))


def embedded(folder):
    return lambda path: {"bytes": (folder / path).read_bytes(), "path": path.replace("/", "_")}


@pytest.mark.parametrize("as_audio", [False, True])
def test_parquet_with_paths(table, labelled, tmp_path, as_audio):
    rows = typed_rows(lambda path: {"bytes": None, "path": path} if as_audio else path)
    if as_audio:
        rows["wav"] = pa.array(rows["wav"], Audio.pa_type)
    parquet = write_parquet(tmp_path, rows)
    corpus = load_table_corpus(parquet, **COLUMNS)
    assert rows_of(corpus) == labelled
    assert corpus.splits["test1"][0]["audio"] == {"bytes": None, "path": str(tmp_path / "c/1.wav")}


def test_parquet_with_embedded_audio(table, labelled, tmp_path):
    parquet = write_parquet(tmp_path, typed_rows(embedded(tmp_path)))
    corpus = load_table_corpus(parquet, **COLUMNS)
    files = {name: [row["file"].replace("/", "_") for row in rows] for name, rows in labelled.items()}
    assert {name: split["file"][:] for name, split in corpus.splits.items()} == files
    assert [row["audio"]["bytes"] for row in corpus.splits["train"]] == [
        (tmp_path / path).read_bytes() for path in ("a/1.wav", "a/2.wav")
    ]
    assert corpus.splits["development"][0]["valence"] == 2.0
    check_disjoint(corpus)
    rows = typed_rows(embedded(tmp_path))
    rows["wav"][2]["bytes"] = rows["wav"][0]["bytes"]
    parquet = write_parquet(tmp_path, rows)
    with pytest.raises(ValueError, match=r"1 clips have the same audio .*: train/a_1.wav = development/b_1.wav"):
        check_disjoint(load_table_corpus(parquet, **COLUMNS))


def test_embedded_audio_without_a_name_and_without_bytes(table, tmp_path):
    rows = typed_rows(embedded(tmp_path))
    rows["wav"][0]["path"] = None
    rows["wav"][1]["bytes"] = None
    parquet = write_parquet(tmp_path, rows)
    fails("row 2: wav is empty; each row needs its audio", parquet)
    corpus = load_table_corpus(parquet, on_error="skip", **COLUMNS)
    assert (corpus.splits["train"]["file"][:], corpus.skipped) == (["00000001"], 1)


@pytest.mark.parametrize("decode", [True, False])
def test_folder_of_save_to_disk(table, labelled, tmp_path, decode):
    whole = Dataset.from_dict(typed_rows(lambda path: {"bytes": None, "path": str(tmp_path / path)}))
    whole = whole.cast_column("wav", Audio(SAMPLING_RATE, decode=decode))
    whole.save_to_disk(tmp_path / "one")
    shutil.rmtree(tmp_path / "a")  # the audio is embedded
    corpus = load_table_corpus(tmp_path / "one", **COLUMNS)
    files = [row["file"] for split in corpus.splits.values() for row in split]
    assert files == ["1.wav", "2.wav", "00000003_1.wav", "00000004_1.wav"]
    assert same_labels(corpus, labelled)
    parts = {"train": datasets.load_from_disk(tmp_path / "one").select([0, 1]), "test": whole.select([3])}
    DatasetDict(parts).save_to_disk(tmp_path / "several")
    corpus = load_table_corpus(tmp_path / "several", **DEALT)
    assert [row["file"] for split in corpus.splits.values() for row in split] == [*files[:2], "test_00000001_1.wav"]
    labelled.pop("development")
    assert same_labels(corpus, labelled)
    assert corpus.splits["test1"][0]["audio"]["bytes"] == (tmp_path / "c/1.wav").read_bytes()
    assert "splits as given" in corpus.note


def test_folder_of_parquet_files(table, labelled, tmp_path):
    folder = tmp_path / "hub"
    (folder / "data" / "test").mkdir(parents=True)
    rows = typed_rows(str)
    names = ("data/train-00000-of-00002", "data/train-00001-of-00002", "validation", "data/test/0000")
    for index, name in enumerate(names):
        one = pa.table({key: values[index : index + 1] for key, values in rows.items()})
        pq.write_table(one, f"{folder / name}.parquet")
    corpus = load_table_corpus(folder, audio_dir=tmp_path, **DEALT)
    assert rows_of(corpus) == labelled
    (folder / "more.parquet").write_bytes((folder / "validation.parquet").read_bytes())
    fails(r"hub \(\), row 1: the split is ''; allowed are train", folder, audio_dir=tmp_path, split_column=None)


def test_hub_dataset(table, labelled, tmp_path, monkeypatch):
    load_dataset = mock.Mock(return_value=DatasetDict(train=Dataset.from_dict(typed_rows(str))))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = load_table_corpus("someone/ratings", audio_dir=tmp_path, cache_dir=tmp_path / "c", **COLUMNS)
    load_dataset.assert_called_once_with("someone/ratings", cache_dir=tmp_path / "c")
    assert (rows_of(corpus), corpus.name) == (labelled, "ratings")
    fails("row 1: 'a/1.wav' is a path and there is no folder for it; give audio_dir", "someone/ratings")


def test_rows_of_a_split_are_named_with_it(tmp_path, table):
    whole, folder = Dataset.from_dict(typed_rows(str)), tmp_path / "d"
    DatasetDict(train=whole.select([0]), test=whole.select([1, 0])).save_to_disk(folder)
    message = r"d \(test\), row 2: a/1.wav is already in row 1 of train; allowed is one"
    fails(message, folder, audio_dir=tmp_path, split_column=None)


# --- bad rows ---

GOOD = ROWS[0]
BAD_ROWS = {
    "missing audio": (("a/9.wav", *GOOD[1:]), "there is no audio file 9.wav in"),
    "no audio": (("", *GOOD[1:]), "wav is empty; each row needs its audio"),
    "outside": (("../x.wav", *GOOD[1:]), "'../x.wav' leads out of "),
    "far outside": (("/etc/passwd", *GOOD[1:]), "'/etc/passwd' leads out of "),
    "not a number": ((GOOD[0], "calm", *GOOD[2:]), "arousal is 'calm'; allowed is a number from 1 to 9"),
    "infinite": ((*GOOD[:2], "inf", *GOOD[3:]), "val is 'inf'; allowed is a number from 1 to 9"),
    "emotion": ((*GOOD[:6], "meh", *GOOD[7:]), "feeling is 'meh'; allowed are A (anger), H (happiness)"),
    "split": ((*GOOD[:8], "rest"), "the split is 'rest'; allowed are train, training, dev"),
    "short": (GOOD[:5], "5 fields, but 9 columns"),
    "duplicate": (("b/../b/1.wav", *GOOD[1:]), "b/1.wav is already in row 3; allowed is one row per file"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_bad_row_raises_or_is_skipped(table, fault, caplog):
    bad, message = BAD_ROWS[fault]
    (table.parent.parent / "x.wav").write_bytes((table.parent / "a/1.wav").read_bytes())
    write_csv(table, [*ROWS[1:3], bad, *ROWS[3:]])
    fails(re.escape(f"{table}, row 4: ") + ".*" + re.escape(message), table)
    with caplog.at_level(logging.WARNING, logger="speech_affect_training.corpora.corpus"):
        corpus = load_table_corpus(table, on_error="skip", **COLUMNS)
    assert corpus.skipped == 1
    kept = [row["file"] for rows in corpus.splits.values() for row in rows]
    assert sorted(kept) == sorted(row[0] for row in ROWS[1:])
    (warning,) = [record.message for record in caplog.records]
    assert "Left out 1 rows" in warning and message in warning


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("val", [True] * 4, "row 1: val is True; allowed is a number from 1 to 9"),
        ("dom", [5.0, float("inf"), 5.0, 5.0], "row 2: dom is inf; allowed is a number from 1 to 9"),
        ("wav", [1, 2, 3, 4], r"wav is Value\('int64'\); it must be paths, or audio as"),
        ("wav", [{"bytes": b"", "path": "x/.."}] * 4, r"row 1: the file name '\.\.' leaves the corpus folder"),
    ],
)
def test_columns_of_parquet_that_cannot_be_used(table, tmp_path, column, values, message):
    fails(message, write_parquet(tmp_path, {**typed_rows(str), column: values}))


def test_nothing_left(table):
    write_csv(table, [BAD_ROWS["infinite"][0]])
    for columns in (COLUMNS, DEALT):
        fails(r"ratings.csv has no usable row \(1 were left out\)", table, **{**columns, "on_error": "skip"})


# --- what nobody rated ---


def test_one_rated_attribute_is_enough(table):
    header = ("wav", "aroused", *HEADER[4:])
    write_csv(table, [(row[0], row[1], *row[4:]) for row in ROWS], header)
    options = {role: column for role, column in COLUMNS.items() if not role.startswith(("val", "dom"))}
    corpus = load_table_corpus(table, **{**options, "activation_column": "aroused"})
    assert [(row["activation"], row["valence"], row["dominance"]) for row in corpus.splits["train"]] == [
        (1.0, None, None),
        (2.5, None, None),
    ]
    message = r"has no column 'activation'; .* Did you mean activation_column='aroused'\? If nobody rated activation, "
    with pytest.raises(CorpusError, match=message + "give activation_column=null"):
        load_table_corpus(table, **{key: value for key, value in options.items() if key != "activation_column"})
    write_csv(table, [(row[0], *row[4:]) for row in ROWS], ("wav", *HEADER[4:]))
    fails(r"ratings.csv has no column of ratings; it has wav, who.*Give activation_column, valence", table, **UNRATED)


UNRATED = {"activation_column": None, "valence_column": "valence", "dominance_column": "dominance"}


@pytest.mark.parametrize("name", ["power", "Power (1-9)", "dom_mean", "dominanz"])
def test_a_column_that_probably_has_the_ratings_is_asked_about(table, name):
    write_csv(table, header=(*HEADER[:3], name, *HEADER[4:]))
    message = re.escape(
        f"Did you mean dominance_column={name!r}? If nobody rated dominance, give dominance_column=null."
    )
    fails(message, table, dominance_column="dominance")
    corpus = load_table_corpus(table, **{**COLUMNS, "dominance_column": None})
    assert [row["dominance"] for row in corpus.splits["train"]] == [None, None]


def test_a_clip_without_valence(table):
    write_csv(table, [(*ROWS[0][:2], "NaN", *ROWS[0][3:]), *ROWS[1:]])
    first = load_table_corpus(table, **COLUMNS).splits["train"][0]
    assert (first["activation"], first["valence"], first["dominance"]) == (1.0, None, 5.0)


def test_audio_that_was_converted_is_found_by_its_stem(table, tmp_path):
    samples, rate = soundfile.read(tmp_path / "a/1.wav")
    (tmp_path / "a/1.wav").unlink()
    soundfile.write(tmp_path / "a/1.flac", samples, rate)
    row = load_table_corpus(table, **COLUMNS).splits["train"][0]
    assert (row["file"], row["audio"]["path"]) == ("a/1.wav", str(tmp_path / "a/1.flac"))
    soundfile.write(tmp_path / "a/1.ogg", samples, rate)
    fails("row 2: there is no audio file 1.wav in .*/a, but 1.flac and 1.ogg: keep one", table)


# --- columns and sources that are not there ---


@pytest.mark.parametrize(
    ("option", "name", "hint"),
    [
        ("activation_column", "arousl", " Did you mean activation_column='arousal'?"),
        ("audio_column", "WAV", " Did you mean audio_column='wav'?"),
        ("speaker_column", "speaker", ""),
        ("split_column", "qqqq", ""),
    ],
)
def test_missing_column(table, option, name, hint):
    match = re.escape(f"ratings.csv has no column {name!r}; it has {', '.join(HEADER)}.{hint}") + "$"
    for on_error in ("raise", "skip"):
        fails(match, table, **{"on_error": on_error, option: name})


def test_no_such_source(table, tmp_path):
    for source in (tmp_path / "no", "./no", "ratings_.csv", "a/b/c"):
        fails("there is no file or folder", source)
    fails(r"a/1.wav: a table must be one of .csv, .parquet, or a folder", tmp_path / "a/1.wav")
    fails(r"holds no dataset: looked for dataset_dict.json, state", tmp_path / "a")
    write_csv(table, [], [])
    table.write_text("")
    fails(r"ratings.csv is empty", table)


# --- splits by speaker ---


def test_table_without_splits(table):
    write_csv(table, ROWS[:4])
    corpus = load_table_corpus(table, seed=3, **DEALT)
    assert sorted(corpus.splits) == ["development", "test1", "train"]
    assert sum(len(split) for split in corpus.splits.values()) == 4
    check_disjoint(corpus)
    assert "dealt out by speaker, seed 3" in corpus.note
    assert rows_of(load_table_corpus(table, seed=3, **DEALT)) == rows_of(corpus)


def test_table_without_splits_needs_speakers(table):
    given, dealt = "is not split and split_column is not given.*give speaker_column", {"split_column": None}
    fails(given, table, speaker_column=None, **dealt)
    write_csv(table, [*ROWS[:2], (*ROWS[2][:4], "", *ROWS[2][5:]), ROWS[3]])
    fails("row 4: who is empty; splits by speaker need each speaker", table, **dealt)
    for rows, splits in ((ROWS[:3], ["test1", "train"]), (ROWS[:2], ["train"])):  # of two speakers, and of one
        assert sorted(load_table_corpus(write_csv(table, rows), **DEALT).splits) == splits


def test_embedded_audio_of_a_dealt_table(table, tmp_path):
    parquet = write_parquet(tmp_path, typed_rows(embedded(tmp_path)))
    corpus = load_table_corpus(parquet, **DEALT)
    for row in (row for split in corpus.splits.values() for row in split):
        assert row["audio"]["bytes"] == Path(tmp_path, row["file"].replace("_", "/")).read_bytes()


def test_a_column_that_occurs_twice(table):
    write_csv(table, [(*row, "x") for row in ROWS], (*HEADER, "val"))
    fails(r"ratings.csv has more than one column 'val'; give each its own name\.", table, on_error="skip")
    write_csv(table, [(*row, "x", "y") for row in ROWS], (*HEADER, "", ""))  # these are not read
    assert load_table_corpus(table, **COLUMNS).skipped == 0


def test_other_separators(table):
    table.write_text(table.read_text().replace(",", ";").replace("7.25", "7,25"))
    fails(r"it has wav;arousal;.* Its columns seem to be separated by ';'; save it", table, on_error="skip")


def test_a_message_stays_short(table):
    write_csv(table, [("x" * 100_000, *ROWS[0][1:])])
    fails(r"^.{,400}row 2: there is no audio file xxx.{,600} \.\.\. x*.* in .{,400}Correct it", table)
    write_csv(table, [], ["y" * 100_000])
    fails(r"^.{,400}has no column 'wav'; it has yyy.{,600} \.\.\. y*\.$", table)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet at all", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_broken_parquet_file(tmp_path, content):
    (tmp_path / "ratings.parquet").write_bytes(content)
    fails(r"ratings.parquet cannot be read as Parquet \(.*\); write it anew\.", tmp_path / "ratings.parquet")


@pytest.mark.parametrize("batch_rows", [1, 2, 3])
def test_batches_do_not_show(table, labelled, tmp_path, monkeypatch, batch_rows):
    sources = (table, write_parquet(tmp_path, typed_rows(embedded(tmp_path))))
    whole = [rows_of(load_table_corpus(source, **COLUMNS)) for source in sources]
    monkeypatch.setattr("speech_affect_training.corpora.table_batches.BATCH_ROWS", batch_rows)
    assert [rows_of(load_table_corpus(source, **COLUMNS)) for source in sources] == whole
    write_csv(table, [*ROWS[:4], ROWS[0]])
    fails(r"row 6: a/1.wav is already in row 2; allowed is one row per file", table)
