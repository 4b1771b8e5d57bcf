"""A corpus written as Parquet: read by plain `datasets` and by a run, in shards, after interruptions; errors."""

import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from huggingface_hub import HfApi

from speech_affect_training.corpora import parquet
from speech_affect_training.corpora.clip_table import clip_table, table_fingerprint
from speech_affect_training.corpora.corpus import CorpusError, check_disjoint
from speech_affect_training.corpora.load import load_corpus
from speech_affect_training.corpora.msp_podcast import load_msp_podcast, load_msp_podcast_corpus
from speech_affect_training.corpora.parquet import is_parquet_corpus, load_parquet_corpus, write_parquet
from speech_affect_training.files import clip_fingerprint


WAV_BYTES = 44 + 2 * 4800  # header, and 0.3 s of 16 kHz PCM


@pytest.fixture(autouse=True)
def without_a_decoder(monkeypatch):
    """No test may need torchcodec, whether it is installed or not."""
    monkeypatch.setattr(datasets.config, "TORCHCODEC_AVAILABLE", False)
    monkeypatch.setitem(sys.modules, "torchcodec", None)


@pytest.fixture
def corpus(make_release):
    return load_msp_podcast_corpus(make_release("1.11", "MSP-PODCAST-Publish-1.11").root)


def write(corpus, output, **settings):
    return write_parquet(corpus, output, licence="Keep it private.", **settings)


def embedded_rows(splits):
    """Rows of a corpus on disk as they must come back: the bytes of each file, and its base name."""
    rows = {name: list(split) for name, split in splits.items()}
    for row in (row for split in rows.values() for row in split):
        path = Path(row["audio"]["path"])
        row["audio"] = {"bytes": path.read_bytes(), "path": path.name}
    return rows


def rows_of(splits):
    return {name: list(split) for name, split in splits.items()}


def shards_of(folder):
    return sorted(path.name for path in (folder / "data").iterdir())


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


# --- reading it ---


@pytest.mark.parametrize("max_shard_size", ["500MB", 1])
@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_gives_the_builders_splits_rows_and_features(corpus, tmp_path, max_shard_size, streaming):
    folder = write(corpus, tmp_path / "parquet", max_shard_size=max_shard_size)
    loaded = datasets.load_dataset(str(folder), streaming=streaming)
    assert list(loaded) == ["train", "development", "test1", "test2", "test3"]
    assert all(split.features == corpus.splits[name].features for name, split in loaded.items())
    rows = rows_of(loaded)
    assert rows == embedded_rows(corpus.splits)
    samples, sampling_rate = soundfile.read(io.BytesIO(rows["train"][0]["audio"]["bytes"]))
    assert (len(samples), sampling_rate) == (4800, 16000)


def test_the_corpus_comes_back_whole_from_wherever_it_was_copied(corpus, tmp_path):
    folder = write(corpus, tmp_path / "parquet")
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    again = load_parquet_corpus(moved, cache_dir=tmp_path / "own cache")
    assert is_parquet_corpus(moved) and not is_parquet_corpus(tmp_path)
    assert (again.name, again.label_range, again.note) == (corpus.name, corpus.label_range, corpus.note)
    assert again.skipped == corpus.skipped == 0
    assert list(again.splits) == list(corpus.splits)
    assert rows_of(again.splits) == embedded_rows(corpus.splits)
    check_disjoint(again)
    assert any((tmp_path / "own cache").iterdir())


