"""A corpus as Parquet files with the audio inside them, and back.

    python -m speech_affect_training.corpora.parquet --data_dir MSP-PODCAST-Publish-1.11 --output msp-parquet

    datasets.load_dataset("msp-parquet")  # every split, without this package
    load_parquet_corpus("msp-parquet")  # the corpus again, with its label range and note

Shards are written as `Dataset.push_to_hub` writes them, but into a folder. Audio files are embedded as they are, not
decoded, so neither torchcodec nor FFmpeg is needed.
"""

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets.table import embed_table_storage
from datasets.utils.py_utils import convert_file_size_to_int
from huggingface_hub import HfApi

from speech_affect import DIMENSIONS

from ..files import atomic_path, read_json, write_json, write_text
from ..settings.labels import SPLITS
from .corpus import FEATURES, SEGMENT, Corpus, CorpusError, audio_sizes, with_audio
from .msp_podcast import LICENCE, load_msp_podcast_corpus
from .segments import clips_of, cut


MANIFEST = "corpus.json"
LAYOUT = 1  # raise when the same corpus is written in another way
ROW_GROUP_ROWS = 100  # a reader of one row reads its whole group, some 30 MB of speech
CARD = Path(__file__).with_name("parquet_card.md")


def write_parquet(
    corpus: Corpus, output: str | os.PathLike, *, licence: str, max_shard_size: int | str = "500MB"
) -> Path:
    """Write a corpus as `data/SPLIT-00000-of-00003.parquet`, a dataset card, and what `load_parquet_corpus` needs.

    Everything is written into `OUTPUT.incomplete`, which is renamed at the end. After an interruption the same call
    continues there: a finished shard is not written again. Rows, splits and their order are those of the corpus;
    `audio` holds the bytes of the file, or the stretch of it that a row rates, as WAV, and its base name. One shard at
    a time is in memory.

    Args:
        corpus: What to write.
        output: A folder that does not exist, is empty, or holds the very same corpus (which is then left as it is).
        licence: A sentence that opens the card.
        max_shard_size: Bytes of audio in a shard on average, or a text such as `"500MB"`.

    Returns:
        The absolute path of the folder.

    Raises:
        CorpusError: The folder holds something else, or `max_shard_size` is not a size.
        OSError: An audio file cannot be read, or the folder cannot be written.
    """
    output = Path(os.path.abspath(output))
    manifest = _manifest(corpus, _size(max_shard_size))
    if _holds(output, manifest):
        return output
    work = output.with_name(output.name + ".incomplete")
    _open_work_folder(work, manifest)
    for split, rows in corpus.splits.items():
        count = manifest["splits"][split]["shards"]
        for index in range(count):
            _write_shard(rows.shard(count, index), work / shard_name(split, index, count))
    write_text(work / "README.md", dataset_card(corpus, manifest["splits"], licence))
    if output.is_dir():
        output.rmdir()  # empty, as was checked
    os.replace(work, output)
    return output


def is_parquet_corpus(folder: str | os.PathLike) -> bool:
    """Return whether `write_parquet` wrote this folder."""
    return os.path.isfile(os.path.join(folder, MANIFEST))


