"""A corpus as Parquet files with the audio inside them, and back.

    write_parquet(load_msp_podcast_corpus("MSP-PODCAST-Publish-1.11"), "msp-parquet", licence="...")
    datasets.load_dataset("msp-parquet")  # every split, without a line of this code
    load_parquet_corpus("msp-parquet")  # the corpus again, with its label range and note

Bytes go in as they lie on disk: nothing is decoded, so neither torchcodec nor FFmpeg is needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets.utils import are_progress_bars_disabled
from datasets.utils.py_utils import convert_file_size_to_int
from tqdm.auto import tqdm

from ..settings.labels import SPLITS
from .corpus import FEATURES, Corpus, CorpusError, with_audio
from .dataset_card import dataset_card


logger = logging.getLogger(__name__)

MANIFEST = "corpus.json"
LAYOUT = 1  # raise when the same corpus is written in another way
# a reader of one row reads its whole group: the Hub's viewer refuses groups much larger
ROW_GROUP_BYTES = 32 << 20
ROW_GROUP_ROWS = 1000
PART = ".part"  # of a file that is being written


class Shard(NamedTuple):
    """One file: the rows of a split that go into it, and its name within the folder."""

    split: str
    rows: range
    name: str


def write_parquet(
    corpus: Corpus, output: str | os.PathLike, *, licence: str, max_shard_size: int | str = "500MB"
) -> Path:
    """Writes a corpus as `data/SPLIT-00000-of-00003.parquet`, a dataset card, and what `load_parquet_corpus` needs.

    Everything is written into `OUTPUT.incomplete` and renamed in the end. After an interruption the same call goes on
    there: a finished shard is not written again. Rows, splits and their order are those of the corpus; `audio` holds
    the bytes of the file and its base name. No more than a row group (32 MiB of audio) is in memory at a time.

    Args:
        corpus: What to write.
        output: A folder that does not exist, is empty, or holds the very same corpus (which is then left as it is).
        licence: What the card says in front of everything else.
        max_shard_size: Bytes of audio per shard, or a text such as `"500MB"`; a shard holds at least one row.

    Returns:
        The folder, absolute.

    Raises:
        CorpusError: The folder holds something else, or `max_shard_size` is not a size.
        OSError: An audio file cannot be read, or the folder cannot be written.
    """
    output = Path(os.path.abspath(output))
    sizes = {split: list(_audio_sizes(rows)) for split, rows in corpus.splits.items()}
    shards = _plan(sizes, _size(max_shard_size))
    manifest = _manifest(corpus, sizes, shards)
    if _holds(output, manifest):
        logger.info("%s already holds this corpus", output)
        return output
    work = output.with_name(output.name + ".incomplete")
    _open_work_folder(work, manifest)
    total = sum(map(sum, sizes.values()))
    with tqdm(total=total, desc=output.name, unit="B", unit_scale=True, disable=are_progress_bars_disabled()) as bar:
        for shard in shards:
            if _is_written(work / shard.name, len(shard.rows)):
                bar.update(sum(sizes[shard.split][row] for row in shard.rows))
            else:
                _write_shard(corpus.splits[shard.split], shard.rows, sizes[shard.split], work / shard.name, bar)
    _write_text(work / "README.md", dataset_card(corpus, manifest["splits"], licence))
    if output.is_dir():
        output.rmdir()  # empty, as was checked
    os.replace(work, output)
    return output


def is_parquet_corpus(folder: str | os.PathLike) -> bool:
    """Whether `write_parquet` wrote this folder."""
    return os.path.isfile(os.path.join(folder, MANIFEST))


def load_parquet_corpus(folder: str | os.PathLike, cache_dir: str | os.PathLike | None = None) -> Corpus:
    """Reads a folder of `write_parquet` back, from wherever it was copied.

    Args:
        folder: The folder.
        cache_dir: Where `datasets` keeps its copy of the rows, audio included; by default where it keeps its own.

    Raises:
        CorpusError: The folder is none of `write_parquet`, or shards or rows are missing.
    """
    folder = Path(os.path.abspath(folder))
    if not is_parquet_corpus(folder):
        raise CorpusError(f"{folder} holds no {MANIFEST}; it must be a folder that write_parquet wrote.")
    manifest = _read_manifest(folder / MANIFEST)
    splits = {}
    for split, count in manifest["splits"].items():
        paths = [folder / shard_name(split, index, count["shards"]) for index in range(count["shards"])]
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise CorpusError(
                f"{len(missing)} shards are missing: {', '.join(missing[:5])}. Copy or write them again."
            )
        rows = datasets.Dataset.from_parquet(
            list(map(str, paths)), split=datasets.NamedSplit(split), cache_dir=cache_dir and os.fspath(cache_dir)
        )
        if len(rows) != count["rows"]:
            raise CorpusError(f"{folder}: {split} has {len(rows)} rows; {MANIFEST} says {count['rows']}.")
        splits[split] = rows
    return Corpus(
        name=manifest["name"],
        splits=with_audio(datasets.DatasetDict(splits)),
        label_range=tuple(manifest["label_range"]),
        note=manifest["note"],
        skipped=manifest["skipped"],
    )


def shard_name(split: str, index: int, count: int) -> str:
    """`data/train-00000-of-00003.parquet`, as `datasets` and the Hub name shards."""
    return f"data/{split}-{index:05d}-of-{count:05d}.parquet"


def _size(max_shard_size: int | str) -> int:
    try:
        size = convert_file_size_to_int(max_shard_size)
    except ValueError:
        size = 0
    if size < 1:
        raise CorpusError(f"max_shard_size is {max_shard_size!r}; give bytes, or a text such as '500MB' or '1GB'.")
    return size


def _audio_sizes(rows: datasets.Dataset) -> Iterator[int]:
    """Bytes of each row's audio; no audio is read."""
    for table in rows.select_columns(["audio"]).with_format("arrow").iter(1000):
        audio = table["audio"].combine_chunks()
        embedded = pc.binary_length(audio.field("bytes")).to_pylist()
        for size, path in zip(embedded, audio.field("path").to_pylist(), strict=True):
            yield os.path.getsize(path) if size is None else size


