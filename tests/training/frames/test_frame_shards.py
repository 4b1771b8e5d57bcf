"""Shards: batches appear whole or not at all, whoever is killed, full or writing beside."""

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from speech_affect_training.frames import frame_shards
from speech_affect_training.frames.frame_shards import Entry, ShardReader, ShardWriter, index_line, read_index


TRAINING = Path(frame_shards.__file__).parents[1]


def batch(number: int, size: int = 3) -> dict[str, np.ndarray]:
    """Clips of 1 to `size` frames, each holding the number of the batch."""
    return {f"{number}-{row}": np.full((row + 1, 4), number, np.float32) for row in range(size)}


def everything(folder: Path) -> dict[str, np.ndarray]:
    reader = ShardReader(folder, "float32")
    reader.refresh()
    assert not reader.cut_off
    return {key: reader.read(key) for key in reader.entries}


def check(folder: Path, *numbers: int) -> None:
    found = everything(folder)
    expected = {key: array for number in numbers for key, array in batch(number).items()}
    assert set(found) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)


def test_an_index_line_is_readable_json_behind_its_checksum(tmp_path):
    line = index_line({"ab": Entry(tmp_path, 16, 2, 4, 123)})
    checksum, text = line.rstrip(b"\n").split(b" ", 1)
    assert json.loads(text) == {"ab": [16, 2, 4, 123]} and int(checksum, 16) == zlib.crc32(text)


def test_bytes_lie_as_the_index_says(tmp_path):
    writer = ShardWriter(tmp_path, 4)
    writer.append(batch(1))
    writer.append(batch(2))
    (index,) = tmp_path.glob("*.index")
    entries, end = read_index(index)
    assert end == index.stat().st_size and len(index.read_bytes().splitlines()) == 2
    content = index.with_suffix(".frames").read_bytes()
    assert len(content) == 2 * (1 + 2 + 3) * 16
    for key, entry in entries.items():
        expected = np.full((entry.rows, 4), int(key[0]), "<f4").tobytes()
        assert content[entry.offset : entry.stop(4)] == expected and entry.checksum == zlib.crc32(expected)


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_batch_noted_in_part_is_not_there_and_is_overwritten(tmp_path, kept):
    writer = ShardWriter(tmp_path, 4)
    writer.append(batch(1))
    (index,) = tmp_path.glob("*.index")
    whole = index.stat().st_size
    writer.append(batch(2))
    writer.close()
    content = index.read_bytes()
    second = content[whole:]
    index.write_bytes(content[:whole] + second[: kept if kept >= 0 else len(second) - 1])
    check(tmp_path, 1)
    writer = ShardWriter(tmp_path, 4)
    writer.append(batch(3))
    writer.close()
    check(tmp_path, 1, 3)
    assert list(tmp_path.glob("*.index")) == [index]
    assert index.with_suffix(".frames").stat().st_size == 2 * 6 * 16  # what the second batch had left is gone


def test_a_line_that_was_altered_hides_its_batch_alone(tmp_path):
    writer = ShardWriter(tmp_path, 4)
    for number in (1, 2, 3):
        writer.append(batch(number))
    (index,) = tmp_path.glob("*.index")
    lines = index.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"2-0", b"9-0")
    index.write_bytes(b"".join(lines))
    check(tmp_path, 1, 3)


def test_data_without_an_index_are_not_kept(tmp_path):
    writer = ShardWriter(tmp_path, 4)
    writer.append(batch(1))
    writer.close()
    next(tmp_path.glob("*.index")).unlink()
    writer = ShardWriter(tmp_path, 4)
    writer.append(batch(2))
    check(tmp_path, 2)
    (data,) = tmp_path.glob("*.frames")
    assert data.stat().st_size == 6 * 16


def test_full_shards_are_not_added_to(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_shards, "SHARD_BYTES", 100)  # a batch has 96
    for numbers in ((1, 2, 3), (4, 5)):
        writer = ShardWriter(tmp_path, 4)
        for number in numbers:
            writer.append(batch(number))
        writer.close()
    check(tmp_path, 1, 2, 3, 4, 5)
    assert sorted(path.stat().st_size for path in tmp_path.glob("*.frames")) == [96, 192, 192]


def test_two_writers_have_shards_of_their_own(tmp_path):
    first, second = ShardWriter(tmp_path, 4), ShardWriter(tmp_path, 4)
    for number in (1, 3):
        first.append(batch(number))
        second.append(batch(number + 1))
    assert len(list(tmp_path.glob("*.frames"))) == 2
    first.close()
    third = ShardWriter(tmp_path, 4)
    third.append(batch(5))
    check(tmp_path, 1, 2, 3, 4, 5)
    assert len(list(tmp_path.glob("*.frames"))) == 2  # the first one's is continued


