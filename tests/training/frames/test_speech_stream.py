"""The endless row of pieces out of shards: each once in a pass, the same for processes, workers and resumptions."""

import json
import logging
import tarfile
from itertools import islice

import numpy as np
import pytest
import soundfile

from speech_affect_training.corpora.corpus import CorpusError
from speech_affect_training.corpora.stream_sources import StreamSource, open_sources
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.frames import speech_stream
from speech_affect_training.frames.speech_stream import SpeechStream, StreamBatches, lane_count


@pytest.fixture
def sources(tuned_jobs, tmp_path):
    """Four tar files of three clips each, 0.5 to 0.8 s long, all different."""
    tuned_jobs.write_shards(tmp_path / "shards")
    return open_sources([str(tmp_path / "shards" / "*.tar")])


def names(stream: SpeechStream, count: int) -> list[str]:
    return [item["fingerprint"] for item in islice(stream, count)]


def test_lanes_fit_shards_and_processes():
    found = {(shards, processes): lane_count(shards, processes) for shards in (5, 40) for processes in (1, 2, 3, 4)}
    assert found == {(5, 1): 4, (5, 2): 4, (5, 3): 3, (5, 4): 4} | {
        (40, n): 30 if n == 3 else 32 for n in (1, 2, 3, 4)
    }
    assert lane_count(40, 40) == 40
    with pytest.raises(CorpusError, match="unlabelled_stream has 5 shards for 6 processes; split it into 6 or more"):
        lane_count(5, 6)


