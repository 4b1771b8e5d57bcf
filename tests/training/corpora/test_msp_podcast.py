"""MSP-Podcast in every layout that its releases have had: rows, streaming, older releases, the cache."""

import csv
import shutil
from collections import defaultdict
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile

from speech_affect_training.corpora.clip_table import clip_table, join_tables
from speech_affect_training.corpora.corpus import FEATURES, CorpusError, check_disjoint
from speech_affect_training.corpora.msp_podcast import MspPodcast, load_msp_podcast, load_msp_podcast_corpus


def fails(match, folder, **options):
    """Load a release that is not as it should be."""
    with pytest.raises(CorpusError, match=match):
        load_msp_podcast(folder, **options)


REAL = (Path(__file__).resolve().parents[3] / "../shared/corpora/emodb-msp").resolve()

COUNTS = {"train": 2, "development": 1, "test1": 1, "test2": 1}
GRADE = ("worker", "activation", "valence", "dominance", "emotion", "emotion_secondary")
NEUTRAL = [
    dict(zip(GRADE, grade, strict=True))
    for grade in (
        ("WORKER00000001", 1.0, 4.0, 1.0, "Neutral", "Concerned"),
        ("WORKER00000002", 3.4, 4.0, 4.2, "Other-Curious", None),
    )
]


def rows_of(splits):
    return {name: list(split) for name, split in splits.items()}


def expected_test1(release):
    layout = release.layout
    name = "MSP-PODCAST_0001_0008.wav"
    return {
        "file": name,
        "audio": {"bytes": None, "path": str(release.root / layout.audio / name)},
        **{"activation": 2.2, "valence": 4.0, "dominance": 2.6, "emotion": "N", "speaker": "30", "gender": "Male"},
        "transcript": "well I was there" if layout.transcripts else None,
        "graders": NEUTRAL if layout.grades else [],
    }


@pytest.mark.parametrize("layout", ["1.6", "1.8", "1.9", "1.11", "2.0", "json", "bare"])
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
    alone, shared = (load_msp_podcast(release.root, cache_dir=tmp_path / str(n), num_proc=n) for n in (None, 2))
    assert rows_of(alone) == rows_of(shared)


def test_corpus(make_release):
    release = make_release("1.11", "MSP-PODCAST-Publish-1.11")
    corpus = load_msp_podcast_corpus(release.root)
    assert (corpus.name, corpus.label_range, corpus.skipped) == ("MSP-PODCAST-Publish-1.11", (1.0, 7.0), 0)
    assert list(corpus.splits) == ["train", "development", "test1", "test2", "test3"]
    assert "Labels/labels_consensus.csv" in corpus.note
    train = corpus.splits["train"]
    assert train.features["audio"] == datasets.Audio(decode=False)
    assert {**train.features, "audio": FEATURES["audio"]} == dict(FEATURES) and train.column_names == list(FEATURES)
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
    assert list(first.values()) == ["WORKER1", 1.0, None, 2.0, "Other-tired", "really, so; Sad"]
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
    match = r"labels_file 'v1.3/labels.csv' is not in .*previous_releases_info/v1.6/label/labels_concensus.csv"
    fails(match, with_previous.root, labels_file="v1.3/labels.csv")
    for outside in ("../../etc/labels.csv", "/etc/labels.csv"):
        fails(r"labels_file: .*leaves the corpus folder", with_previous.root, labels_file=outside)


def test_removed_audio_is_only_for_older_releases(with_previous):
    row = ("MSP-PODCAST_0009_0009.wav", "S", "2.0", "2.0", "3.0", "8", "Male", "Train")
    with_previous.write_labels([*with_previous.rows(), row])
    fails(r"row 8: there is no audio file MSP-PODCAST_0009_0009.wav", with_previous.root)


# --- folders that are not a release ---


def test_not_a_release(make_release, tmp_path):
    (tmp_path / "empty").mkdir()
    release = make_release("1.11")
    for folder, message in (
        (tmp_path / "empty", "not an MSP-Podcast release: it has not a label file and not an audio folder"),
        (tmp_path / "empty", r"labels_concensus.csv.*Audios or Audio.*holds: nothing"),
        (tmp_path, r"The folder holds: .*release"),
        (release.labels, "is not a folder"),
    ):
        fails(message, folder, on_error="skip")
    release.labels.unlink()
    fails(r"it has not a label file\. ", release.root, on_error="skip")
    release.write_labels(release.rows())
    shutil.rmtree(release.root / "Audios")
    fails(r"it has not an audio folder\. ", release.root)


def test_empty_label_file_and_wrong_option(make_release):
    release = make_release("bare")
    fails("on_error is 'ignore'; allowed are 'raise' and 'skip'", release.root, on_error="ignore")
    release.labels.write_text("")
    fails(r"labels_consensus.csv is empty", release.root)


