import logging
import re
import shutil
from pathlib import Path

import datasets
import pytest

from speech_affect_training.corpora import corpus as common
from speech_affect_training.corpora.corpus import FEATURES, BadRows, Corpus, CorpusError, check_disjoint
from speech_affect_training.corpora.msp_podcast import MspPodcast, load_msp_podcast, load_msp_podcast_corpus


REAL = (Path(__file__).resolve().parents[3] / "../shared/corpora/emodb-msp").resolve()

COUNTS = {"train": 2, "development": 1, "test1": 1, "test2": 1}
NEUTRAL = [
    {
        "worker": "WORKER00000001",
        "activation": 1.0,
        "valence": 4.0,
        "dominance": 1.0,
        "emotion": "Neutral",
        "emotion_secondary": "Concerned",
    },
    {
        "worker": "WORKER00000002",
        "activation": 3.4,
        "valence": 4.0,
        "dominance": 4.2,
        "emotion": "Other-Curious",
        "emotion_secondary": None,
    },
]


def rows_of(splits):
    return {name: list(split) for name, split in splits.items()}


def expected_test1(release):
    layout = release.layout
    name = "MSP-PODCAST_0001_0008.wav"
    return {
        "file": name,
        "audio": {"bytes": None, "path": str(release.root / layout.audio / name)},
        "activation": 2.2,
        "valence": 4.0,
        "dominance": 2.6,
        "emotion": "N",
        "speaker": "30",
        "gender": "Male",
        "transcript": "well I was there" if layout.transcripts else None,
        "graders": NEUTRAL if layout.grades or layout.labels.endswith(".txt") else [],
    }


@pytest.mark.parametrize("layout", ["1.3", "1.6", "1.8", "1.9", "1.11", "2.0", "json", "bare"])
def test_every_layout_gives_the_same_rows(make_release, layout):
    release = make_release(layout)
    splits = load_msp_podcast(release.root)
    withheld = {"test3": 1} if release.layout.withheld else {}
    assert {name: len(split) for name, split in splits.items()} == {**COUNTS, **withheld}
    assert list(splits["test1"]) == [expected_test1(release)]
    first, second = splits["train"]
    assert (first["file"], first["speaker"], first["gender"]) == ("MSP-PODCAST_0002_0001.wav", "7", "Female")
    assert (first["activation"], first["valence"], first["dominance"], first["emotion"]) == (5.5, 6.25, 5.0, "H")
    assert (second["speaker"], second["gender"], second["transcript"]) == ("Unknown", "Unknown", None)
    assert (second["activation"], second["valence"], second["emotion"]) == (1.0, 7.0, "X")
    if first["graders"]:
        assert [grader["emotion_secondary"] for grader in first["graders"]] == ["Amused,Excited"]
    assert second["graders"] == []
    if withheld:
        row = splits["test3"][0]
        assert row["file"] == release.withheld
        labels = ("activation", "valence", "dominance", "emotion", "transcript", "speaker", "gender")
        assert [row[label] for label in labels] == [None] * 5 + ["Unknown"] * 2


def test_features_and_one_split(make_release):
    train = load_msp_podcast(make_release("1.11").root, split="train")
    assert train.features["audio"] == datasets.Audio(decode=False)
    assert {**train.features, "audio": FEATURES["audio"]} == dict(FEATURES)
    assert train.column_names == list(FEATURES)


def test_streaming_gives_the_rows_of_the_cache(make_release, tmp_path):
    release = make_release("2.0")
    streamed = load_msp_podcast(release.root, streaming=True)
    assert isinstance(streamed, datasets.IterableDatasetDict)
    assert rows_of(streamed) == rows_of(load_msp_podcast(release.root))
    assert streamed["train"].num_shards == 2
    shards = [list(streamed["train"].shard(2, index)) for index in range(2)]
    assert [row["file"] for shard in shards for row in shard] == [row["file"] for row in streamed["train"]]