def _cut(sizes: Sequence[int], most_bytes: int, most_rows: int | None = None) -> list[range]:
    """Consecutive rows, as many at a time as stay within both limits, but at least one."""
    ranges, start, held = [], 0, 0
    for row, size in enumerate(sizes):
        if row > start and (held + size > most_bytes or row - start == most_rows):
            ranges.append(range(start, row))
            start, held = row, 0
        held += size
    return [*ranges, range(start, len(sizes))]


def _plan(sizes: dict[str, list[int]], most_bytes: int) -> list[Shard]:
    shards = []
    for split, per_row in sizes.items():
        cut = _cut(per_row, most_bytes)
        shards += [Shard(split, rows, shard_name(split, index, len(cut))) for index, rows in enumerate(cut)]
    return shards


def _manifest(corpus: Corpus, sizes: dict[str, list[int]], shards: list[Shard]) -> dict:
    """What is written; two corpora with the same manifest have the same rows, and audio files of the same sizes."""
    digest = hashlib.sha256()
    for split, rows in corpus.splits.items():
        for batch in rows.remove_columns("audio").with_format(None).iter(1000):
            digest.update(repr(batch).encode())
        digest.update(repr((split, sizes[split])).encode())
    counts = {split: {"rows": len(sizes[split]), "shards": 0} for split in sizes}
    for shard in shards:
        counts[shard.split]["shards"] += 1
    return {
        "layout": LAYOUT,
        "name": corpus.name,
        "label_range": list(corpus.label_range),
        "note": corpus.note,
        "skipped": corpus.skipped,
        "splits": counts,
        "rows_sha256": digest.hexdigest(),
    }


def _read_manifest(path: Path) -> dict:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        unknown = [split for split in manifest["splits"] if split not in SPLITS]  # names of files come from it
        sound = manifest["layout"] == LAYOUT and not unknown
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise CorpusError(f"{path} is not of layout {LAYOUT}; write the folder again with this version.")
    return manifest


def _holds(output: Path, manifest: dict) -> bool:
    """Whether the folder holds this corpus already; raises if it holds anything else."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    if not output.is_dir():
        raise CorpusError(f"{output} is a file; give a new or empty folder.")
    if not is_parquet_corpus(output):
        raise CorpusError(f"{output} is not empty, and no corpus was written there; give a new or empty folder.")
    if _read_manifest(output / MANIFEST) != manifest:
        raise CorpusError(
            f"{output} holds other rows, or shards of another size; delete it, or give a new or empty folder."
        )
    return True


def _open_work_folder(work: Path, manifest: dict) -> None:
    """Goes on with a folder that an interrupted call left, if it was writing the same; empties it otherwise."""
    if work.exists():
        strange = not work.is_dir() or any(path.suffix != PART for path in work.iterdir())
        if strange and not is_parquet_corpus(work):
            raise CorpusError(f"{work} is in the way, and not an interrupted writing of a corpus; move it away.")
        try:
            same = _read_manifest(work / MANIFEST) == manifest
        except (CorpusError, OSError):
            same = False
        if not same:
            shutil.rmtree(work)
    (work / "data").mkdir(parents=True, exist_ok=True)
    _write_text(work / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(path.name + PART)
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _is_written(path: Path, rows: int) -> bool:
    try:
        return pq.read_metadata(path).num_rows == rows  # at the end of the file: a torn one has none
    except (OSError, pa.ArrowInvalid):
        return False


def _write_shard(rows: datasets.Dataset, which: range, sizes: list[int], path: Path, bar: tqdm) -> None:
    """Writes some rows of a split, one row group after the other."""
    # the schema says that audio is Audio(decode=False): readable everywhere, and one cast away from decoding
    schema = datasets.Features({**FEATURES, "audio": datasets.Audio(decode=False)}).arrow_schema
    part = path.with_name(path.name + PART)
    options = {"use_dictionary": False, "use_content_defined_chunking": True, "write_page_index": True}
    with pq.ParquetWriter(part, schema, **options) as writer:
        for group in _cut(sizes[which.start : which.stop], ROW_GROUP_BYTES, ROW_GROUP_ROWS):
            group = range(which.start + group.start, which.start + group.stop)
            table = rows.select(group).with_format("arrow")[:]
            writer.write_table(_embed(table).select(schema.names).cast(schema), row_group_size=len(group))
            bar.update(sum(sizes[row] for row in group))
    os.replace(part, path)


def _embed(table: pa.Table) -> pa.Table:
    """The table with the bytes of each audio file in it."""
    audio = []
    for clip in table["audio"].to_pylist():
        content, path = clip["bytes"], clip["path"]
        if content is None:
            with open(path, "rb") as file:
                content = file.read()
        audio.append({"bytes": content, "path": path and os.path.basename(path)})
    column = table.schema.get_field_index("audio")
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return table.set_column(column, "audio", pa.array(audio, type=kind))