def test_a_reader_sees_what_is_added(tmp_path):
    reader = ShardReader(tmp_path / "later", "float32")
    reader.refresh()
    assert not reader.entries
    writer = ShardWriter(tmp_path / "later", 4)
    held = []
    for number in (1, 2, 3):
        writer.append(batch(number))
        reader.refresh()
        held.append(reader.read(f"{number}-2"))
    assert len(reader.entries) == 9
    for number, array in enumerate(held, 1):
        np.testing.assert_array_equal(array, np.full((3, 4), number))


def test_what_was_read_stays_when_the_same_key_is_written_again(tmp_path):
    writer, other = ShardWriter(tmp_path, 4), ShardWriter(tmp_path, 4)
    writer.append({"a": np.zeros((1, 4), np.float32)})
    reader = ShardReader(tmp_path, "float32")
    reader.refresh()
    other.append({"a": np.ones((1, 4), np.float32)})
    reader.refresh()
    assert not reader.read("a").any()
    assert not everything(tmp_path)["a"].any()  # the first shard's, whoever reads


@pytest.mark.parametrize("file", ["data", "index"])
def test_a_write_that_fails_leaves_nothing_and_the_next_succeeds(tmp_path, file):
    class Full:
        """A disk that takes half of the bytes."""

        def __init__(self, file):
            self.file = file

        def write(self, content):
            self.file.write(bytes(content)[: len(content) // 2])
            self.file.flush()
            raise OSError(28, "No space left on device")

        def close(self):
            self.file.close()
            raise OSError(28, "No space left on device")

    writer = ShardWriter(tmp_path, 4)
    writer.append(batch(1))
    setattr(writer, f"_{file}", Full(getattr(writer, f"_{file}")))
    with pytest.raises(OSError, match="No space left"):
        writer.append(batch(2))
    check(tmp_path, 1)
    writer.append(batch(3))
    check(tmp_path, 1, 3)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.frames")) == 2 * 6 * 16


WRITE_ON = """
import sys
import numpy as np
from pathlib import Path
from speech_affect_training.frames.frame_shards import ShardWriter
folder, first = Path(sys.argv[1]), int(sys.argv[2])
writer = ShardWriter(folder, 4)
for number in range(first, first + 100_000):
    writer.append({f"{number}-{row}": np.full((row + 1, 4096), number, np.float32) for row in range(3)})
    if number == first:
        print(flush=True)
"""


def test_killed_while_writing_beside_another(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(TRAINING)}
    for first in (0, 200_000):
        command = [sys.executable, "-c", WRITE_ON, str(tmp_path)]
        writers = [
            subprocess.Popen([*command, str(start)], env=environment, stdout=subprocess.PIPE)
            for start in (first, first + 100_000)
        ]
        for writer in writers:
            writer.stdout.readline()
        time.sleep(0.2)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
    found = everything(tmp_path)
    numbers = {int(key.partition("-")[0]) for key in found}
    assert {number // 100_000 for number in numbers} == {0, 1, 2, 3}
    assert len(found) == 3 * len(numbers)
    for key, array in found.items():
        number, row = map(int, key.split("-"))
        assert array.shape == (row + 1, 4096) and (array == number).all()
    # each killed writer's shard was continued by the next
    assert len(list(tmp_path.glob("*.lock"))) <= 2
    assert {path.stem.split("-")[-2] for path in tmp_path.glob("*.index")} == {"000", "001"}


def test_a_shard_that_another_process_struck_off(tmp_path):
    writer = ShardWriter(tmp_path, 4)
    writer.append(batch(1))
    writer.close()
    (data,) = tmp_path.glob("*.frames")
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(content)
    readers = [ShardReader(tmp_path, "float32") for _ in range(3)]
    for reader in readers:
        reader.refresh()
    readers[1].read("1-1")  # that reader has the file open; what it has read is whole
    with pytest.raises(ValueError, match="is damaged .* and has been deleted; start the run again"):
        readers[0].read("1-0")
    with pytest.raises(ValueError, match="is damaged .* and has been deleted; start the run again"):
        readers[1].read("1-0")
    with pytest.raises(ValueError, match=r"frames has been deleted \(clip 1-0\); start the run again"):
        readers[2].read("1-0")
