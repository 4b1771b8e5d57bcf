"""Sources of speech that is streamed: folders, WebDataset tar files, Parquet files, and data sets on the Hub."""

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets

from .corpus import CorpusError, listed
from .paths import AUDIO_SUFFIXES
from .unlabelled import audio_files


SETTING = "unlabelled_stream"
HUB = "hub:"
KINDS = {".tar": "webdataset", ".parquet": "parquet"}  # suffix of a shard -> what `datasets` reads it by
# of a tar file each member is read as it is: the audio of a sample by its suffix
TAR_FEATURES = datasets.Features({suffix[1:]: datasets.Value("binary") for suffix in sorted(AUDIO_SUFFIXES)})
OPTIONS = {"webdataset": {"features": TAR_FEATURES}, "parquet": {"batch_size": 16}}  # rows decoded at once


@dataclass(frozen=True)
class StreamSource:
    """Shards of recordings, each read from its beginning to its end: tar or Parquet files; of a folder each file.

    Args:
        given: The source as it was given.
        shards: Their paths, or their addresses on the Hub with the commit.
        rows: Reads them, as many shards as there are; None where each shard is a recording.
    """

    given: str
    shards: list[str]
    rows: datasets.IterableDataset | None = None

    @property
    def is_remote(self) -> bool:
        """Whether an error may be one of the network."""
        return self.given.startswith(HUB)

    @property
    def identity(self) -> str:
        """SHA-256 of the source as given, and of the names of its shards and the sizes of those on this machine."""
        sizes = [os.path.getsize(shard) if os.path.isfile(shard) else None for shard in self.shards]
        return hashlib.sha256(json.dumps([self.given, self.shards, sizes]).encode()).hexdigest()

    def recordings(self, shard: int, first: int = 0) -> Iterator[dict]:
        """Read the recordings of a shard from one on: `{"path", "bytes"}`, not decoded.

        A row without audio in it has no bytes: a path in a row, which anybody may have written, is never opened.
        """
        if self.rows is None:
            yield from [{"path": self.shards[shard], "bytes": None}][first:]
            return
        rows = self.rows.shard(self.rows.num_shards, shard).skip(first)
        # not by `iter(rows)`, which would deal out its one shard to the workers of a loader once more
        for number, batch in enumerate(rows.iter(batch_size=1), first):
            values = [value for (value,) in batch.values() if value]
            content = values[0]["bytes"] if values and isinstance(values[0], dict) else next(iter(values), None)
            yield {"path": f"{self.shards[shard]}, row {number}", "bytes": content or b""}


def open_sources(given: Sequence[str]) -> list[StreamSource]:
    """Find the shards of each source, and read no audio.

    Args:
        given: Folders of audio files; paths or globs of tar files in WebDataset format (`*.tar`) or of Parquet files
            with a column of audio (`*.parquet`); or `hub:NAME[:CONFIG]/SPLIT`, a data set on the Hub in one of these
            two formats.

    Raises:
        CorpusError: There is no such source, it has no shards, or not one column of audio.
    """
    return [_hub_source(each) if each.startswith(HUB) else _local_source(each) for each in given]


def _local_source(given: str) -> StreamSource:
    kind = KINDS.get(os.path.splitext(given)[1])
    if kind is None:
        return StreamSource(given, [str(path) for path in audio_files(Path(given), SETTING)])
    shards = sorted(path for path in glob.glob(given, recursive=True) if os.path.isfile(path))
    if not shards:
        raise CorpusError(f"{SETTING} {given}: there is no such file; give a path, or a glob such as shards/*.tar.")
    files = {"train": [glob.escape(shard) for shard in shards]}
    try:
        builder = datasets.load_dataset_builder(kind, data_files=files, **OPTIONS[kind])
        rows = builder.as_streaming_dataset("train")
    except (OSError, ValueError) as error:  # a Parquet file whose schema cannot be read
        raise CorpusError(f"{SETTING} {given} cannot be read ({error!s:.200}); repair it or take it away.") from error
    return StreamSource(given, shards, _audio_alone(given, rows))


def _hub_source(given: str) -> StreamSource:
    place, _, split = given.removeprefix(HUB).rpartition("/")
    name, _, config = place.partition(":")
    if not (name and split):
        raise CorpusError(f"{SETTING} {given} names no split; give hub:NAME/SPLIT or hub:NAME:CONFIG/SPLIT.")
    rows = None
    try:
        builder = datasets.load_dataset_builder(name, config or None)
        files = {str(key): list(map(str, paths)) for key, paths in (builder.config.data_files or {}).items()}
        suffixes = {os.path.splitext(path)[1] for path in files.get(split, ())}
        if len(suffixes) == 1 and suffixes <= set(KINDS):
            (kind,) = (KINDS[suffix] for suffix in suffixes)
            builder = datasets.load_dataset_builder(name, config or None, **OPTIONS[kind])
            rows = builder.as_streaming_dataset(split)
    except (OSError, ValueError) as error:
        raise CorpusError(f"{SETTING} {given} cannot be opened: {error!s:.200}") from error
    if rows is not None:
        return StreamSource(given, files[split], _audio_alone(given, rows))
    if split not in files:
        raise CorpusError(f"{SETTING} {given}: there is no such split; there are {listed(files)}.")
    raise CorpusError(f"{SETTING} {given} has {listed(sorted(suffixes))}; allowed are .parquet or .tar, of one kind.")


def _audio_alone(given: str, rows: datasets.IterableDataset) -> datasets.IterableDataset:
    """Leave the column of audio alone, not decoded; of tar files there is one per suffix."""
    if rows.features == TAR_FEATURES:
        return rows.select_columns(list(TAR_FEATURES))
    names = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Audio) or name == "audio"]
    if len(names) != 1:
        raise CorpusError(
            f"{SETTING} {given} has columns {listed(rows.features)}, {len(names)} of them audio; give files with one "
            "column of type Audio, or of that name."
        )
    return rows.select_columns(names).cast_column(names[0], datasets.Audio(decode=False))
