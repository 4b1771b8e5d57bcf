"""Your own rated speech: a CSV or Parquet file, a saved dataset, or a dataset on the Hub, as a `Corpus`.

corpus = load_table_corpus(
    "ratings.csv", audio_column="wav", activation_column="arousal", speaker_column="actor", label_range=(1, 9)
)
"""

import difflib
import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import datasets
from datasets import Audio, Dataset, DatasetDict, Features, Value

from corpora.corpus import (
    DIMENSIONS,
    EMOTIONS,
    FEATURES,
    SPLITS,
    UNKNOWN,
    BadRows,
    Corpus,
    CorpusError,
    RowError,
    check_inside,
    check_label_range,
    csv_rows,
    is_empty,
    parse_ratings,
    with_audio,
)


FILE_SUFFIXES = (".csv", ".parquet")
SPLIT_OF = {
    "train": "train",
    "training": "train",
    "dev": "development",
    "devel": "development",
    "development": "development",
    "val": "development",
    "valid": "development",
    "validation": "development",
    "eval": "test1",
    "evaluation": "test1",
    "test": "test1",
    "test1": "test1",
    "test2": "test2",
    "test3": "test3",
}
EMOTION_WORDS = {
    **{code.casefold(): code for code in EMOTIONS},
    **{word: code for code, word in EMOTIONS.items()},
    **{"angry": "A", "happy": "H", "joy": "H", "sad": "S", "surprised": "U", "fearful": "F", "disgusted": "D"},
}
SHARES = {"train": 0.6, "development": 0.2, "test1": 0.2}


@dataclass(frozen=True)
class _Table:
    """A table as read: its data, its name in messages, the number of each row, and the split it came as, if any."""

    data: Dataset
    source: str
    rows: Sequence[int]
    split: str | None = None


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
        split_column: train, dev, validation, test, test1, test2, test3, ... (see `SPLIT_OF`). Ratings may be absent
            in test3 only.
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
    tables, folder = _read(source, cache_dir, bad_rows)
    deal = "split" not in columns and len(tables) == 1
    if deal and "speaker" not in columns:
        raise CorpusError(
            f"{source} is not split and split_column is not given, so speaker-disjoint splits are to be made: "
            "give speaker_column."
        )
    base = os.path.abspath(audio_dir) if audio_dir is not None else folder
    reader = _Reader(columns, label_range, base, bad_rows, deal)
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


def _splits(reader: "_Reader", tables: Sequence[_Table], seed: int) -> DatasetDict:
    parts: dict[str, list[Dataset]] = {split: [] for split in SPLITS}
    for table in tables:
        rows = reader.check(table)
        dealt = deal_speakers([row["speaker"] for row in rows], seed) if reader.deal and rows else {}
        for split in SPLITS:
            chosen = [row for row in rows if dealt.get(row["speaker"], row["split"]) == split]
            if chosen:
                parts[split].append(reader.build(table, chosen))
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


def _read(source: str, cache_dir: str | os.PathLike | None, bad_rows: BadRows) -> tuple[list[_Table], str | None]:
    """The tables of a source, and the folder that its audio paths start from."""
    suffix = Path(source).suffix.casefold()
    if os.path.isdir(source):
        return _tables(source, _read_folder(Path(source), cache_dir)), os.path.abspath(source)
    if not os.path.isfile(source):
        if source.count("/") > 1 or source.startswith((".", "~", "/")) or os.sep != "/" or suffix in FILE_SUFFIXES:
            raise CorpusError(f"there is no file or folder {source}.")
        return _tables(source, datasets.load_dataset(source, cache_dir=cache_dir)), None
    folder = os.path.dirname(os.path.abspath(source))
    if suffix == ".csv":
        return [_read_csv(source, bad_rows)], folder
    if suffix == ".parquet":
        return _tables(source, {"": Dataset.from_parquet(source, cache_dir=cache_dir)}), folder
    raise CorpusError(f"{source}: a table must be one of {', '.join(FILE_SUFFIXES)}, or a folder.")