def load_parquet_corpus(folder: str | os.PathLike, cache_dir: str | os.PathLike | None = None) -> Corpus:
    """Read a folder of `write_parquet` back, from wherever it was copied.

    Args:
        folder: The folder.
        cache_dir: Where `datasets` keeps its copy of the rows, audio included; by default its own cache.

    Raises:
        CorpusError: The folder was not written by `write_parquet`, or shards or rows are missing.
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
            list(map(str, paths)), split=datasets.NamedSplit(split), cache_dir=cache_dir and str(cache_dir)
        )
        if len(rows) != count["rows"]:
            raise CorpusError(f"{folder}: {split} has {len(rows)} rows; {MANIFEST} says {count['rows']}.")
        splits[split] = rows
    low, high = manifest["label_range"]
    rated = with_audio(datasets.DatasetDict(splits))
    return Corpus(manifest["name"], rated, (low, high), manifest["note"], manifest["skipped"])


def shard_name(split: str, index: int, count: int) -> str:
    """Return `data/train-00000-of-00003.parquet`, as `datasets` and the Hub name shards."""
    return f"data/{split}-{index:05d}-of-{count:05d}.parquet"


def dataset_card(corpus: Corpus, counts: dict[str, dict[str, int]], licence: str) -> str:
    """Return the card of a corpus written as Parquet; `counts` are per split its `rows` and `shards`."""
    # the number of shards is in the pattern: those of an earlier writing under the same name are not mixed in
    files = [{"split": split, "path": f"data/{split}-*-of-{n['shards']:05d}.parquet"} for split, n in counts.items()]
    splits = corpus.splits.values()
    rated = [d for d in DIMENSIONS if any(value is not None for rows in splits for value in rows[d])]
    front = {
        "pretty_name": corpus.name,
        "license": "other",
        "task_categories": ["audio-classification"],
        "tags": ["audio", "speech", "emotion", *rated],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    low, high = corpus.label_range
    rows = "\n".join(f"| `{split}` | {count['rows']:,} |" for split, count in counts.items())
    scale = f"{', '.join(rated)} from {low:g} to {high:g}"
    text = CARD.read_text(encoding="utf-8").format(corpus=corpus, licence=licence, scale=scale, rows=rows)
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n{text}"


def push_privately(folder: str | os.PathLike, repo_id: str) -> str:
    """Upload a folder as a private dataset repository `user/name`, made where it does not exist; return its address.

    Raises:
        ValueError: The repository exists and is public; nothing is uploaded then.
    """
    api = HfApi()
    address = api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
    # the Hub leaves an existing repository as public as it was
    if api.dataset_info(address.repo_id).private is not True:
        raise ValueError(
            f"{repo_id} is public, and this corpus must not be: make it private in its settings, or give another name"
        )
    api.upload_folder(repo_id=address.repo_id, folder_path=os.fspath(folder), repo_type="dataset")
    return str(address)


def _size(max_shard_size: int | str) -> int:
    try:
        size = convert_file_size_to_int(max_shard_size)
    except ValueError:
        size = 0
    if size < 1:
        raise CorpusError(f"max_shard_size is {max_shard_size!r}; give bytes, or a text such as '500MB' or '1GB'.")
    return size


def _manifest(corpus: Corpus, shard_bytes: int) -> dict:
    """What is written; two corpora with the same manifest have the same rows, and audio files of the same sizes."""
    digest, counts = hashlib.sha256(), {}
    for split, rows in corpus.splits.items():
        sizes = _sizes(rows)
        for batch in rows.remove_columns("audio").with_format(None).iter(1000):
            digest.update(repr(batch).encode())
        digest.update(repr((split, sizes)).encode())
        counts[split] = {"rows": len(rows), "shards": max(1, min(len(rows), -(-sum(sizes) // shard_bytes)))}
    return {
        "layout": LAYOUT,
        "name": corpus.name,
        "label_range": list(corpus.label_range),
        "note": corpus.note,
        "skipped": corpus.skipped,
        "splits": counts,
        "rows_sha256": digest.hexdigest(),
    }


def _sizes(rows: datasets.Dataset) -> list[int]:
    """Bytes of audio in each row, of segments about."""
    sizes = [size for _, size in audio_sizes(rows)]
    if set(SEGMENT) <= set(rows.column_names):
        clips = (clip for _, clip in clips_of(rows))
        sizes = [n if isinstance(c, dict) else 2 * (c.stop - c.start) for n, c in zip(sizes, clips, strict=True)]
    return sizes


def _cut_out(row: dict) -> dict:
    if row["start"] is None and row["end"] is None:
        return {}
    name = os.path.basename(row["audio"]["path"] or row["file"])
    return {"audio": {"bytes": cut(row["audio"], row["start"], row["end"]), "path": name}}


def _read_manifest(path: Path) -> dict:
    manifest = read_json(path)
    splits = manifest.get("splits")
    # names of files come from it
    if manifest.get("layout") != LAYOUT or not isinstance(splits, dict) or not set(splits) <= set(SPLITS):
        raise CorpusError(f"{path} is not of layout {LAYOUT}; write the folder again with this version.")
    return manifest


def _holds(output: Path, manifest: dict) -> bool:
    """Return whether the folder holds this corpus already; raise CorpusError if it holds anything else."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    if not is_parquet_corpus(output):
        raise CorpusError(f"{output} is a file, or holds something else than a corpus; give a new or empty folder.")
    if _read_manifest(output / MANIFEST) != manifest:
        raise CorpusError(
            f"{output} holds other rows, or shards of another size; delete it, or give a new or empty folder."
        )
    return True