def test_each_piece_comes_once_in_a_pass_and_every_pass_is_another(sources):
    row = names(SpeechStream(sources, 0), 36)
    passes = [row[start : start + 12] for start in (0, 12, 24)]
    assert [len(set(each)) for each in passes] == [12] * 3 and len({tuple(each) for each in passes}) == 3
    assert names(SpeechStream(sources, 0), 36) == row != names(SpeechStream(sources, 1), 36)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_row(sources, processes):
    row = names(SpeechStream(sources, 3, per_batch=8), 48)
    parts = [names(SpeechStream(sources, 3, (), 8, rank, processes), 48 // processes) for rank in range(processes)]
    assert [name for turn in zip(*parts, strict=True) for name in turn] == row
    assert len({name for part in parts for name in part[: 12 // processes]}) == 12  # each once


def test_workers_give_the_same_row_and_position(sources):
    alone, shared = (StreamBatches(SpeechStream(sources, 3), 3, workers) for workers in (0, 3))
    assert shared._options["num_workers"] == 2  # of four lanes three workers could not have as many each
    for _ in range(5):
        assert next(alone)["fingerprints"] == next(shared)["fingerprints"]
    assert alone.position == shared.position and alone.stream.turn == 15 % 4
    shared.close()


def test_it_goes_on_from_any_position_with_the_next_piece(sources, monkeypatch):
    monkeypatch.setattr(speech_stream, "BUCKET", 4)
    whole = StreamBatches(SpeechStream(sources, 0, per_batch=3), 3)
    expected, positions = [], []
    for _ in range(16):
        positions.append(json.dumps(whole.position))
        expected.append(next(whole))
    for killed in (1, 2, 5, 9, 14):
        stream = SpeechStream(sources, 0, per_batch=3)
        stream.go_on_from(json.loads(positions[killed]))
        again = StreamBatches(stream, 3)
        for batch in expected[killed:]:
            found = next(again)
            assert found["fingerprints"] == batch["fingerprints"]
            assert found["input_values"].equal(batch["input_values"])
        assert again.position == whole.position


def write(folder, name: str, samples: int, rate: int = 16000) -> str:
    """Write noise and return its fingerprint."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(samples).standard_normal(samples), rate)
    return clip_fingerprint({"path": str(path)})


def test_long_files_in_pieces_at_16_khz_and_of_similar_length(tmp_path):
    long = write(tmp_path / "a", "long", 18 * 8000, 8000)
    short = [write(tmp_path / "a", f"s{index}", 8000 + index) for index in range(5)]
    items = list(islice(SpeechStream(open_sources([str(tmp_path / "a")]), 0), 60))
    found = {item["fingerprint"]: len(item["waveform"]) for item in items}
    pieces = {f"{long}-{start}-{start + 48000}": 6 * 16000 for start in (0, 48000, 96000)}
    assert found == {**pieces, **{name: 8000 + index for index, name in enumerate(short)}}


def test_lanes_give_pieces_of_the_same_rank_by_length(tmp_path):
    """Four shards, each of eight lengths: in each turn of the four lanes all have the same length."""
    for shard in range(4):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as tar:
            for index in range(8):
                write(tmp_path / str(shard), str(index), 8000 + 1600 * index)
                tar.add(tmp_path / str(shard) / f"{index}.wav", f"{index}.wav")
    stream = SpeechStream(open_sources([str(tmp_path / "*.tar")]), 0)
    stream.bucket = 8
    turns = np.array([len(item["waveform"]) for item in islice(stream, 64)]).reshape(-1, 4)
    assert (turns == turns[:, :1]).all() and sorted(turns[:8, 0]) == list(range(8000, 20800, 1600))
    assert list(turns[:8, 0]) != sorted(turns[:8, 0])


def test_what_cannot_be_read_is_counted_and_what_is_tested_on_is_not_heard(tuned_jobs, tmp_path, caplog):
    folder = tmp_path / "a"
    kept, tested = write(folder, "good", 16000), write(folder, "tested", 16001)
    write(folder, "short", 7999)
    (folder / "text.wav").write_text("no audio")
    nan = np.full(16000, np.nan, dtype=np.float32)
    soundfile.write(folder / "nan.wav", nan, 16000, subtype="FLOAT")
    cut_off = tuned_jobs.write_shards(tmp_path / "shards", 1)
    shard = tmp_path / "shards" / "0.tar"
    shard.write_bytes(shard.read_bytes()[: len(cut_off[0]) + 3000])  # in the second clip
    stream = SpeechStream(open_sources([str(folder), str(shard)]), 0, {tested})
    assert stream.lanes == 4
    batches = StreamBatches(stream, 4)
    with caplog.at_level(logging.WARNING):
        heard = {name for _ in range(40) for name in next(batches)["fingerprints"]}
    assert heard == {kept, clip_fingerprint({"bytes": cut_off[0], "path": None})}
    told = [message.partition(" is skipped")[0] for message in caplog.messages]
    assert {name.rpartition("/")[2] for name in told} == {"text.wav", "nan.wav", "0.tar"}
    assert len(told) == 3 and batches.skipped > 100  # logged once, and counted in each pass
    again = SpeechStream(stream.sources, 0, {tested})
    again.go_on_from(batches.position)
    assert StreamBatches(again, 4).skipped == batches.skipped


def test_a_stream_without_speech_is_refused(tmp_path):
    tested = write(tmp_path / "a", "tested", 16000)
    with pytest.raises(CorpusError, match="none of its 1 shards has speech that can be read, lasts 0.5 s"):
        next(iter(SpeechStream(open_sources([str(tmp_path / "a")]), 0, {tested})))


def test_nothing_that_can_be_decoded_is_refused(tmp_path, monkeypatch):
    """The header is that of audio."""
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan, dtype=np.float32), 16000, subtype="FLOAT")
    monkeypatch.setattr(speech_stream, "MOST_FAILURES", 40)
    with pytest.raises(CorpusError, match="41 pieces on end cannot be decoded: audio has NaN or infinite samples"):
        next(iter(SpeechStream(open_sources([str(tmp_path)]), 0)))


def test_an_error_of_the_network_ends_the_run_and_a_damaged_shard_does_not(sources):
    class Remote(StreamSource):
        def recordings(self, shard, first=0):
            if self.shards[shard] == "broken":
                raise self.error
            yield from sources[0].recordings(shard, first)

    remote = Remote("hub:you/set/train", ["0", "broken"])
    object.__setattr__(remote, "error", tarfile.ReadError("unexpected end of data"))
    assert len(set(names(SpeechStream([remote], 0), 20))) == 3
    object.__setattr__(remote, "error", ConnectionError("no route"))
    with pytest.raises(ConnectionError, match="no route"):
        names(SpeechStream([remote], 0), 20)
