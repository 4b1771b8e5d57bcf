"""Shards of speech that is streamed: what is read of each source, and what is refused."""

import io
import json
import tarfile

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile

from speech_affect_training.corpora.corpus import CorpusError
from speech_affect_training.corpora.stream_sources import open_sources


def wav(seed: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(seed).standard_normal(8000), 16000, format="WAV")
    return file.getvalue()


def write_tar(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_parquet(path, column: str, audio: list, features: dict | None = None) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({column: pa.array(audio, kind), "text": ["a word"] * len(audio)})
    if features:
        note = {"info": {"features": {**features, "text": {"dtype": "string", "_type": "Value"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(note)})
    pyarrow.parquet.write_table(table, path)


def contents(source, shard: int, first: int = 0) -> list[bytes]:
    return [recording["bytes"] for recording in source.recordings(shard, first)]


@pytest.fixture
def shards(tmp_path):
    """Two tar files, one of them with a sample without audio, and two Parquet files, one with a path and no bytes."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(9))
    write_tar(tmp_path / "b.tar", {"0.wav": wav(0), "0.txt": b"hi", "1.txt": b"no audio", "2.flac": wav(1)})
    write_tar(tmp_path / "a.tar", {"0.wav": wav(2)})
    write_parquet(tmp_path / "a.parquet", "speech", [{"bytes": wav(3)}, {"path": str(secret)}], {"speech": AUDIO})
    write_parquet(tmp_path / "b.parquet", "speech", [{"bytes": wav(4)}], {"speech": AUDIO})
    return tmp_path


AUDIO = {"_type": "Audio"}


def test_recordings_of_every_kind_of_source(shards):
    (shards / "folder" / "sub").mkdir(parents=True)
    (shards / "folder" / "sub" / "a.wav").write_bytes(wav(5))
    given = [str(shards / name) for name in ("*.tar", "*.parquet", "folder")]
    tar, parquet, folder = open_sources(given)
    assert [len(source.shards) for source in (tar, parquet, folder)] == [2, 2, 1]
    assert contents(tar, 0) == [wav(2)] and contents(tar, 1) == [wav(0), b"", wav(1)]
    assert contents(tar, 1, 2) == [wav(1)] and contents(tar, 1, 3) == []
    # a row names a file of this machine, which is not opened
    assert contents(parquet, 0) == [wav(3), b""] and contents(parquet, 1) == [wav(4)]
    assert list(folder.recordings(0)) == [{"path": folder.shards[0], "bytes": None}]
    assert not list(folder.recordings(0, 1))


def test_a_data_set_on_the_hub_by_split_and_configuration(shards, monkeypatch):
    (shards / "set").mkdir()
    for name, content in (("train-0", wav(6)), ("train-1", wav(7)), ("test-0", wav(8))):
        write_parquet(shards / "set" / f"{name}.parquet", "audio", [{"bytes": content}])
    (source,) = open_sources([f"hub:{shards}/set/train"])  # a folder stands for a repository
    assert source.is_remote and [contents(source, shard) for shard in range(2)] == [[wav(6)], [wav(7)]]
    (shards / "tars").mkdir()
    write_tar(shards / "tars" / "train.tar", {"0.wav": wav(0), "1.flac": wav(1)})
    (source,) = open_sources([f"hub:{shards}/tars:default/train"])
    assert contents(source, 0) == [wav(0), wav(1)]
    with pytest.raises(CorpusError, match="there is no such split; there are (train, test|test, train)"):
        open_sources([f"hub:{shards}/set/validation"])
    with pytest.raises(CorpusError, match="names no split; give hub:NAME/SPLIT"):
        open_sources(["hub:train"])
    (shards / "texts").mkdir()
    (shards / "texts" / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CorpusError, match="has .csv; allowed are .parquet or .tar, of one kind"):
        open_sources([f"hub:{shards}/texts/train"])
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *a, **k: (_ for _ in ()).throw(ConnectionError("no")))
    with pytest.raises(CorpusError, match="hub:you/set/train cannot be opened: no"):
        open_sources(["hub:you/set/train"])


def test_names_that_look_like_patterns(shards):
    hidden = shards / ".cache" / "a[1]* b"
    hidden.mkdir(parents=True)
    write_tar(hidden / "x[0]?.tar", {"0.wav": wav(0)})
    (source,) = open_sources([f"{shards}/.cache/*/*.tar"])
    assert source.shards == [str(hidden / "x[0]?.tar")] and contents(source, 0) == [wav(0)]


def test_the_identity_is_of_names_and_sizes(shards):
    def identity() -> str:
        return open_sources([str(shards / "*.tar")])[0].identity

    before = identity()
    assert identity() == before != open_sources([str(shards / "[ab].tar")])[0].identity
    write_tar(shards / "a.tar", {"0.wav": wav(2), "1.wav": wav(2)})
    changed = identity()
    (shards / "a.tar").rename(shards / "c.tar")
    assert len({before, changed, identity()}) == 3


def test_what_is_no_source(shards):
    write_parquet(shards / "text.parquet", "speech", [{"bytes": b""}])
    (shards / "broken.parquet").write_bytes(b"PAR1")
    for given, message in {
        "none/*.tar": "unlabelled_stream .*: there is no such file; give a path, or a glob",
        "text.parquet": "has columns speech, text, 0 of them audio; give files with one column of type Audio",
        "broken.parquet": "broken.parquet cannot be read",
        "nowhere": "unlabelled_stream .*nowhere is no folder; give folders with .flac",
    }.items():
        with pytest.raises(CorpusError, match=message):
            open_sources([str(shards / given)])