@pytest.mark.parametrize("streaming", [False, True])
def test_one_split_and_a_part_of_it(make_release, streaming):
    release = make_release("1.11")
    everything = load_msp_podcast(release.root)
    for split, rows in everything.items():
        assert list(load_msp_podcast(release.root, split=split, streaming=streaming)) == list(rows)
    assert load_msp_podcast(release.root, split="train[1:]")["file"] == ["MSP-PODCAST_0002_0002.wav"]
    with pytest.raises(ValueError, match="validation"):
        load_msp_podcast(release.root, split="validation", streaming=streaming)


def test_processes_give_the_same_rows(make_release, tmp_path):
    release = make_release("1.11")
    alone = load_msp_podcast(release.root, cache_dir=tmp_path / "alone")
    shared = load_msp_podcast(release.root, cache_dir=tmp_path / "shared", num_proc=2)
    assert rows_of(alone) == rows_of(shared)


def test_corpus(make_release):
    release = make_release("1.11", "MSP-PODCAST-Publish-1.11")
    corpus = load_msp_podcast_corpus(release.root)
    assert isinstance(corpus, Corpus)
    assert (corpus.name, corpus.label_range, corpus.skipped) == ("MSP-PODCAST-Publish-1.11", (1.0, 7.0), 0)
    assert list(corpus.splits) == ["train", "development", "test1", "test2", "test3"]
    assert "Labels/labels_consensus.csv" in corpus.note
    check_disjoint(corpus)


def test_byte_order_mark_and_other_column_order(make_release):
    release = make_release("1.11")
    release.write_labels([row[::-1] for row in release.rows()], release.columns[::-1])
    release.labels.write_bytes(b"\xef\xbb\xbf" + release.labels.read_bytes())
    assert list(load_msp_podcast(release.root)["test1"]) == [expected_test1(release)]


def test_workers_own_words_may_hold_semicolons_and_ratings_may_be_missing(make_release):
    release = make_release("1.8")
    details = release.labels.with_name("labels_detailed.csv")
    name = release.turns[0][0]
    rows = [
        (name, "WORKER1; Other-tired; really, so; Sad; A:1.000000; V:NA; D:2.000000;"),
        (name, "WORKER2; Sad; A:3; V:4; D:5;"),
    ]
    release.write_csv(details, ("FileName", "EmoDetail"), rows)
    first, second = load_msp_podcast(release.root)["test1"][0]["graders"]
    assert first == {
        "worker": "WORKER1",
        "activation": 1.0,
        "valence": None,
        "dominance": 2.0,
        "emotion": "Other-tired",
        "emotion_secondary": "really, so; Sad",
    }
    assert (second["emotion"], second["emotion_secondary"], second["dominance"]) == ("Sad", None, 5.0)


# --- an older release out of a newer download ---


@pytest.fixture
def with_previous(make_release):
    """Release 1.11 that also holds the labels of 1.6, one file of which was removed since."""
    release = make_release("1.11")
    previous = release.root / "Previous_releases_information"
    labels = previous / "previous_releases_info/v1.6/label/labels_concensus.csv"
    kept = ("MSP-PODCAST_0002_0001.wav", "H", "5.0", "6.0", "5.0", "7", "Female", "Train")
    removed = ("MSP-PODCAST_0009_0009.wav", "S", "2.0", "2.0", "3.0", "8", "Male", "Validation")
    release.write_csv(labels, release.columns, [kept, removed])
    for version in ("1.3", "1.6"):
        release.write_wav(previous / f"files_removed_from_prev_versions/v{version}_removed_files/{removed[0]}", 9)
    return release


@pytest.mark.parametrize("prefix", ["", "Previous_releases_information/"])
def test_older_release(with_previous, prefix):
    labels_file = prefix + "previous_releases_info/v1.6/label/labels_concensus.csv"
    splits = load_msp_podcast(with_previous.root, labels_file=labels_file)
    assert {name: len(split) for name, split in splits.items()} == {"train": 1, "development": 1}
    train, development = splits["train"][0], splits["development"][0]
    assert (train["activation"], train["audio"]["path"]) == (5.0, str(with_previous.root / "Audios" / train["file"]))
    assert (train["transcript"], train["graders"]) == ("that is great", [])
    # the folder of the same version, not the first one
    assert "v1.6_removed_files" in development["audio"]["path"]
    assert len(load_msp_podcast(with_previous.root)) == 5  # the release itself is not disturbed