def _tables(source: str, splits: Mapping[str, Dataset]) -> list[_Table]:
    """One table per split; a single one counts as not split."""
    if len(splits) == 1:
        (data,) = splits.values()
        return [_Table(data, source, range(1, len(data) + 1))]
    return [_Table(data, f"{source} ({name})", range(1, len(data) + 1), str(name)) for name, data in splits.items()]


def _read_folder(folder: Path, cache_dir: str | os.PathLike | None) -> Mapping[str, Dataset]:
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        saved = datasets.load_from_disk(str(folder))
        return saved if isinstance(saved, DatasetDict) else {"": saved}
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        # as on the Hub: train-00000-of-00002.parquet, or train/0000.parquet
        words = [re.split(r"[-_.]", path.stem)[0], path.parent.name]
        split = next((word for word in words if word.casefold() in SPLIT_OF), "")
        groups.setdefault(split, []).append(str(path))
    if not groups:
        raise CorpusError(f"{folder} holds no dataset: looked for dataset_dict.json, state.json and *.parquet.")
    return {split: Dataset.from_parquet(paths, cache_dir=cache_dir) for split, paths in groups.items()}


def _read_csv(path: str, bad_rows: BadRows) -> _Table:
    rows = csv_rows(path)
    _, header = next(rows)
    numbers, records = [], []
    for number, fields in rows:
        if len(fields) == len(header):
            numbers.append(number)
            records.append(fields)
        else:
            bad_rows.add(path, number, RowError("malformed row", f"{len(fields)} fields, but {len(header)} columns"))
    values = zip(*records, strict=True) if records else [()] * len(header)
    data = {name: list(column) for name, column in zip(header, values, strict=True)}
    return _Table(Dataset.from_dict(data, features=Features(dict.fromkeys(header, Value("string")))), path, numbers)


class _Reader:
    """Checks the rows of a table and builds splits of them; file names are unique over all tables it reads."""

    def __init__(
        self,
        columns: dict[str, str],
        label_range: tuple[float, float],
        base: str | None,
        bad_rows: BadRows,
        deal: bool,
    ):
        self.columns = columns
        self.label_range = label_range
        self.base = base
        self.bad_rows = bad_rows
        self.deal = deal
        self.seen: dict[str, str] = {}

    def check(self, table: _Table) -> list[dict]:
        """The usable rows: the labels, `file`, `split`, the `index` in the table, and `path` unless embedded."""
        for role, column in self.columns.items():
            _check_column(table, role, column)
        labels = {role: column for role, column in self.columns.items() if role != "audio"}
        values = table.data.select_columns(list(dict.fromkeys(labels.values()))).with_format(None)[:]
        paths, embedded = _audio(table, self.columns["audio"])
        rows = []
        for index, number in enumerate(table.rows):
            record = {role: values[column][index] for role, column in labels.items()}
            try:
                row = self._check_row(record, table.split)
                row["file"], row["path"] = self._locate(paths[index], embedded and embedded[index], number)
                if row["file"] in self.seen and row["path"] is None:
                    # embedded audio keeps the base name of its path only, which need not tell clips apart
                    row["file"] = "_".join(filter(None, (table.split, f"{number:08d}", row["file"])))
                if row["file"] in self.seen:
                    place = self.seen[row["file"]]
                    raise RowError(
                        "duplicate file", f"{row['file']} is already in {place}; allowed is one row per file"
                    )
                self.seen[row["file"]] = f"row {number}" + (f" of {table.split}" if table.split else "")
                rows.append({**row, "index": index})
            except RowError as error:
                self.bad_rows.add(table.source, number, error)
        return rows

    def _check_row(self, record: dict, table_split: str | None) -> dict:
        given = record.get("split", table_split)
        split = None if self.deal else SPLIT_OF.get(str(given).strip().casefold())
        if split is None and not self.deal:
            raise RowError("unknown split", f"the split is {given!r}; allowed are {', '.join(SPLIT_OF)}")
        names = [self.columns[dimension] for dimension in DIMENSIONS]
        ratings = parse_ratings([record[dimension] for dimension in DIMENSIONS], split, self.label_range, names)
        speaker = _text(record.get("speaker")) or UNKNOWN
        if self.deal and speaker == UNKNOWN:
            raise RowError(
                "unknown speaker", f"{self.columns['speaker']} is empty; splits by speaker need each speaker"
            )
        return {
            **dict(zip(DIMENSIONS, ratings, strict=True)),
            "emotion": _emotion(record.get("emotion"), self.columns.get("emotion")),
            "speaker": speaker,
            "gender": _text(record.get("gender")) or UNKNOWN,
            "transcript": _text(record.get("transcript")),
            "graders": [],
            "split": split,
        }

    def _locate(self, path: str | None, embedded: bool | None, number: int) -> tuple[str, str | None]:
        """The name within the corpus, and the path on disk unless the audio is embedded in the table."""
        if embedded:
            return (PureWindowsPath(path).name if path else f"{number:08d}"), None
        if embedded is False or not path:
            raise RowError("missing audio", f"{self.columns['audio']} is empty; each row needs its audio")
        if self.base is None:
            raise RowError("missing audio", f"{path!r} is a path and there is no folder for it; give audio_dir")
        full = os.path.normpath(os.path.join(self.base, path))
        inside = os.path.relpath(full, self.base) if full.startswith(os.path.join(self.base, "")) else ".."
        name = check_inside(inside if inside != ".." else path)
        if not os.path.isfile(full):
            raise RowError("missing audio", f"there is no audio file {path} in {self.base}")
        return name, full

    def build(self, table: _Table, rows: list[dict]) -> Dataset:
        """A split in the common shape out of rows that `check` gave."""
        features = Features({name: FEATURES[name] for name in FEATURES if name != "audio"})
        labels = Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)
        if rows[0]["path"] is None:
            column = self.columns["audio"]
            audio = table.data.select_columns([column]).select([row["index"] for row in rows])
            audio = audio if column == "audio" else audio.rename_column(column, "audio")
        else:
            audio = Dataset.from_dict(
                {"audio": [{"bytes": None, "path": row["path"]} for row in rows]},
                features=Features({"audio": FEATURES["audio"]}),
            )
        whole = datasets.concatenate_datasets([labels, with_audio(audio)], axis=1)
        return whole.select_columns(list(FEATURES))