def _open_work_folder(work: Path, manifest: dict) -> None:
    """Continue with a folder that an interrupted call left, if it was writing the same; empty it otherwise."""
    if work.exists() and read_json(work / MANIFEST) != manifest:
        if not is_parquet_corpus(work) and (not work.is_dir() or any(p.suffix != ".tmp" for p in work.iterdir())):
            raise CorpusError(f"{work} is in the way, and not an interrupted writing of a corpus; move it away.")
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / MANIFEST, manifest)
    (work / "data").mkdir(exist_ok=True)
    for unfinished in work.rglob("*.tmp"):
        unfinished.unlink()


def _write_shard(rows: datasets.Dataset, path: Path) -> None:
    """Write some rows of a split with their audio, unless an earlier call did."""
    try:
        if pq.read_metadata(path).num_rows == len(rows):  # at the end of the file: a torn one has none
            return
    except (OSError, pa.ArrowInvalid):
        pass
    if set(SEGMENT) <= set(rows.column_names):
        rows = rows.map(_cut_out, remove_columns=list(SEGMENT), features=FEATURES, keep_in_memory=True, desc=path.name)
    embedded = (
        with_audio(rows)
        .with_format("arrow")
        .map(
            embed_table_storage,
            fn_kwargs={"remote_files": False},
            batched=True,
            batch_size=ROW_GROUP_ROWS,
            keep_in_memory=True,
            desc=path.name,
        )
    )
    with atomic_path(path) as temporary:
        embedded.to_parquet(temporary, batch_size=ROW_GROUP_ROWS)


def main(argv: Sequence[str]) -> None:
    """Write a release of MSP-Podcast as Parquet, and upload it privately when asked to."""
    parser = argparse.ArgumentParser(description="MSP-Podcast as Parquet files with the audio inside.")
    parser.add_argument("--data_dir", required=True, help="Folder of the release.")
    parser.add_argument("--output", required=True, help="New or empty folder; an interrupted call continues there.")
    parser.add_argument("--max_shard_size", default="500MB", help="Audio per file (default: %(default)s).")
    parser.add_argument("--labels_file", help="Labels of an older release, in Previous_releases_information.")
    parser.add_argument("--on_error", default="raise", choices=("raise", "skip"), help="What to do with a bad row.")
    parser.add_argument("--push_to_hub", metavar="USER/NAME", help="Also upload, as a private dataset repository.")
    args = parser.parse_args(argv)
    corpus = load_msp_podcast_corpus(args.data_dir, on_error=args.on_error, labels_file=args.labels_file)
    folder = write_parquet(corpus, args.output, licence=LICENCE, max_shard_size=args.max_shard_size)
    counts = ", ".join(f"{len(rows)} {split}" for split, rows in corpus.splits.items())
    print(f"{folder}: {counts}. {LICENCE}")
    if args.push_to_hub:
        print(f"{push_privately(folder, args.push_to_hub)} (private). {LICENCE}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