def test_a_run_finds_the_same_clips_labels_and_votes(make_release, corpus, tmp_path):
    folder = write(corpus, tmp_path / "parquet")
    raw = load_corpus("msp_podcast", str(tmp_path / "MSP-PODCAST-Publish-1.11"), {}, tmp_path)
    loaded = load_corpus("msp_podcast", str(folder), {}, tmp_path, "A note.")
    assert list(loaded.splits) == ["train", "development", "test1", "test2"]  # labels of test3 are withheld
    assert (loaded.name, loaded.note) == (raw.name, f"{raw.note} A note.")
    for name in loaded.splits:
        splits = [some.splits[name] for some in (loaded, raw)]
        one, other = (clip_table(rows, [clip_fingerprint(audio) for audio in rows["audio"]]) for rows in splits)
        assert table_fingerprint(one) == table_fingerprint(other)
        assert (one.files, one.speakers) == (other.files, other.speakers)
    assert clip_table(loaded.splits["test1"], ["0"]).votes == [("N", "O")]
    with pytest.raises(ValueError, match="corpus_options {'labels_file': 'a'} do not fit corpus 'msp_podcast'"):
        load_corpus("msp_podcast", str(folder), {"labels_file": "a"}, tmp_path)


# --- shards ---


@pytest.mark.parametrize(
    ("max_shard_size", "group_rows", "shards", "groups"),
    [("500MB", 100, 1, 1), (2 * WAV_BYTES, 1, 1, 2), (2 * WAV_BYTES - 1, 100, 2, 1), (1, 100, 2, 1)],
)
def test_shards_and_row_groups(corpus, tmp_path, monkeypatch, max_shard_size, group_rows, shards, groups):
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", group_rows)
    folder = write(corpus, tmp_path / "parquet", max_shard_size=max_shard_size)
    train = [f"train-{index:05d}-of-{shards:05d}.parquet" for index in range(shards)]
    assert shards_of(folder)[-shards:] == train
    assert pq.read_metadata(folder / "data" / train[0]).num_row_groups == groups
    assert rows_of(load_parquet_corpus(folder).splits) == embedded_rows(corpus.splits)


def test_embedded_audio_is_written_as_it_is(corpus, tmp_path):
    first = write(corpus, tmp_path / "first")
    assert files_of(write(load_parquet_corpus(first), tmp_path / "second")) == files_of(first)


