"""Your own rated speech: a CSV or Parquet file, a saved dataset, or a dataset on the Hub, as a `Corpus`.

corpus = load_table_corpus(
    "ratings.csv", audio_column="wav", activation_column="arousal", speaker_column="actor", label_range=(1, 9)
)
"""

import os
import random
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from speech_affect import DIMENSIONS

from ..settings.labels import SPLITS
from .corpus import BadRows, Corpus, CorpusError, check_label_range
from .table_batches import Table, read_tables
from .table_rows import TableReader


SHARES = {"train": 0.6, "development": 0.2, "test1": 0.2}


def load_table_corpus(
    source: str | os.PathLike,
    *,
    label_range: tuple[float, float],
    audio_column: str = "audio",
    activation_column: str = "activation",
    valence_column: str = "valence",
    dominance_column: str = "dominance",
    speaker_column: str | None = None,
    gender_column: str | None = None,
    emotion_column: str | None = None,
    transcript_column: str | None = None,
    split_column: str | None = None,
    audio_dir: str | os.PathLike | None = None,
    on_error: str = "raise",
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
) -> Corpus:
    """Loads rated speech out of a table.

    The splits are those of `split_column`; without it, those of the source where it has several; else the speakers
    are dealt out 60/20/20 to train, development and test1.

    Args:
        source: A `.csv` or `.parquet` file, a folder written by `save_to_disk` or holding Parquet files, or the id of
            a dataset on the Hub.
        label_range: Lowest and highest rating possible, in the unit of the table.
        audio_column: Paths of audio files, or audio as `datasets` keeps it (bytes, or a path).
        activation_column: Ratings; likewise `valence_column` and `dominance_column`.
        speaker_column: Who speaks; `Unknown` where empty or not given. Likewise `gender_column`.
        emotion_column: One-letter codes of MSP-Podcast, or the words for them (`anger`, `happy`, ...).
        transcript_column: What is said.
        split_column: train, dev, validation, test, test1, test2, test3, ... (see `table_batches.SPLIT_OF`). Ratings
            may be absent in test3 only.
        audio_dir: The folder that holds all audio; by default that of the table.
        on_error: `"raise"` to stop at the first bad row, `"skip"` to leave bad rows out and log how many.
        seed: Deals out the speakers.
        cache_dir: Where Parquet files and Hub datasets are cached; by default where `datasets` keeps its own.

    Returns:
        The corpus, named after the source. The file name is the path within the audio folder, or for embedded audio
        its base name, made unique by the row.

    Raises:
        CorpusError: The source or a column is not there, a row is bad and `on_error` is `"raise"`, a path leaves the
            audio folder, or splits are to be made and there are no speakers.
    """
    ratings = dict(zip(DIMENSIONS, (activation_column, valence_column, dominance_column), strict=True))
    details = {"speaker": speaker_column, "gender": gender_column, "emotion": emotion_column}
    others = {"transcript": transcript_column, "split": split_column}
    columns = {"audio": audio_column, **ratings, **details, **others}
    columns = {role: column for role, column in columns.items() if column is not None}
    return _load(
        os.fspath(source), columns, check_label_range(label_range), audio_dir, BadRows(on_error), seed, cache_dir
    )


def _load(source, columns, label_range, audio_dir, bad_rows, seed, cache_dir) -> Corpus:
    tables, folder = read_tables(source, columns, cache_dir, bad_rows)
    deal = "split" not in columns and len(tables) == 1
    if deal and "speaker" not in columns:
        raise CorpusError(
            f"{source} is not split and split_column is not given, so speaker-disjoint splits are to be made: "
            "give speaker_column."
        )
    base = os.path.abspath(audio_dir) if audio_dir is not None else folder
    reader = TableReader(columns, label_range, base, bad_rows, deal)
    splits = _splits(reader, tables, seed)
    bad_rows.warn()
    if not splits:
        raise CorpusError(f"{source} has no usable row ({bad_rows.total} were left out).")
    split_column = columns.get("split")
    origin = f"dealt out by speaker, seed {seed}" if deal else f"by {split_column}" if split_column else "as given"
    return Corpus(
        name=Path(source).stem,
        splits=splits,
        label_range=reader.label_range,
        note=f"{os.path.basename(source)}, splits {origin}; rows left out: {bad_rows.total}.",
        skipped=bad_rows.total,
    )


def _splits(reader: TableReader, tables: Sequence[Table], seed: int) -> DatasetDict:
    parts: dict[str, list[Dataset]] = {split: [] for split in SPLITS}
    for table in tables:
        checked = deque(reader.check(table))
        dealt = None
        if reader.deal and checked:
            speakers = set().union(*(pc.unique(batch["speaker"]).to_pylist() for batch in checked))
            dealt = deal_speakers(sorted(speakers), seed)
        chosen: dict[str, list[pa.Table]] = {split: [] for split in SPLITS}
        while checked:
            batch = checked.popleft()  # so that no row is held twice
            of_rows = pa.array([dealt[who] for who in batch["speaker"].to_pylist()]) if dealt else batch["split"]
            for split in pc.unique(of_rows).to_pylist():
                chosen[split].append(batch.filter(pc.equal(of_rows, split)))
        for split, batches in chosen.items():
            if batches:
                parts[split].append(reader.build(table, pa.concat_tables(batches)))
    return DatasetDict({split: datasets.concatenate_datasets(part) for split, part in parts.items() if part})


def deal_speakers(speakers: Sequence[str], seed: int) -> dict[str, str]:
    """Deals speakers out to train, development and test1, 60/20/20 by number of speakers, at least one each.

    Args:
        speakers: The speaker of each row.
        seed: The same speakers and seed give the same splits, whatever the order of the rows.

    Returns:
        Speaker -> split.

    Raises:
        CorpusError: Fewer than three speakers.
    """
    names = sorted(set(speakers))
    if len(names) < len(SHARES):
        raise CorpusError(
            f"speaker-disjoint splits need at least {len(SHARES)} speakers; the table has {len(names)}"
            f" ({', '.join(names)}). Give a split_column instead."
        )
    random.Random(seed).shuffle(names)
    held_out = [max(1, round(SHARES[split] * len(names))) for split in ("development", "test1")]
    bounds = {"development": held_out[0], "test1": sum(held_out), "train": len(names)}
    dealt, start = {}, 0
    for split, end in bounds.items():
        dealt.update(dict.fromkeys(names[start:end], split))
        start = end
    return dealt
