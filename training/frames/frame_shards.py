"""Arrays of many clips in few files: shards that only grow, each with an index of what lies where in it."""

from __future__ import annotations

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


# a shard that has as much is not added to
SHARD_BYTES = 1 << 28
INDEX, DATA, DAMAGED = ".index", ".frames", ".damaged"
START_AGAIN = "start the run again: what was in it is made anew"


class Entry(NamedTuple):
    """
    Where an array lies.

    Args:
        shard: path of the index; the data lie beside it.
        offset: of the first byte.
        rows, width: the shape.
        checksum: CRC-32 of the bytes; None once they have been seen to be whole.
    """

    shard: Path
    offset: int
    rows: int
    width: int
    checksum: int | None

    def stop(self, itemsize: int) -> int:
        """One past the last byte."""
        return self.offset + self.rows * self.width * itemsize


def index_line(entries: dict[str, Entry]) -> bytes:
    """One batch in an index. Its own checksum comes first, so that a half-written line is known for what it is."""
    text = json.dumps({key: entry[1:] for key, entry in entries.items()}, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read_index(path: Path, start: int = 0) -> tuple[dict[str, Entry], int]:
    """
    What an index tells from a byte on; a batch that has not been noted to its end is left out.

    Returns:
        the entries by key, and where the last whole line ends.
    """
    with open(path, "rb") as file:
        file.seek(start)
        content = file.read()
    content = content[: content.rfind(b"\n") + 1]
    entries: dict[str, Entry] = {}
    for line in content.splitlines():
        checksum, _, text = line.partition(b" ")
        if checksum == b"%08x" % zlib.crc32(text):
            entries |= {key: Entry(path, *values) for key, values in json.loads(text).items()}
    return entries, start + len(content)


class ShardWriter:
    """
    Adds batches of arrays to a folder. Each writer of the folder has shards of its own: a lock, which ends with the
    process, tells which are taken. What a killed writer left half written is cut off by the next.

    Args:
        folder: with shards of one number format.
        itemsize: of that format, in bytes.
    """

    def __init__(self, folder: Path, itemsize: int):
        self.folder, self.itemsize = folder, itemsize
        folder.mkdir(parents=True, exist_ok=True)
        host = re.sub(r"[^A-Za-z0-9]+", "-", node()) or "host"  # not every file system's locks reach other machines
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
        """Add a batch of (rows, width) arrays; readers see all of it or nothing."""
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
            self._index.write(index_line(entries))
            self._index.flush()
            self._end = offset
        except BaseException:
            self._close_shard()  # where the files end is not known any more; they are cut when they are opened next
            raise

    def close(self) -> None:
        """Give the shards free for another writer."""
        self._close_shard()
        self._lock.release()

    def _open_shard(self) -> None:
        self._close_shard()
        numbers = [int(p.stem.rpartition("-")[2]) for p in self.folder.glob(f"{self._slot}-*") if p.suffix != DATA]
        number = max(numbers, default=0)
        while not self._take_over(self.folder / f"{self._slot}-{number:05d}{INDEX}"):
            number += 1

    def _take_over(self, path: Path) -> bool:
        """Go on at the end of this shard, or begin it; not where it is full, or shorter than its index says."""
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
            try:
                if file is not None:
                    file.close()
            except OSError:
                pass  # a full disk; what is missing is cut off when the shard is opened next
        self._data = self._index = None


class ShardReader:
    """
    Reads the arrays of a folder's shards, memory-mapped, while others write.

    Args:
        folder: of the shards; it need not be there yet.
        dtype: their number format.
    """

    def __init__(self, folder: Path, dtype: str):
        self.folder, self.dtype = folder, np.dtype(dtype)
        self.entries: dict[str, Entry] = {}
        self.cut_off: list[tuple[str, Entry]] = []
        self._read_to: dict[Path, int] = {}
        self._maps: dict[Path, mmap.mmap] = {}

    def refresh(self) -> None:
        """
        See what has been written since. `entries` then holds every array that is there, `cut_off` those that an index
        names, but that lie beyond the end of the shard's file.
        """
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
        """
        (rows, width), read-only.

        Raises:
            ValueError: the bytes are not those that were written. Their whole shard is then struck off. Or another
                process has done so.
        """
        entry = self.entries[key]
        stop = entry.stop(self.dtype.itemsize)
        try:
            mapped = self._map(entry.shard, stop)
        except FileNotFoundError:
            raise ValueError(f"{entry.shard.with_suffix(DATA)} has been deleted (clip {key}); {START_AGAIN}") from None
        if entry.checksum is not None:
            if zlib.crc32(memoryview(mapped)[entry.offset : stop]) != entry.checksum:
                self._strike_off(entry.shard)
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

    def _strike_off(self, shard: Path) -> None:
        """The marker that is left keeps writers from using the name again."""
        with suppress(FileNotFoundError):  # another process was faster
            os.replace(shard, shard.with_suffix(DAMAGED))
        shard.with_suffix(DATA).unlink(missing_ok=True)
        self.entries = {key: entry for key, entry in self.entries.items() if entry.shard != shard}


def file_size(path: Path) -> int:
    """In bytes; 0 where there is none. Opened, as network file systems remember for a while what `stat` said."""
    try:
        with open(path, "rb") as file:
            return file.seek(0, os.SEEK_END)
    except FileNotFoundError:
        return 0
