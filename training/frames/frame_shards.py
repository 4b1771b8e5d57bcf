"""Arrays of many clips in few files: shards to which arrays are only appended, each with an index."""

import json
import mmap
import os
import re
import zlib
from contextlib import suppress
from itertools import count
from pathlib import Path
from platform import node
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout


# nothing is appended to a shard of this size or more
SHARD_BYTES = 1 << 28
INDEX, DATA, DAMAGED = ".index", ".frames", ".damaged"
START_AGAIN = "start the run again: its content is made anew"


class Entry(NamedTuple):
    """Position of an array in a shard."""

    shard: Path  # of the index; the data file is beside it
    offset: int
    rows: int
    width: int
    checksum: int | None  # CRC-32 of the bytes, None once it has been verified

    def stop(self, itemsize: int) -> int:
        return self.offset + self.rows * self.width * itemsize


def read_index(path: Path, start: int = 0) -> tuple[dict[str, Entry], int]:
    """Read an index from a byte on; return its entries by key, and the offset at which the last whole line ends."""
    with open(path, "rb") as file:
        file.seek(start)
        content = file.read()
    entries, content = {}, content[: content.rfind(b"\n") + 1]
    for line in content.splitlines():
        checksum, _, text = line.partition(b" ")
        if checksum == b"%08x" % zlib.crc32(text):
            entries |= {key: Entry(path, *values) for key, values in json.loads(text).items()}
    return entries, start + len(content)


class ShardWriter:
    """Append batches of arrays to a folder, in shards that a lock claims for this process.

    The next writer to claim them cuts off what a killed one left half written. All arrays of a folder have numbers of
    `itemsize` bytes.
    """

    def __init__(self, folder: Path, itemsize: int):
        self.folder, self.itemsize = folder, itemsize
        folder.mkdir(parents=True, exist_ok=True)
        host = re.sub(r"[^A-Za-z0-9]+", "-", node()) or "host"  # locks of some file systems hold on one machine only
        for number in count():
            self._slot = f"{host}-{number:03d}"
            self._lock = FileLock(folder / f"{self._slot}.lock", timeout=0)
            try:
                self._lock.acquire()
                break
            except Timeout:
                continue
        self._data = self._index = None
        self._end = 0

    def append(self, arrays: dict[str, np.ndarray]) -> None:
        """Append a batch of (rows, width) arrays; readers see the whole batch or nothing of it."""
        try:
            if self._data is None or self._end >= SHARD_BYTES:
                self._open_shard()
            entries, offset = {}, self._end
            for key, array in arrays.items():
                content = memoryview(np.ascontiguousarray(array)).cast("B")
                entries[key] = Entry(self._path, offset, *array.shape, zlib.crc32(content))
                self._data.write(content)
                offset += content.nbytes
            self._data.flush()
            text = json.dumps({key: entry[1:] for key, entry in entries.items()}, separators=(",", ":")).encode()
            self._index.write(b"%08x %s\n" % (zlib.crc32(text), text))  # half a line does not fit its checksum
            self._index.flush()
            self._end = offset
        except BaseException:
            self._close_shard()  # the files may end anywhere now; they are cut when they are opened next
            raise

    def close(self) -> None:
        """Release the shards for another writer."""
        self._close_shard()
        self._lock.release()

    def _open_shard(self) -> None:
        self._close_shard()
        numbers = [int(p.stem.rpartition("-")[2]) for p in self.folder.glob(f"{self._slot}-*") if p.suffix != DATA]
        number = max(numbers, default=0)
        while not self._take_over(self.folder / f"{self._slot}-{number:05d}{INDEX}"):
            number += 1

    def _take_over(self, path: Path) -> bool:
        """Open this shard to append to it, unless it is full, damaged or shorter than its index says."""
        if path.with_suffix(DAMAGED).exists():
            return False
        entries, index_end = read_index(path) if path.exists() else ({}, 0)
        data = path.with_suffix(DATA)
        end = max((entry.stop(self.itemsize) for entry in entries.values()), default=0)
        if end >= SHARD_BYTES or end > file_size(data):
            return False
        self._path, self._end = path, end
        self._data, self._index = open(data, "ab"), open(path, "ab")  # noqa: SIM115 - closed in _close_shard
        self._data.truncate(end)
        self._index.truncate(index_end)
        return True

    def _close_shard(self) -> None:
        for file in (self._data, self._index):
            if file is not None:
                with suppress(OSError):  # a full disk; the rest is cut off when the shard is opened next
                    file.close()
        self._data = self._index = None


class ShardReader:
    """Read the arrays of a folder, which may not exist yet, memory-mapped, while other processes write."""

    def __init__(self, folder: Path, dtype: str):
        self.folder, self.dtype = folder, np.dtype(dtype)
        self.entries: dict[str, Entry] = {}
        self.cut_off: list[tuple[str, Entry]] = []
        self._read_to: dict[Path, int] = {}
        self._maps: dict[Path, mmap.mmap] = {}

    def refresh(self) -> None:
        """Update `entries`, the arrays on disk, and `cut_off`, entries of an index beyond the end of the data file."""
        found = self.cut_off
        for path in sorted(self.folder.glob(f"*{INDEX}")):
            more, self._read_to[path] = read_index(path, self._read_to.get(path, 0))
            found += more.items()
        sizes = {shard: file_size(shard.with_suffix(DATA)) for shard in {entry.shard for _, entry in found}}
        for key, entry in found:
            if entry.stop(self.dtype.itemsize) <= sizes[entry.shard]:
                self.entries.setdefault(key, entry)
        self.cut_off = [(key, entry) for key, entry in found if key not in self.entries]

    def read(self, key: str) -> np.ndarray:
        """Return an array (rows, width), read-only.

        Raises:
            ValueError: The bytes are not those that were written, so the whole shard is deleted, here or by another.
        """
        entry = self.entries[key]
        stop = entry.stop(self.dtype.itemsize)
        try:
            mapped = self._map(entry.shard, stop)
        except FileNotFoundError:
            raise ValueError(f"{entry.shard.with_suffix(DATA)} has been deleted (clip {key}); {START_AGAIN}") from None
        if entry.checksum is not None:
            if zlib.crc32(memoryview(mapped)[entry.offset : stop]) != entry.checksum:
                self._delete(entry.shard)
                raise ValueError(
                    f"{entry.shard.with_suffix(DATA)} is damaged (clip {key}) and has been deleted; {START_AGAIN}"
                )
            self.entries[key] = entry._replace(checksum=None)
        frames = np.frombuffer(mapped, self.dtype, entry.rows * entry.width, entry.offset)
        return frames.reshape(entry.rows, entry.width)

    def _map(self, shard: Path, stop: int) -> mmap.mmap:
        mapped = self._maps.get(shard)
        if mapped is None or len(mapped) < stop:
            with open(shard.with_suffix(DATA), "rb") as file:
                mapped = self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return mapped

    def _delete(self, shard: Path) -> None:
        """Leave a marker, so that no writer uses the name again."""
        with suppress(FileNotFoundError):  # another process was faster
            os.replace(shard, shard.with_suffix(DAMAGED))
        shard.with_suffix(DATA).unlink(missing_ok=True)
        self.entries = {key: entry for key, entry in self.entries.items() if entry.shard != shard}


def file_size(path: Path) -> int:
    """Return the size in bytes, 0 without a file, by opening it: network file systems cache what `stat` returns."""
    try:
        with open(path, "rb") as file:
            return file.seek(0, os.SEEK_END)
    except FileNotFoundError:
        return 0
