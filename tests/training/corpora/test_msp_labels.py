"""Label files of MSP-Podcast that are not as they should be: which row, and what to do."""

import logging
import re

import numpy as np
import pytest

from speech_affect_training.corpora import corpus as common
from speech_affect_training.corpora.clip_table import clip_table
from speech_affect_training.corpora.corpus import CorpusError
from speech_affect_training.corpora.msp_podcast import MspPodcast, load_msp_podcast, load_msp_podcast_corpus


def fails(match, folder, **options):
    """Load a release that is not as it should be."""
    with pytest.raises(CorpusError, match=match):
        load_msp_podcast(folder, **options)


GOOD = ("MSP-PODCAST_0002_0001.wav", "H", "5.5", "6.25", "5.0", "7", "Female", "Train")
BAD_ROWS = {
    "missing audio": (("MSP-PODCAST_9_9.wav", *GOOD[1:]), "there is no audio file MSP-PODCAST_9_9.wav"),
    "not a number": ((*GOOD[:2], "loud", *GOOD[3:]), "EmoAct is 'loud'; allowed is a number from 1 to 7"),
    "infinite": ((*GOOD[:3], "inf", *GOOD[4:]), "EmoVal is 'inf'; allowed is a number from 1 to 7"),
    "too low": ((*GOOD[:4], "0.99", *GOOD[5:]), "EmoDom is '0.99'; allowed is a number from 1 to 7"),
    "split": ((*GOOD[:7], "Trainn"), "Split_Set is 'Trainn'; allowed are Train, Validation, Development, Test1"),
    "emotion": ((GOOD[0], "Happy", *GOOD[2:]), "EmoClass is 'Happy'; allowed are A, H, S, N, U, F, D, C, B, K, O, X"),
    "parent": (("../secret.wav", *GOOD[1:]), "'../secret.wav' leaves the corpus folder; allowed is a path inside it"),
    "hidden parent": (("a/../../secret.wav", *GOOD[1:]), "leaves the corpus folder"),
    "backslash": (("..\\secret.wav", *GOOD[1:]), "leaves the corpus folder"),
    "absolute": (("/etc/secret.wav", *GOOD[1:]), "leaves the corpus folder"),
    "no name": (("", *GOOD[1:]), "leaves the corpus folder"),
    "short": (GOOD[:6], "6 fields, but 8 columns"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_bad_row_raises_or_is_skipped(make_release, fault, caplog):
    bad, message = BAD_ROWS[fault]
    release = make_release("bare")
    release.write_wav(release.root / "secret.wav", 1)
    rows = [row for row in release.rows() if row[0] != GOOD[0]]
    release.write_labels([*rows[:2], bad, *rows[2:]])
    fails(re.escape(f"{release.labels}, row 4: ") + ".*" + re.escape(message), release.root)
    fails("on_error='skip'", release.root, streaming=True)
    with caplog.at_level(logging.WARNING, logger=common.__name__):
        corpus = load_msp_podcast_corpus(release.root, on_error="skip")
    assert corpus.skipped == 1
    assert all("secret" not in row["audio"]["path"] for split in corpus.splits.values() for row in split)
    kept = [row["file"] for split in corpus.splits.values() for row in split]
    assert sorted(kept) == sorted(row[0] for row in rows)
    warnings = [record.message for record in caplog.records if record.name == common.__name__]
    assert len(warnings) == 1
    assert "Left out 1 rows" in warnings[0] and message in warnings[0]


@pytest.mark.parametrize(("layout", "copies"), [("bare", 1), ("json", 6)])
def test_duplicate_file(make_release, layout, copies):
    release = make_release(layout)
    release.write_labels([*release.rows(), release.rows()[0]])
    if layout == "json":  # a dict cannot hold a key twice, the file can
        text = release.labels.read_text()
        release.labels.write_text(text[:-1] + ", " + text[1:])
    fails(r"row \d+: MSP-PODCAST_0001_0008.wav is already in row \d+", release.root)
    assert load_msp_podcast_corpus(release.root, on_error="skip").skipped == copies


def test_skipped_rows_are_counted_by_reason_and_remembered(make_release, caplog):
    release = make_release("bare")
    bad = [BAD_ROWS[fault][0] for fault in ("missing audio", "infinite", "too low")]
    release.write_labels([*release.rows(), *bad[:1], *[(f"x{i}.wav", *GOOD[1:]) for i in range(8)]])
    with caplog.at_level(logging.WARNING, logger=common.__name__):
        first = load_msp_podcast_corpus(release.root, on_error="skip")
        again = load_msp_podcast_corpus(release.root, on_error="skip")  # out of the cache
    assert first.skipped == again.skipped == 9
    (warning,) = [record.message for record in caplog.records if record.name == common.__name__]
    assert "Left out 9 rows (9 missing audio)" in warning
    assert "x3.wav" in warning and "x4.wav" not in warning  # the first five rows only
    builder = MspPodcast(data_dir=release.root, on_error="skip")
    builder.as_streaming_dataset()
    assert builder.skipped == 9


def test_nothing_left(make_release):
    release = make_release("bare")
    release.write_labels([BAD_ROWS["infinite"][0]])
    fails(r"no usable row \(1 were left out\)", release.root, on_error="skip")


@pytest.mark.parametrize(("on_error", "column"), [("raise", 1), *(("skip", column) for column in (0, 1, 5, 6, 7))])
def test_missing_column_always_raises(make_release, on_error, column):
    release = make_release("bare")
    rows = [row[:column] + row[column + 1 :] for row in release.rows()]
    names = release.columns[:column] + release.columns[column + 1 :]
    release.write_labels(rows, names)
    fails(f"labels_consensus.csv has no {release.columns[column]}; it has {names[0]}", release.root, on_error=on_error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", " is not JSON"),
        ("[1]", " holds no JSON object"),
        ('{"a.wav": {"EmoClass": "N"}}', r", row 1 \(a.wav\) has no .* and no EmoAct and no"),
    ],
)
def test_broken_json(make_release, text, message):
    release = make_release("json")
    release.labels.write_text(text)
    fails(f"labels_consensus.json{message}", release.root, on_error="skip")


@pytest.mark.parametrize(
    ("layout", "old", "new", "message"),
    [
        ("1.9", "2; Other-Curious; ; A:3.400000", "2; Other-Curious; ; A:9", "EmoAct is '9'"),
        ("json", "}}", '}, "a.wav": [1]}', "the entry of a.wav is not a JSON object"),
        ("1.6", "WORKER00000002,Other-Curious,,3.400000", "WORKER00000002,Other-Curious,,x", "EmoAct is 'x'"),
        ("1.6", "WORKER00000002,Other-Curious", ",Other-Curious", "the grader has no name"),
        ("1.8", "A:3.400000; V:4.000000", "A:3.400000", "does not end in 'A:1.0; V:4.0; D:1.0;'"),
        ("1.11", '"3.400000"', '"x"', "EmoAct is 'x'"),
    ],
)
def test_bad_grade_or_line(make_release, layout, old, new, message):
    release = make_release(layout)
    names = ("labels_detailed.*", "labels.txt")
    grades = next((path for name in names for path in release.labels.parent.glob(name)), release.labels)
    text = grades.read_text()
    assert old in text
    grades.write_text(text.replace(old, new))
    fails(f"{re.escape(str(grades))}, row [0-9]+: .*{re.escape(message)}", release.root)
    corpus = load_msp_podcast_corpus(release.root, on_error="skip")
    assert corpus.skipped == 1
    assert layout == "json" or len(corpus.splits["test1"][0]["graders"]) == 1


def test_missing_columns_of_grades(make_release):
    release = make_release("1.6")
    release.write_csv(release.labels.with_name("labels_detailed.csv"), ("FileName", "Comment"), [("a.wav", "b")])
    fails(r"has no Workers and no EmoAct and no EmoVal.*; it has FileName, Comment", release.root, on_error="skip")


def ratings_of(corpus):
    return {
        row["file"]: tuple(row[d] for d in ("activation", "valence", "dominance"))
        for rows in corpus.splits.values()
        for row in rows
    }


@pytest.mark.parametrize("layout", ["bare", "json"])
def test_what_nobody_rated_is_empty(make_release, layout):
    """No dominance at all, and of one clip nothing but activation."""
    release = make_release(layout)
    first, *rest = release.rows()
    whole = ratings_of(load_msp_podcast_corpus(release.root))
    rows = [(*first[:3], "", *first[4:]), *rest]
    without = release.columns[:4] + release.columns[5:]
    release.write_labels([row[:4] + row[5:] for row in rows], without)
    found = ratings_of(load_msp_podcast_corpus(release.root))
    expected = {file: (activation, valence, None) for file, (activation, valence, _) in whole.items()}
    assert found == {**expected, first[0]: (whole[first[0]][0], None, None)}
    names = [name for name in without if name not in ("EmoAct", "EmoVal")]
    release.write_labels([row[:2] + row[5:] for row in rows], names)
    fails("has no EmoAct and no EmoVal and no EmoDom", release.root)


@pytest.mark.parametrize("layout", ["1.6", "1.11"])
def test_graders_of_one_attribute_and_a_grader_twice(make_release, layout):
    release = make_release(layout)
    grades = next(release.labels.parent.glob("labels_detailed.*"))
    file = "MSP-PODCAST_0001_0008.wav"
    if grades.suffix == ".csv":
        release.write_csv(
            grades, ("FileName", "Workers", "EmoVal"), [(file, "W1", 2), (file, "W1", "3"), (file, "W2", "")]
        )
    else:
        grades.write_text(f'{{"{file}": {{"W1": {{"EmoVal": 2}}, "W1": {{"EmoVal": "3"}}, "W2": {{"EmoVal": ""}}}}}}')
    (row,) = load_msp_podcast_corpus(release.root).splits["test1"]
    assert [(grade["worker"], grade["valence"]) for grade in row["graders"]] == [("W1", 2), ("W1", 3), ("W2", None)]
    assert all(grade[name] is None for grade in row["graders"] for name in ("activation", "dominance", "emotion"))
    table = clip_table(load_msp_podcast_corpus(release.root).splits["test1"], ["ab"])
    np.testing.assert_array_equal(table.rating_variances, [[np.nan, 0.25, np.nan]])
    assert table.votes == [()]


def test_grades_json_that_is_no_object(make_release):
    release = make_release("1.11")
    path = release.labels.with_name("labels_detailed.json")
    path.write_text('{"a.wav": "b"}')
    fails(r"row 1: the entry of a.wav is not a JSON object of workers", release.root)
    path.write_text('{"a.wav": {"WORKER1": {"EmoClass_Major": "Angry"}}}')
    fails(r"row 1 \(a.wav, WORKER1\) has no EmoAct and no EmoVal", release.root, on_error="skip")


def test_partitions(make_release, caplog):
    release = make_release("2.0")
    path = release.root / "Partitions.txt"
    good = path.read_text()
    path.write_text(good + "\n\nTrain MSP-PODCAST_0009_0009.wav\n")
    fails(r"Partitions.txt, row 9: .* is not of the form 'Train; MSP", release.root)
    path.write_text(good + "Train; MSP-PODCAST_0009_0009.wav\n")
    with caplog.at_level(logging.WARNING, logger="speech_affect_training.corpora.msp_podcast"):
        assert len(load_msp_podcast(release.root)["train"]) == 2
    assert "1 files listed in" in caplog.text


def test_withheld_file_without_audio(make_release):
    release = make_release("2.0")
    (release.root / "Audios" / release.withheld).unlink()
    fails(r"Partitions.txt, row 6: there is no audio file MSP-PODCAST_test3_0001.wav", release.root)
    corpus = load_msp_podcast_corpus(release.root, on_error="skip")
    assert corpus.skipped == 1 and "test3" not in corpus.splits
