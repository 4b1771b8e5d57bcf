"""Paths and links of a table stay in its audio folder, and messages name the way to what lies elsewhere."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_affect_training.corpora.corpus import CorpusError
from speech_affect_training.corpora.table import load_table_corpus


PATHS = ("a/1.wav", "a/2.wav", "b/1.wav")
OPTIONS = {"label_range": (1, 7), "split_column": "split"}


def write(path, paths=PATHS):
    """Write a table of these files, one in each split."""
    rows = [f"{name},1,2,3,{split}\n" for name, split in zip(paths, ("train", "dev", "test"), strict=True)]
    path.write_text("audio,activation,valence,dominance,split\n" + "".join(rows))
    return path


@pytest.fixture
def table(tmp_path):
    """A folder of audio with ratings.csv in it."""
    for seed, name in enumerate(PATHS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.random.default_rng(seed).uniform(-0.5, 0.5, 1600), 16_000)
    return write(tmp_path / "ratings.csv")


def files_of(source, **options):
    """The name and the place of every file of a corpus."""
    splits = load_table_corpus(source, **OPTIONS, **options).splits.values()
    return [(row["file"], Path(row["audio"]["path"])) for rows in splits for row in rows]


def fails(match, source, **options):
    with pytest.raises(CorpusError, match=match):
        load_table_corpus(source, **OPTIONS, **options)


@pytest.fixture
def labels(table, tmp_path):
    """The place of a table in a folder of its own."""
    (tmp_path / "labels").mkdir()
    return tmp_path / "labels" / "ratings.csv"


def test_audio_dir_and_absolute_paths(table, labels, tmp_path):
    write(labels, [tmp_path / PATHS[0], *PATHS[1:]])
    assert files_of(labels, audio_dir=tmp_path) == files_of(table) == [(name, tmp_path / name) for name in PATHS]
    message = rf"row 2: '.*' leads out of {tmp_path}/labels; .* --corpus_options '{{audio_dir: \"{tmp_path}/a\"}}'\."
    fails(message, labels)


def test_paths_that_start_at_the_table(table, labels, tmp_path):
    """The way that the message names is one."""
    write(labels, [f"../{name}" for name in PATHS])
    way = rf"row 2: '../a/1.wav' leads out of {labels.parent}; .* --corpus_options '{{audio_dir: \"{tmp_path}/a\"}}'\."
    fails(way, labels)
    assert files_of(labels, audio_dir=tmp_path) == files_of(table)
    fails(rf"row 2: '../a/1.wav' leads out of {tmp_path}/b; ", labels, audio_dir=tmp_path / "b")
    (tmp_path / "a/3.wav").write_bytes((tmp_path / "b/1.wav").read_bytes())
    write(labels, [f"../a/{number}.wav" for number in (1, 2, 3)])
    assert [name for name, _ in files_of(labels, audio_dir=tmp_path / "a")] == ["1.wav", "2.wav", "3.wav"]


def test_a_snapshot_of_the_hub(table, as_snapshot):
    snapshot = as_snapshot(table.parent)
    assert files_of(snapshot / "ratings.csv") == [(name, snapshot / name) for name in PATHS]
    other = snapshot.parents[2] / "datasets--other--secret" / "blobs" / "1.wav"
    other.parent.mkdir(parents=True)
    shutil.move(table.parent / "a/1.wav", other)
    (snapshot / "a/1.wav").unlink()
    (snapshot / "a/1.wav").symlink_to(other)
    out = rf"a/1.wav is a link that leads out of {snapshot}; .*audio_dir: \"{other.parent}\""
    fails(out, snapshot / "ratings.csv")
    fails(rf" is the Hub's cache of a repository; give the folder of a revision: {snapshot}\.", snapshot.parents[1])


def test_links_that_leave_the_folder(table, tmp_path):
    """They could carry any file of this machine into a copy of the corpus."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    shutil.copy(tmp_path / "a/1.wav", outside / "1.wav")
    (tmp_path / "link.wav").symlink_to(outside / "1.wav")
    (tmp_path / "folder").symlink_to(outside)
    (tmp_path / "round.wav").symlink_to("round.wav")
    messages = {
        "link.wav": f"link.wav is a link that leads out of {tmp_path}; if it is to be read, give the folder",
        "folder/1.wav": f"folder/1.wav is a link that leads out of {tmp_path}; if it is to be read, give the folder",
        "round.wav": f"there is no audio file round.wav in {tmp_path}",
    }
    for name, message in messages.items():
        write(table, [name, *PATHS[1:]])
        fails(re.escape(f"row 2: {message}"), table)
        assert load_table_corpus(table, on_error="skip", **OPTIONS).skipped == 1


def test_links_within_the_folder_and_to_the_folder(table, tmp_path, monkeypatch):
    (tmp_path / "link.wav").symlink_to(tmp_path / "a/1.wav")
    (tmp_path / "folder").symlink_to(tmp_path / "b")
    write(table, ["link.wav", PATHS[1], "folder/1.wav"])
    whole = tmp_path.parent / f"{tmp_path.name}-link"
    whole.symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    for path in (table, whole / table.name, Path(table.name)):
        (first, _), _, (_, place) = files_of(path)
        assert (first, place) == ("link.wav", path.absolute().parent / "folder/1.wav")
