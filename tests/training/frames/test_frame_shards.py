"""Shards: batches appear whole or not at all, whichever writer is killed, out of disk or writing at the same time."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from speech_affect_training.frames import frame_shards
from speech_affect_training.frames.frame_shards import ShardReader, ShardWriter


def batch(number: int) -> dict[str, np.ndarray]:
    """Clips of 1 to 3 frames, each holding the number of the batch: 96 bytes."""
    return {f"{number}-{row}": np.full((row + 1, 4), number, np.float32) for row in range(3)}


def write(folder: Path, *numbers: int) -> Path:
    """Write batches; return the path of the only shard's index."""
    writer = ShardWriter(folder, 4)
    for number in numbers:
        writer.append(batch(number))
    writer.close()
    return next(folder.glob("*.index"))


def read_all(folder: Path) -> dict[str, np.ndarray]:
    reader = ShardReader(folder, "float32")
    reader.refresh()
    assert not reader.cut_off
    return {key: reader.read(key) for key in reader.entries}


def check(folder: Path, *numbers: int) -> None:
    found = read_all(folder)
    expected = {key: array for number in numbers for key, array in batch(number).items()}
    assert set(found) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_half_written_line_hides_its_batch_and_is_overwritten(tmp_path, kept):
    index = write(tmp_path, 1, 2)
    first, second = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(first + second[:kept])
    check(tmp_path, 1)
    assert write(tmp_path, 3) == index
    check(tmp_path, 1, 3)
    assert index.with_suffix(".frames").stat().st_size == 2 * 96  # the second batch's bytes are gone


def test_an_altered_line_hides_its_batch_alone(tmp_path):
    index = write(tmp_path, 1, 2, 3)
    index.write_bytes(index.read_bytes().replace(b"2-0", b"9-0"))
    check(tmp_path, 1, 3)


def test_data_without_an_index_are_not_kept(tmp_path):
    write(tmp_path, 1).unlink()
    index = write(tmp_path, 2)
    check(tmp_path, 2)
    assert index.with_suffix(".frames").stat().st_size == 96


def test_nothing_is_appended_to_full_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_shards, "SHARD_BYTES", 100)
    write(tmp_path, 1, 2, 3)
    write(tmp_path, 4, 5)
    check(tmp_path, 1, 2, 3, 4, 5)
    assert sorted(path.stat().st_size for path in tmp_path.glob("*.frames")) == [96, 192, 192]


def test_two_writers_have_shards_of_their_own(tmp_path):
    first, second = ShardWriter(tmp_path, 4), ShardWriter(tmp_path, 4)
    for number in (1, 3):
        first.append(batch(number))
        second.append(batch(number + 1))
    assert len(list(tmp_path.glob("*.frames"))) == 2
    first.close()
    write(tmp_path, 5)
    check(tmp_path, 1, 2, 3, 4, 5)
    assert len(list(tmp_path.glob("*.frames"))) == 2  # the first writer's shard is continued


def test_a_reader_sees_what_is_added_and_keeps_what_it_has(tmp_path):
    reader = ShardReader(tmp_path / "later", "float32")
    reader.refresh()
    assert not reader.entries
    writer, other = ShardWriter(tmp_path / "later", 4), ShardWriter(tmp_path / "later", 4)
    held = []
    for number in (1, 2, 3):
        writer.append(batch(number))
        reader.refresh()
        held.append(reader.read(f"{number}-2"))
    assert len(reader.entries) == 9
    other.append({"1-0": np.zeros((1, 4), np.float32)})
    reader.refresh()
    for each in (reader.read("1-0"), read_all(tmp_path / "later")["1-0"]):  # the first shard's, for every reader
        assert (each == 1).all()
    for number, array in enumerate(held, 1):
        np.testing.assert_array_equal(array, np.full((3, 4), number))


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
    assert sum(path.stat().st_size for path in tmp_path.glob("*.frames")) == 2 * 96


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
    for first in (0, 200_000):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITE_ON, tmp_path, str(start)], stdout=subprocess.PIPE)
            for start in (first, first + 100_000)
        ]
        for writer in writers:
            writer.stdout.readline()
        time.sleep(0.2)
        for writer in writers:
            writer.kill()
            writer.communicate()
    found = read_all(tmp_path)
    numbers = {int(key.partition("-")[0]) for key in found}
    assert {number // 100_000 for number in numbers} == {0, 1, 2, 3} and len(found) == 3 * len(numbers)
    for key, array in found.items():
        number, row = map(int, key.split("-"))
        assert array.shape == (row + 1, 4096) and (array == number).all()
    # each killed writer's shard was continued by the next
    assert len(list(tmp_path.glob("*.lock"))) <= 2
    assert {path.stem.split("-")[-2] for path in tmp_path.glob("*.index")} == {"000", "001"}


def test_a_shard_that_another_process_deleted(tmp_path):
    data = write(tmp_path, 1).with_suffix(".frames")
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(content)
    readers = [ShardReader(tmp_path, "float32") for _ in range(3)]
    for reader in readers:
        reader.refresh()
    readers[1].read("1-1")  # that reader has the file open; what it has read is intact
    for reader in readers[:2]:
        with pytest.raises(ValueError, match="is damaged .* and has been deleted; start the run again"):
            reader.read("1-0")
    with pytest.raises(ValueError, match=r"frames has been deleted \(clip 1-0\); start the run again"):
        readers[2].read("1-0")