def test_audio_that_was_converted_is_found_by_its_stem(make_release):
    release = make_release("1.11")
    folder = release.root / release.layout.audio
    for path, suffix in zip(
        sorted(folder.glob("*.wav")), (".flac", ".ogg", ".mp3", ".opus", ".WAV", ".wav"), strict=False
    ):
        samples, rate = soundfile.read(path)
        path.unlink()
        soundfile.write(path.with_suffix(suffix), samples, rate, format="OGG" if suffix in (".opus", ".ogg") else None)
    rows = [row for split in load_msp_podcast(release.root).values() for row in split]
    assert sorted(row["file"] for row in rows) == sorted([*(turn[0] for turn in release.turns), release.withheld])
    assert len({row["audio"]["path"].rpartition(".")[2] for row in rows}) == 6
    assert all(Path(row["audio"]["path"]).stem == Path(row["file"]).stem for row in rows)
    first = next(row for row in rows if row["audio"]["path"].endswith(".flac"))
    soundfile.write(Path(first["audio"]["path"]).with_suffix(".ogg"), samples, rate)
    fails(
        rf"there is no audio file {first['file']} of this name alone, but several in other formats: keep", release.root
    )


RATED = REAL.with_name("emodb-rated")


@pytest.mark.skipif(not RATED.is_dir(), reason="the corpus shared/corpora/emodb-rated is not beside the repository")
def test_the_labels_are_the_means_of_the_listeners():
    """Ratings of activation and valence, one by one; nobody was asked about dominance and classes."""
    corpus = load_msp_podcast_corpus(RATED)
    tables = {name: clip_table(rows, rows["file"]) for name, rows in corpus.splits.items()}
    assert {name: len(table) for name, table in tables.items()} == {"train": 304, "development": 104, "test1": 127}
    assert corpus.skipped == 0
    grades = defaultdict(list)
    with open(RATED / "Labels" / "labels_detailed.csv", newline="") as file:
        for row in csv.DictReader(file):
            grades[row["FileName"]].append((float(row["EmoAct"]), float(row["EmoVal"])))
    table = join_tables(list(tables.values()))
    assert len(grades) == len(table) == 535 and sum(map(len, grades.values())) == 6958
    single = [np.array(grades[file]) for file in table.files]
    np.testing.assert_allclose(table.labels[:, :2], [each.mean(axis=0) for each in single], atol=5.1e-5)  # 4 decimals
    np.testing.assert_allclose(table.rating_variances[:, :2], [each.var(axis=0) for each in single], atol=1e-12)
    assert np.isnan(table.rating_variances[:, 2]).all() and not np.isnan(table.labels).any()
    assert set(table.votes) == {()}
    assert corpus.splits["train"][0]["audio"]["path"] == str(RATED / "Audios" / "MSP-PODCAST_0003_0000.ogg")
    check_disjoint(corpus)


def test_a_snapshot_of_the_hub(make_release, as_snapshot):
    release = make_release("1.11")
    snapshot = as_snapshot(release.root)
    splits, expected = load_msp_podcast(snapshot), load_msp_podcast(release.root)
    for name, rows in splits.items():
        assert [row["file"] for row in rows] == [row["file"] for row in expected[name]]
        assert all(row["audio"]["path"].startswith(str(snapshot)) for row in rows)
    fails("release is the Hub's cache of a repository; give the folder of a revision: .*0123abcd", snapshot.parents[1])


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
    for folder in ("a", "b"):
        make_release("1.11", f"{folder}/release")
        monkeypatch.chdir(tmp_path / folder)
        path = load_msp_podcast("release", split="test1")[0]["audio"]["path"]
        assert path == str(tmp_path / folder / "release/Audios/MSP-PODCAST_0001_0008.wav")
        assert MspPodcast(data_dir="release").config.data_dir == str(tmp_path / folder / "release")


@pytest.mark.skipif(not REAL.is_dir(), reason="the corpus shared/corpora/emodb-msp is not beside the repository")
def test_real_corpus():
    corpus = load_msp_podcast_corpus(REAL)
    assert [len(corpus.splits[name]) for name in ("train", "development", "test1")] == [304, 104, 127]
    assert (corpus.name, corpus.skipped) == ("emodb-msp", 0)
    first = corpus.splits["train"][0]
    assert first["audio"]["path"] == str(REAL / "Audios/MSP-PODCAST_0003_0000.wav")
    assert (first["activation"], first["transcript"]) == (5.53, "Der Lappen liegt auf dem Eisschrank.")
    check_disjoint(corpus)
    streamed = load_msp_podcast(REAL, split="development", streaming=True)
    assert list(streamed) == list(corpus.splits["development"])