def _audio(table: _Table, column: str) -> tuple[list[str | None], list[bool] | None]:
    """The path of each row, and whether its audio is embedded; None where none is. Reads no embedded audio."""
    feature = table.data.features[column]
    audio = table.data.select_columns([column])
    if isinstance(feature, Value) and feature.dtype in ("string", "large_string"):
        return audio.with_format(None)[:][column], None
    if not isinstance(feature, Audio) and not (isinstance(feature, dict) and {"bytes", "path"} <= set(feature)):
        raise CorpusError(f"{table.source}: {column} is {feature}; it must be paths, or audio as `datasets` keeps it.")
    paths, embedded = [], []
    for part in audio.with_format("arrow").iter(1000):
        values = part[column].combine_chunks()
        paths += values.field("path").to_pylist()
        embedded += values.field("bytes").is_valid().to_pylist()
    return paths, embedded if any(embedded) else None


def _check_column(table: _Table, role: str, column: str) -> None:
    names = table.data.column_names
    if column not in names:
        lowered = {name.casefold(): name for name in reversed(names)}
        close = difflib.get_close_matches(column.casefold(), lowered, n=1, cutoff=0.6)
        hint = f" Did you mean {role}_column={lowered[close[0]]!r}?" if close else ""
        raise CorpusError(f"{table.source} has no column {column!r}; it has {', '.join(names)}.{hint}")


def _text(value: object) -> str | None:
    return None if is_empty(value) else str(value).strip()


def _emotion(value: object, column: str | None) -> str | None:
    word = _text(value)
    if word is None:
        return None
    if word.casefold() not in EMOTION_WORDS:
        known = ", ".join(f"{code} ({name})" for code, name in EMOTIONS.items())
        raise RowError("unknown emotion", f"{column} is {value!r}; allowed are {known}")
    return EMOTION_WORDS[word.casefold()]