def test_older_release_that_is_not_there(with_previous):
    match = r"labels_file 'v1.3/labels.txt' is not in .*previous_releases_info/v1.6/label/labels_concensus.csv"
    with pytest.raises(CorpusError, match=match):
        load_msp_podcast(with_previous.root, labels_file="v1.3/labels.txt")
    for outside in ("../../etc/labels.txt", "/etc/labels.txt"):
        with pytest.raises(CorpusError, match=r"labels_file: .*leaves the corpus folder"):
            load_msp_podcast(with_previous.root, labels_file=outside)


def test_removed_audio_is_only_for_older_releases(with_previous):
    row = ("MSP-PODCAST_0009_0009.wav", "S", "2.0", "2.0", "3.0", "8", "Male", "Train")
    with_previous.write_labels([*with_previous.rows(), row])
    with pytest.raises(CorpusError, match=r"row 8: there is no audio file MSP-PODCAST_0009_0009.wav"):
        load_msp_podcast(with_previous.root)


# --- bad rows ---

GOOD = ("MSP-PODCAST_0002_0001.wav", "H", "5.5", "6.25", "5.0", "7", "Female", "Train")
BAD_ROWS = {
    "missing audio": (("MSP-PODCAST_9_9.wav", *GOOD[1:]), "there is no audio file MSP-PODCAST_9_9.wav"),
    "not a number": ((*GOOD[:2], "loud", *GOOD[3:]), "EmoAct is 'loud'; allowed is a number from 1 to 7"),
    "NaN": ((*GOOD[:3], "nan", *GOOD[4:]), "EmoVal is 'nan'; allowed is a number from 1 to 7"),
    "empty": ((*GOOD[:3], "", *GOOD[4:]), "EmoVal is ''; allowed is a number from 1 to 7"),
    "too low": ((*GOOD[:4], "0.99", *GOOD[5:]), "EmoDom is '0.99'; allowed is a number from 1 to 7"),
    "too high": ((*GOOD[:2], "7.01", *GOOD[3:]), "EmoAct is '7.01'; allowed is a number from 1 to 7"),
    "infinite": ((*GOOD[:2], "inf", *GOOD[3:]), "EmoAct is 'inf'"),
    "split": ((*GOOD[:7], "Trainn"), "Split_Set is 'Trainn'; allowed are Train, Validation, Development, Test1"),
    "emotion": ((GOOD[0], "Happy", *GOOD[2:]), "EmoClass is 'Happy'; allowed are A, H, S, N, U, F, D, C, O, X"),
    "parent": (("../secret.wav", *GOOD[1:]), "'../secret.wav' leaves the corpus folder; allowed is a path inside it"),
    "hidden parent": (("a/../../secret.wav", *GOOD[1:]), "leaves the corpus folder"),
    "backslash": (("..\\secret.wav", *GOOD[1:]), "leaves the corpus folder"),
    "absolute": (("/etc/secret.wav", *GOOD[1:]), "leaves the corpus folder"),
    "no name": (("", *GOOD[1:]), "leaves the corpus folder"),
    "short": (GOOD[:6], "6 fields, but 8 columns"),
    "half withheld": ((*GOOD[:2], "", "", "3", "7", "Female", "Test3"), "EmoAct is ''"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_bad_row_raises_or_is_skipped(make_release, fault, caplog):
    bad, message = BAD_ROWS[fault]
    release = make_release("bare")
    release.write_wav(release.root / "secret.wav", 1)
    rows = [row for row in release.rows() if row[0] != GOOD[0]]
    release.write_labels([*rows[:2], bad, *rows[2:]])
    with pytest.raises(CorpusError, match=re.escape(f"{release.labels}, row 4: ") + ".*" + re.escape(message)):
        load_msp_podcast(release.root)
    with pytest.raises(CorpusError, match="on_error='skip'"):
        load_msp_podcast(release.root, streaming=True)
    with caplog.at_level(logging.WARNING, logger=common.__name__):
        corpus = load_msp_podcast_corpus(release.root, on_error="skip")
    assert corpus.skipped == 1
    kept = [row["file"] for split in corpus.splits.values() for row in split]
    assert sorted(kept) == sorted(row[0] for row in rows)
    warnings = [record.message for record in caplog.records if record.name == common.__name__]
    assert len(warnings) == 1
    assert "Left out 1 rows" in warnings[0] and message in warnings[0]


@pytest.mark.parametrize("layout", ["bare", "1.3", "json"])
def test_duplicate_file(make_release, layout):
    release = make_release(layout)
    if layout == "json":  # a dict cannot hold a key twice, the file can
        text = release.labels.read_text()
        release.labels.write_text(text[:-1] + ", " + text[1:])
        copies = len(release.rows())
    else:
        release.write_labels([*release.rows(), release.rows()[0]])
        copies = 1
    with pytest.raises(CorpusError, match=r"row \d+: MSP-PODCAST_0001_0008.wav is already in row \d+"):
        load_msp_podcast(release.root)
    assert load_msp_podcast_corpus(release.root, on_error="skip").skipped == copies


def test_skipped_rows_are_counted_by_reason_and_remembered(make_release, caplog):
    release = make_release("bare")
    bad = [BAD_ROWS[fault][0] for fault in ("missing audio", "NaN", "too low")]
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
    release.write_labels([BAD_ROWS["NaN"][0]])
    with pytest.raises(CorpusError, match=r"no usable row \(1 were left out\)"):
        load_msp_podcast(release.root, on_error="skip")


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("column", range(8))
def test_missing_column_always_raises(make_release, on_error, column):
    release = make_release("bare")
    rows = [row[:column] + row[column + 1 :] for row in release.rows()]
    names = release.columns[:column] + release.columns[column + 1 :]
    release.write_labels(rows, names)
    with pytest.raises(CorpusError, match=f"labels_consensus.csv has no {release.columns[column]}; it has {names[0]}"):
        load_msp_podcast(release.root, on_error=on_error)


def test_missing_key_in_json(make_release):
    release = make_release("json")
    release.write_labels([row[:-1] for row in release.rows()], release.columns[:-1])
    with pytest.raises(
        CorpusError, match=r"labels_consensus.json, row 1 \(MSP-PODCAST_0001_0008.wav\) has no Split_Set"
    ):
        load_msp_podcast(release.root, on_error="skip")


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[1]", "holds no JSON object")])
def test_broken_json(make_release, text, message):
    release = make_release("json")
    release.labels.write_text(text)
    with pytest.raises(CorpusError, match=f"labels_consensus.json {message}"):
        load_msp_podcast(release.root, on_error="skip")


def test_json_entry_that_is_no_object(make_release):
    release = make_release("json")
    release.labels.write_text(release.labels.read_text()[:-1] + ', "a.wav": [1]}')
    with pytest.raises(CorpusError, match=r"row 7: the entry of a.wav is not a JSON object"):
        load_msp_podcast(release.root)
    assert load_msp_podcast_corpus(release.root, on_error="skip").skipped == 1


@pytest.mark.parametrize(
    ("layout", "old", "new", "message"),
    [
        (
            "1.3",
            "WORKER00000002; Other-Curious; ; A:3.400000",
            "WORKER00000002; Other-Curious; ; A:9",
            "EmoAct is '9'",
        ),
        ("1.3", "H; A:5.5; V:6.25; D:5.0;", "H; A:5.5; V:6.25;", "does not end in 'A:1.0; V:4.0; D:1.0;'"),
        ("1.3", "; H; A:5.5", "; H; I; A:5.5", "is not of the form 'FILE.wav; N; A:2.2; V:4.0; D:2.6;'"),
        ("1.6", "WORKER00000002,Other-Curious,,3.400000", "WORKER00000002,Other-Curious,,x", "EmoAct is 'x'"),
        ("1.6", "WORKER00000002,Other-Curious", ",Other-Curious", "the grader has no name"),
        ("1.8", "A:3.400000; V:4.000000", "A:3.400000", "does not end in"),
        ("1.11", '"3.400000"', '"x"', "EmoAct is 'x'"),
    ],
)
def test_bad_grade_or_line(make_release, layout, old, new, message):
    release = make_release(layout)
    grades = release.labels if layout == "1.3" else next(release.labels.parent.glob("labels_detailed.*"))
    text = grades.read_text()
    assert old in text
    grades.write_text(text.replace(old, new))
    with pytest.raises(CorpusError, match=f"{re.escape(str(grades))}, row [0-9]+: .*{re.escape(message)}"):
        load_msp_podcast(release.root)
    corpus = load_msp_podcast_corpus(release.root, on_error="skip")
    assert corpus.skipped == 1
    assert len(corpus.splits["test1"][0]["graders"]) == (2 if "H; A" in old else 1)


def test_missing_columns_of_grades(make_release):
    release = make_release("1.6")
    release.write_csv(release.labels.with_name("labels_detailed.csv"), ("FileName", "Comment"), [("a.wav", "b")])
    with pytest.raises(CorpusError, match=r"has no Workers and no EmoClass_Major.*; it has FileName, Comment"):
        load_msp_podcast(release.root, on_error="skip")


def test_grades_json_that_is_no_object(make_release):
    release = make_release("1.11")
    path = release.labels.with_name("labels_detailed.json")
    path.write_text('{"a.wav": "b"}')
    with pytest.raises(CorpusError, match=r"row 1: the entry of a.wav is not a JSON object of workers"):
        load_msp_podcast(release.root)
    path.write_text('{"a.wav": {"WORKER1": {"EmoAct": "1"}}}')
    with pytest.raises(CorpusError, match=r"row 1 \(a.wav, WORKER1\) has no EmoClass_Major"):
        load_msp_podcast(release.root, on_error="skip")


def test_partitions(make_release, caplog):
    release = make_release("1.3")
    path = release.root / "Partitions.txt"
    good = path.read_text()
    path.write_text(good.replace("Train; MSP-PODCAST_0002_0001.wav\n", ""))
    with pytest.raises(CorpusError, match=r"labels.txt, row 5: MSP-PODCAST_0002_0001.wav is not listed in Partitions"):
        load_msp_podcast(release.root)
    path.write_text(good + "\n\nTrain MSP-PODCAST_0009_0009.wav\n")
    with pytest.raises(CorpusError, match=r"Partitions.txt, row 8: .* is not of the form 'Train; MSP"):
        load_msp_podcast(release.root)
    path.write_text(good.replace("Test2", "Test7"))
    with pytest.raises(CorpusError, match=r"Split_Set is 'Test7'"):
        load_msp_podcast(release.root)
    path.write_text(good + "Train; MSP-PODCAST_0009_0009.wav\n")
    with caplog.at_level(logging.WARNING, logger="speech_affect_training.corpora.msp_podcast"):
        assert len(load_msp_podcast(release.root)["train"]) == 2
    assert "1 files listed in" in caplog.text
    path.unlink()
    with pytest.raises(CorpusError, match=r"labels.txt gives no splits, and Partitions.txt is not in"):
        load_msp_podcast(release.root, on_error="skip")


def test_withheld_file_without_audio(make_release):
    release = make_release("2.0")
    (release.root / "Audios" / release.withheld).unlink()
    with pytest.raises(CorpusError, match=r"Partitions.txt, row 6: there is no audio file MSP-PODCAST_test3_0001.wav"):
        load_msp_podcast(release.root)
    corpus = load_msp_podcast_corpus(release.root, on_error="skip")
    assert corpus.skipped == 1 and "test3" not in corpus.splits


# --- what is no release ---


def test_not_a_release(make_release, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="not an MSP-Podcast release: it has not a label file and not an audio"):
        load_msp_podcast(tmp_path / "empty")
    with pytest.raises(CorpusError, match=r"labels_concensus.csv.*labels.txt.*Audios or Audio.*holds: nothing"):
        load_msp_podcast(tmp_path / "empty", on_error="skip")
    release = make_release("1.11")
    with pytest.raises(CorpusError, match=r"The folder holds: .*release"):
        load_msp_podcast(tmp_path)
    with pytest.raises(CorpusError, match="is not a folder"):
        load_msp_podcast(release.labels)
    release.labels.unlink()
    with pytest.raises(CorpusError, match=r"it has not a label file\. "):
        load_msp_podcast(release.root, on_error="skip")
    release.write_labels(release.rows())
    shutil.rmtree(release.root / "Audios")
    with pytest.raises(CorpusError, match=r"it has not an audio folder\. "):
        load_msp_podcast(release.root)


def test_empty_label_file_and_wrong_option(make_release):
    release = make_release("bare")
    with pytest.raises(CorpusError, match="on_error is 'ignore'; allowed are 'raise' and 'skip'"):
        load_msp_podcast(release.root, on_error="ignore")
    release.labels.write_text("")
    with pytest.raises(CorpusError, match=r"labels_consensus.csv is empty"):
        load_msp_podcast(release.root)


# --- the cache ---


def test_changed_files_are_noticed(make_release):
    release = make_release("1.11")
    assert load_msp_podcast(release.root)["test1"][0]["activation"] == 2.2
    release.write_labels([(row[0], row[1], "3.3", *row[3:]) if row[-1] == "Test1" else row for row in release.rows()])
    assert load_msp_podcast(release.root)["test1"][0]["activation"] == 3.3
    (release.root / "Transcripts/MSP-PODCAST_0001_0008.txt").write_text("no I was not")
    assert load_msp_podcast(release.root)["test1"][0]["transcript"] == "no I was not"
    audio = release.root / "Audios/MSP-PODCAST_0001_0008.wav"
    audio.unlink()
    assert "test1" not in load_msp_podcast(release.root, on_error="skip")
    release.write_wav(audio, 0)
    assert "test1" in load_msp_podcast(release.root, on_error="skip")


def test_relative_folders_do_not_collide(make_release, tmp_path, monkeypatch):
    make_release("1.11", "a/release")
    other = make_release("1.11", "b/release")
    monkeypatch.chdir(tmp_path / "a")
    ours = load_msp_podcast("release", split="test1")[0]["audio"]["path"]
    assert MspPodcast(data_dir="release").config.data_dir == str(tmp_path / "a/release")
    monkeypatch.chdir(tmp_path / "b")
    theirs = load_msp_podcast("release", split="test1")[0]["audio"]["path"]
    assert ours == str(tmp_path / "a/release/Audios/MSP-PODCAST_0001_0008.wav")
    assert theirs == str(other.root / "Audios/MSP-PODCAST_0001_0008.wav")


def test_audio_beside_the_release_is_never_reached(make_release):
    """The same name as in BAD_ROWS["parent"], which exists on disk, stays out of every row."""
    release = make_release("bare")
    release.write_wav(release.root / "secret.wav", 1)
    release.write_labels([*release.rows(), BAD_ROWS["parent"][0]])
    splits = load_msp_podcast(release.root, on_error="skip")
    assert all("secret" not in row["audio"]["path"] for split in splits.values() for row in split)


# --- speakers and audio in more than one split ---


def test_check_disjoint_names_speakers(make_release):
    release = make_release("bare")
    rows = release.rows()
    rows[3] = (*rows[3][:5], "7", *rows[3][6:])  # speaker 7 is in train
    rows[4] = (*rows[4][:5], "Unknown", *rows[4][6:])  # Unknown is in train too, and does not count
    release.write_labels(rows)
    with pytest.raises(ValueError, match=r"1 speakers occur in more than one split: 7 in train and development\."):
        check_disjoint(load_msp_podcast_corpus(release.root))


def test_check_disjoint_lets_test_splits_share_speakers(make_corpus):
    corpus = make_corpus({"train": [{"file": "a", "speaker": "1"}], "test1": [{"file": "b", "speaker": "2"}]})
    corpus.splits["test2"] = make_corpus({"test2": [{"file": "c", "speaker": "2"}]}).splits["test2"]
    check_disjoint(corpus)
    corpus.splits["test2"] = make_corpus({"test2": [{"file": "c", "speaker": "1"}]}).splits["test2"]
    with pytest.raises(ValueError, match="1 in train and test2"):
        check_disjoint(corpus)


def test_check_disjoint_names_copies(make_release):
    release = make_release("bare")
    audio = release.root / "AUDIOS"
    corpus = load_msp_podcast_corpus(release.root)
    check_disjoint(corpus)
    shutil.copy(audio / "MSP-PODCAST_0002_0001.wav", audio / "MSP-PODCAST_0002_0002.wav")  # within train: allowed
    check_disjoint(corpus)
    shutil.copy(audio / "MSP-PODCAST_0002_0001.wav", audio / "MSP-PODCAST_0004_0001.wav")
    match = r"1 clips have the same audio in more than one split: train/MSP-PODCAST_0002_0001.wav = .*test2/MSP"
    with pytest.raises(ValueError, match=match):
        check_disjoint(corpus)
    check_disjoint(corpus, audio=False)


def test_check_disjoint_compares_whole_files(make_release):
    """Equal size and equal middle are not enough."""
    release = make_release("bare")
    corpus = load_msp_podcast_corpus(release.root)
    content = bytearray((release.root / "AUDIOS/MSP-PODCAST_0002_0001.wav").read_bytes())
    content[-1] ^= 1
    (release.root / "AUDIOS/MSP-PODCAST_0004_0001.wav").write_bytes(content)
    check_disjoint(corpus)


def test_corpus_checks_itself(make_release):
    splits = load_msp_podcast(make_release("bare").root)
    with pytest.raises(CorpusError, match="split 'validation' of x: allowed are train, development"):
        Corpus("x", datasets.DatasetDict(validation=splits["train"]), (1, 7), "")
    with pytest.raises(CorpusError, match=r"split 'train' of x has the columns .* needed are"):
        Corpus("x", datasets.DatasetDict(train=splits["train"].remove_columns("gender")), (1, 7), "")
    for bad in ((7, 1), (1, float("nan")), (1,), "ab", None):
        with pytest.raises(CorpusError, match="label_range is"):
            Corpus("x", splits, bad, "")


def test_bad_rows_keep_the_count():
    with pytest.raises(CorpusError, match="on_error is None"):
        BadRows(None)


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the real-speech corpus shared/corpora/emodb-msp is not beside the repository"
)
def test_real_corpus():
    corpus = load_msp_podcast_corpus(REAL)
    assert {name: len(split) for name, split in corpus.splits.items()} == {
        "train": 304,
        "development": 104,
        "test1": 127,
    }
    assert (corpus.name, corpus.skipped) == ("emodb-msp", 0)
    first = corpus.splits["train"][0]
    assert first["audio"]["path"] == str(REAL / "Audios/MSP-PODCAST_0003_0000.wav")
    assert {**first, "audio": None} == {
        "file": "MSP-PODCAST_0003_0000.wav",
        "audio": None,
        "activation": 5.53,
        "valence": 6.43,
        "dominance": 5.38,
        "emotion": "H",
        "speaker": "3",
        "gender": "Male",
        "transcript": "Der Lappen liegt auf dem Eisschrank.",
        "graders": [],
    }
    check_disjoint(corpus)
    streamed = load_msp_podcast(REAL, split="development", streaming=True)
    assert list(streamed) == list(corpus.splits["development"])