def test_the_card_warns_and_names_every_split(corpus, tmp_path):
    _, front, text = (write(corpus, tmp_path / "parquet") / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["license"] == "other" and front["pretty_name"] == "MSP-PODCAST-Publish-1.11"
    files = front["configs"][0]["data_files"]
    assert files[0] == {"split": "train", "path": "data/train-*-of-00001.parquet"}
    assert [entry["split"] for entry in files] == list(corpus.splits)
    assert text.index("> **Keep it private.**") < text.index("| `train` | 2 |") < text.index("load_dataset(")


def test_shards_of_an_earlier_upload_are_not_mixed_in(corpus, tmp_path):
    folder = write(corpus, tmp_path / "parquet")
    before = write(corpus, tmp_path / "before", max_shard_size=1)
    for path in (before / "data").glob("*-of-00002.parquet"):
        shutil.copy(path, folder / "data")
    assert rows_of(datasets.load_dataset(str(folder))) == embedded_rows(corpus.splits)
    assert rows_of(load_parquet_corpus(folder).splits) == embedded_rows(corpus.splits)


# --- interruptions and what is there already ---


@pytest.fixture
def written(monkeypatch):
    """Names of the shards that are written."""
    names, to_parquet = [], datasets.Dataset.to_parquet

    def note(rows, path, **settings):
        names.append(path.name.split(".")[1] + ".parquet")
        return to_parquet(rows, path, **settings)

    monkeypatch.setattr(datasets.Dataset, "to_parquet", note)
    return names


def interrupt(corpus, output, monkeypatch, shard=2):
    """Stop in the middle of the shard of this index, its rows written but the file not finished."""
    replace = os.replace

    def stop(source, target):
        if len(list(output.parent.glob("*.incomplete/data/*.parquet"))) == shard:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            write(corpus, output, max_shard_size=1)


def test_after_an_interruption_finished_shards_stay(corpus, tmp_path, written, monkeypatch):
    output = tmp_path / "out/parquet"
    interrupt(corpus, output, monkeypatch)
    finished = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert written == [*finished, "development-00000-of-00001.parquet"]
    work = output.with_name("parquet.incomplete")
    assert not output.exists() and shards_of(work) == finished
    torn = work / "data" / finished[1]
    torn.write_bytes(torn.read_bytes()[:-10])
    (work / "data" / ".test1-00000-of-00001.parquet.1.tmp").write_text("of a process that was killed")
    written.clear()
    write(corpus, output, max_shard_size=1)
    assert written[0] == torn.name and len(written) == 5  # the torn one, and the four that were not yet written
    assert not work.exists()
    assert rows_of(datasets.load_dataset(str(output))) == embedded_rows(corpus.splits)
    assert files_of(output) == files_of(write(corpus, tmp_path / "whole", max_shard_size=1))


def test_an_interrupted_writing_of_other_rows_is_thrown_away(corpus, make_release, tmp_path, written, monkeypatch):
    output = tmp_path / "out/parquet"
    interrupt(corpus, output, monkeypatch)
    written.clear()
    release = make_release("1.11", "other/MSP-PODCAST-Publish-1.11")
    release.write_labels([(row[0], row[1], "3.3", *row[3:]) if row[1] else row for row in release.rows()])
    other = load_msp_podcast_corpus(release.root)
    write(other, output, max_shard_size=1)
    assert len(written) == 6
    assert rows_of(load_parquet_corpus(output).splits) == embedded_rows(other.splits)


def test_an_interruption_before_the_first_shard_and_a_second_call(corpus, tmp_path, written):
    work, folder = tmp_path / "parquet.incomplete", tmp_path / "parquet"
    work.mkdir()
    (work / ".corpus.json.1.tmp").write_text("{")
    folder.mkdir()  # empty: as good as none
    assert write(corpus, folder) == folder
    assert len(written) == 5 and not work.exists()
    write(corpus, folder)
    assert len(written) == 5


def test_another_folder_is_never_touched(corpus, make_release, tmp_path):
    mine = tmp_path / "parquet.incomplete"
    mine.mkdir()
    (mine / "thesis.txt").write_text("irreplaceable")
    for output, message in (
        (mine, "incomplete is a file, or holds something else than a corpus; give a new or empty"),
        (mine / "thesis.txt", "thesis.txt is a file, or holds"),
        (tmp_path / "parquet", "parquet.incomplete is in the way, and not an interrupted writing"),
    ):
        with pytest.raises(CorpusError, match=message):
            write(corpus, output)
    assert (mine / "thesis.txt").read_text() == "irreplaceable"
    folder = write(corpus, tmp_path / "own")
    before = files_of(folder)
    longer, louder = (make_release("1.11", f"{name}/MSP-PODCAST-Publish-1.11") for name in ("longer", "louder"))
    with open(longer.root / "Audios/MSP-PODCAST_0001_0008.wav", "ab") as file:
        file.write(b"more")
    louder.write_labels([(*row[:2], "3.3", *row[3:]) if row[1] == "N" else row for row in louder.rows()])
    others = [(load_msp_podcast_corpus(release.root), {}) for release in (longer, louder)]
    for other, settings in [*others, (corpus, {"max_shard_size": 1})]:
        with pytest.raises(CorpusError, match="own holds other rows, or shards of another size; delete it"):
            write(other, folder, **settings)
    assert files_of(folder) == before


@pytest.mark.parametrize("size", ["big", "0MB", 0, -1])
def test_sizes_that_are_none(corpus, tmp_path, size):
    with pytest.raises(CorpusError, match=f"max_shard_size is {size!r}; give bytes, or a text such as '500MB'"):
        write(corpus, tmp_path / "parquet", max_shard_size=size)
    assert not list(tmp_path.glob("parquet*"))


def test_folders_that_are_not_whole(corpus, tmp_path):
    with pytest.raises(CorpusError, match=r"holds no corpus.json; it must be a folder that write_parquet wrote"):
        load_parquet_corpus(tmp_path)
    folder = write(corpus, tmp_path / "parquet", max_shard_size=1)
    shard = folder / "data/train-00001-of-00002.parquet"
    shard.rename(tmp_path / "shard")
    with pytest.raises(CorpusError, match="1 shards are missing: .*data/train-00001-of-00002.parquet. Copy or write"):
        load_parquet_corpus(folder)
    (tmp_path / "shard").rename(shard)
    manifest = json.loads((folder / "corpus.json").read_text())
    more = {"splits": {**manifest["splits"], "train": {"rows": 3, "shards": 2}}}
    outside = {"splits": {"../../train": {"rows": 2, "shards": 2}}}
    for content, match in (
        (json.dumps({**manifest, **more}), "train has 2 rows; corpus.json says 3"),
        (json.dumps({**manifest, "layout": 2}), "corpus.json is not of layout 1; write the folder again"),
        (json.dumps({**manifest, **outside}), "is not of layout 1"),
        (json.dumps({**manifest, "splits": 3}), "is not of layout 1"),
        ("{", "is not of layout 1"),
    ):
        (folder / "corpus.json").write_text(content)
        with pytest.raises(CorpusError, match=match):
            load_parquet_corpus(folder)


# --- the command ---


def test_command(make_release, tmp_path, monkeypatch):
    release = make_release("2.0")
    environment = {**os.environ, "HF_DATASETS_CACHE": str(datasets.config.HF_DATASETS_CACHE)}
    arguments = ["--data_dir", release.root, "--output", tmp_path / "parquet", "--max_shard_size", "10KB"]
    command = [sys.executable, "-m", parquet.__name__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2 train, 1 development, 1 test1, 1 test2, 1 test3. MSP-Podcast is licensed per institution" in done.stdout
    assert "train-00001-of-00002.parquet: 100%" in done.stderr  # the bar
    assert rows_of(datasets.load_dataset(str(tmp_path / "parquet"))) == embedded_rows(load_msp_podcast(release.root))
    assert "licensed per institution: keep this copy private" in (tmp_path / "parquet/README.md").read_text()
    arguments = ["--data_dir", str(tmp_path / "parquet"), "--output", str(tmp_path / "other")]
    monkeypatch.setattr(sys, "argv", [parquet.__file__, *arguments])
    with pytest.raises(SystemExit, match="^error: .*is not an MSP-Podcast release"):
        runpy.run_module(parquet.__name__, run_name="__main__")


def test_missing_audio_follows_on_error(make_release, tmp_path):
    release = make_release("1.11")
    (release.root / "Audios/MSP-PODCAST_0002_0001.wav").unlink()
    arguments = ["--data_dir", str(release.root), "--output", str(tmp_path / "parquet")]
    with pytest.raises(CorpusError, match=r"row 3: there is no audio file MSP-PODCAST_0002_0001.wav.*on_error='skip'"):
        parquet.main(arguments)
    assert not list(tmp_path.glob("parquet*"))
    parquet.main([*arguments, "--on_error", "skip"])
    corpus = load_parquet_corpus(tmp_path / "parquet")
    assert corpus.splits["train"]["file"] == ["MSP-PODCAST_0002_0002.wav"]
    assert corpus.skipped == 1 and corpus.note.endswith("rows left out: 1.")


def test_push_is_of_the_folder_as_it_is_and_private(make_release, tmp_path, hub, capsys):
    folder = tmp_path / "parquet"
    arguments = ["--data_dir", str(make_release("1.11").root), "--output", str(folder), "--push_to_hub"]
    parquet.main([*arguments, "alice/msp"])
    assert "/datasets/alice/msp (private). MSP-Podcast is licensed per institution" in capsys.readouterr().out
    repository = hub.repositories["datasets", "alice/msp"]
    pushed = {name: content for name, content in repository.files().items() if name != ".gitattributes"}
    assert repository.private
    assert pushed == files_of(folder)
    HfApi().create_repo("alice/open", repo_type="dataset", private=False)
    with pytest.raises(ValueError, match="alice/open is public, and this corpus must not be: make it private"):
        parquet.main([*arguments, "alice/open"])
    assert set(hub.repositories["datasets", "alice/open"].files()) <= {".gitattributes"}
