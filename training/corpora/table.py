"""Your own rated speech: a CSV or Parquet file, a saved dataset, or a dataset on the Hub, as a `Corpus`.

corpus = load_table_corpus(
    "ratings.csv", audio_column="wav", activation_column="arousal", speaker_column="actor", label_range=(1, 9)
)
"""

from __future__ import annotations

import functools
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Literal

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, DatasetInfo, Features
from datasets.table import InMemoryTable
from datasets.utils import are_progress_bars_disabled
from tqdm.auto import tqdm

from speech_affect import DIMENSIONS

from ..settings.corpora import CORPUS_NAMES, is_corpus_name
from ..settings.corpus_facts import LANGUAGE
from ..settings.labels import EMOTION_WORDS, EMOTIONS, SPLITS, UNKNOWN, WORD_SCALE
from .clip_table import ORIGIN
from .corpus import (
    FEATURES,
    ORIGIN_FEATURES,
    SEGMENT,
    BadRows,
    Corpus,
    CorpusError,
    RowError,
    check_label_range,
    is_empty,
    parse_ratings,
    with_audio,
)
from .folds import deal_speakers
from .paths import check_inside, converted, real_folders
from .segments import checked_segment, parse_time, read_header, segment_name
from .table_batches import SPLIT_OF, Batch, Table, read_tables
from .word_ratings import word_ratings


SHOWN_AFTER_S = 2  # a progress bar for what takes longer
_ALL = Features({**FEATURES, **SEGMENT, **ORIGIN_FEATURES})
_LABELS = Features({name: feature for name, feature in _ALL.items() if name != "audio"})
_PLACE = pa.schema([("path", pa.string()), ("split", pa.string()), ("index", pa.int64())])
_CHECKED = pa.schema([*_LABELS.arrow_schema, *_PLACE])


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
    split: str | None = None,
    corpus_column: str | None = None,
    language_column: str | None = None,
    ratings: Literal["columns", "emotion"] = "columns",
    start_column: str | None = "start",
    end_column: str | None = "end",
    audio_dir: str | os.PathLike | None = None,
    on_error: str = "raise",
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
) -> Corpus:
    """Load rated speech out of a table.

    The splits are those of `split_column`; without it, those of the source where it has several; else the speakers
    of each corpus are dealt out 60/20/20 to train, development and test1 (two to train and test1, one to train).

    Args:
        source: A `.csv` or `.parquet` file, a folder written by `save_to_disk` or holding Parquet files, or the id of
            a dataset on the Hub.
        label_range: Lowest and highest rating possible, in the unit of the table.
        audio_column: Paths of audio files, or audio as `datasets` keeps it (bytes, or a path).
        activation_column, valence_column, dominance_column: Ratings, in empty cells none; None for an attribute that
            nobody rated, as is one without a column of its name. One is enough.
        speaker_column, gender_column: `Unknown` where empty or not given.
        emotion_column: One-letter codes of MSP-Podcast, or the words for them (`anger`, `happy`, ...).
        split_column: train, dev, validation, test, test1, test2, test3, ... (see `table_batches.SPLIT_OF`).
        split: That of all clips of a table that has none, such as test1 where no model learns: needs no speakers.
        corpus_column: Names of the corpora in the table, with which names of files and speakers then begin.
        transcript_column, language_column: The spoken words; ISO 639 codes.
        ratings: `"columns"`, or `"emotion"` where nobody rated the clips: the ratings of the word for each clip's
            emotion (`settings.labels.WORD_RATINGS`), moved to `label_range`.
        start_column, end_column: Times within the file where a row rates a segment (see `segments.parse_time`), empty
            for its beginning or end. Both are read where the table has `start` and `end`; None to leave them.
        audio_dir: The folder that holds all audio, by default that of the table; what leads out of it is refused.
            Paths start there, or at the table: `../audio/a.wav` is read where `audio_dir` is that folder.
        on_error: `"raise"` to stop at the first bad row, `"skip"` to leave bad rows out and log how many.
        seed: Of the random order in which speakers are dealt out.
        cache_dir: Where Parquet files and Hub datasets are cached; by default where `datasets` keeps its own.

    Returns:
        The corpus, named after the source. The file name is the path within the audio folder, or for embedded audio
        its base name, made unique by the row number; a segment's is followed by its times, `a.wav#t=1.5,2.25`.

    Raises:
        CorpusError: The source or a column is not there, a row is bad, or there are no speakers to make splits by.
    """
    return _load(os.fspath(source), _columns(locals()), label_range, audio_dir, on_error, seed, cache_dir, split)


def _columns(arguments: dict) -> dict[str, str]:
    """The columns by role, without those of ratings where labels are those of the emotion's word."""
    given = {name: value for name, value in arguments.items() if name.endswith("_column") and value is not None}
    columns, ratings = {name.removesuffix("_column"): value for name, value in given.items()}, arguments["ratings"]
    if ratings == "emotion" and "emotion" in columns:
        return {role: column for role, column in columns.items() if role not in DIMENSIONS}
    if ratings != "columns" or not set(DIMENSIONS) & set(columns):
        raise CorpusError(
            f"ratings is {ratings!r}, columns are {', '.join(columns)}; allowed are 'columns' with a column of "
            "ratings, and 'emotion' with emotion_column."
        )
    return columns


def _load(source, columns, label_range, audio_dir, on_error, seed, cache_dir, split) -> Corpus:
    label_range, bad_rows = check_label_range(label_range), BadRows(on_error)
    tables, folder = read_tables(source, columns, cache_dir, bad_rows)
    deal = "split" not in columns and len(tables) == 1
    if split is not None:
        if split not in SPLITS or not deal:
            raise CorpusError(
                f"split is {split!r}; allowed is one of {', '.join(SPLITS)}, for a table that is not split."
            )
        tables, deal = [replace(tables[0], split=split)], False
    if deal and "speaker" not in columns:
        raise CorpusError(
            f"{source} is not split and split_column is not given, so speaker-disjoint splits are to be made: "
            "give speaker_column."
        )
    base = os.path.abspath(audio_dir) if audio_dir is not None else folder
    reader = TableReader(columns, label_range, base, folder, bad_rows, deal)
    splits = _splits(reader, tables, seed)
    bad_rows.warn()
    if not splits:
        raise CorpusError(f"{source} has no usable row ({bad_rows.total} were left out).")
    split_column = columns.get("split")
    origin = f"dealt out by speaker, seed {seed}" if deal else f"by {split_column}" if split_column else "as given"
    note = f"{os.path.basename(source)}, splits {origin}; rows left out: {bad_rows.total}."
    if reader.by_word:
        note += (
            " Nobody rated these clips: labels are the mean ratings of the emotion's word (Russell, Mehrabian 1977)."
        )
    return Corpus(Path(source).stem, splits, label_range, note, bad_rows.total)


def _splits(reader: TableReader, tables: Sequence[Table], seed: int) -> DatasetDict:
    parts: dict[str, list[Dataset]] = {split: [] for split in SPLITS}
    for table in tables:
        checked = deque(reader.check(table))
        dealt: dict[str, str] = {}
        if reader.deal:
            speakers: dict[str, set[str]] = {}
            for batch in checked:
                for row in batch.group_by(["corpus", "speaker"]).aggregate([]).to_pylist():
                    speakers.setdefault(row["corpus"], set()).add(row["speaker"])
            for of_corpus in speakers.values():
                dealt |= deal_speakers(sorted(of_corpus), seed)
        chosen: dict[str, list[pa.Table]] = {split: [] for split in SPLITS}
        while checked:
            batch = checked.popleft()  # so that no row is held twice
            of_rows = pa.array([dealt[who] for who in batch["speaker"].to_pylist()]) if dealt else batch["split"]
            for split in pc.unique(of_rows).to_pylist():
                chosen[split].append(batch.filter(pc.equal(of_rows, split)))
        for split, batches in chosen.items():
            if batches:
                parts[split].append(reader.build(table, pa.concat_tables(batches)))
    splits = DatasetDict({split: datasets.concatenate_datasets(part) for split, part in parts.items() if part})
    unused = ([] if reader.has_segments else list(SEGMENT)) + ([] if reader.has_origin else list(ORIGIN_FEATURES))
    return splits.remove_columns(unused)


@dataclass
class TableReader:
    """Checks the rows of tables and builds splits of them; file names are unique over all tables it reads.

    Args:
        columns: Role (audio, activation, speaker, ...) -> column.
        label_range: Lowest and highest rating possible.
        base: The folder that holds all audio; None for a dataset on the Hub.
        folder: That of the table; None on the Hub.
        bad_rows: Takes the rows that cannot be used.
        deal: Whether splits are to be made by speaker.
    """

    columns: dict[str, str]
    label_range: tuple[float, float]
    base: str | None
    folder: str | None
    bad_rows: BadRows
    deal: bool
    # file -> index of its table and its row there, in one number: there can be millions
    seen: dict[str, int] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    has_segments: bool = False

    def __post_init__(self):
        self._real_folder = functools.cache(os.path.realpath)
        self._allowed = real_folders(self.base) if self.base else ()
        self.by_word = not set(DIMENSIONS) & set(self.columns)
        self.has_origin = self.by_word or bool({"corpus", "language"} & set(self.columns))
        self._header = functools.lru_cache(1 << 16)(lambda path: read_header({"path": path}))

    def check(self, table: Table) -> Iterator[pa.Table]:
        """Yield the usable rows: labels and times, `file`, `split`, `index` in the table, `path` unless embedded."""
        self.tables.append(table)
        with tqdm(desc=table.source, unit=" rows", delay=SHOWN_AFTER_S, disable=are_progress_bars_disabled()) as bar:
            for batch in table.batches:
                rows = list(self._usable(table, batch))
                bar.update(len(batch.numbers))
                if rows:
                    yield pa.Table.from_pylist(rows, _CHECKED)

    def _usable(self, table: Table, batch: Batch) -> Iterator[dict]:
        for index, number in enumerate(batch.numbers):
            try:
                record = {role: values[index] for role, values in batch.labels.items()}
                row = self._check_row(record, table.split)
                embedded = None if batch.embedded is None else batch.embedded[index]
                row["file"], row["path"] = self._locate(batch.paths[index], embedded, number)
                row |= self._segment(record, row, batch, index)
                self._note_file(row, number)
                row["file"] = _of_corpus(row, row["file"])
                yield {**row, "index": number - 1}
            except RowError as error:
                self.bad_rows.add(table.source, number, error)

    def _note_file(self, row: dict, number: int) -> None:
        table = self.tables[-1]
        if row["file"] in self.seen and row["path"] is None:
            # embedded audio keeps the base name of its path only, which need not be unique
            row["file"] = "_".join(filter(None, (table.split, f"{number:08d}", row["file"])))
        here = (len(self.tables) - 1) << 40 | number
        place = self.seen.setdefault(row["file"], here)
        if place != here:
            index, first = divmod(place, 1 << 40)
            split = self.tables[index].split
            where = f"row {first}" + (f" of {split}" if split else "")
            allowed = "allowed is one row per file, or per segment of it"
            raise RowError("duplicate file", f"{row['file']} is already in {where}; {allowed}")

    def _check_row(self, record: dict, table_split: str | None) -> dict:
        given = record.get("split", table_split)
        split = None if self.deal else SPLIT_OF.get(str(given).strip().casefold())
        if split is None and not self.deal:
            raise RowError("unknown split", f"the split is {given!r}; allowed are {', '.join(SPLIT_OF)}")
        emotion = _emotion(record.get("emotion"), self.columns.get("emotion"))
        if self.by_word:
            ratings = word_ratings(emotion, self.label_range)
        else:
            names = [self.columns.get(dimension, dimension) for dimension in DIMENSIONS]
            ratings = parse_ratings([record.get(dimension) for dimension in DIMENSIONS], self.label_range, names)
        origin = self._origin(record)
        speaker = _text(record.get("speaker")) or UNKNOWN
        if self.deal and speaker == UNKNOWN:
            column = self.columns["speaker"]
            raise RowError("unknown speaker", f"{column} is empty; splits by speaker need each speaker")
        return {
            **dict(zip(DIMENSIONS, ratings, strict=True)),
            "emotion": emotion,
            "speaker": speaker if speaker == UNKNOWN else _of_corpus(origin, speaker),
            "gender": _text(record.get("gender")) or UNKNOWN,
            "transcript": _text(record.get("transcript")),
            "graders": [],
            "split": split,
            **origin,
        }

    def _origin(self, record: dict) -> dict:
        corpus, language = (_text(record.get(role)) for role in ("corpus", "language"))
        if "corpus" in self.columns and not is_corpus_name(corpus or ""):
            column = self.columns["corpus"]
            raise RowError("bad corpus name", f"{column} is {record['corpus']!r}; allowed are {CORPUS_NAMES}")
        if language is not None and not LANGUAGE.fullmatch(language):
            column = self.columns["language"]
            raise RowError("bad language", f"{column} is {language!r}; allowed are ISO 639 codes such as en")
        corpus = corpus or ORIGIN["corpus"]
        return {"corpus": corpus, "language": language, "rating_scale": WORD_SCALE if self.by_word else corpus}

    def _segment(self, record: dict, row: dict, batch: Batch, index: int) -> dict:
        """The start and end of a segment, and the name that has them; both None for a whole file."""
        columns = (self.columns.get("start", ""), self.columns.get("end", ""))
        times = [parse_time(record.get(role), column) for role, column in zip(SEGMENT, columns, strict=True)]
        if times == [None, None]:
            return {"start": None, "end": None}
        try:
            content = None if row["path"] else {"bytes": batch.contents[index].as_py()}
            header = read_header(content) if content else self._header(row["path"])
        except ValueError as error:
            raise RowError("unreadable audio", str(error)) from error
        start_s, end_s = checked_segment(row["file"], *times, header, columns)
        self.has_segments |= (start_s, end_s) != (None, None)
        return {"start": start_s, "end": end_s, "file": segment_name(row["file"], start_s, end_s)}

    def _locate(self, path: str | None, embedded: bool | None, number: int) -> tuple[str, str | None]:
        """The name within the corpus, and the path on disk unless the audio is embedded in the table."""
        if embedded:
            return check_inside((path and PureWindowsPath(path).name) or f"{number:08d}"), None
        if embedded is False or not path:
            raise RowError("missing audio", f"{self.columns['audio']} is empty; each row needs its audio")
        if self.base is None:
            raise RowError("missing audio", f"{path!r} is a path and there is no folder for it; give audio_dir")
        named = self._full(path)
        full = converted(named)
        if not self._stays(full):
            raise RowError(
                "path leaves the folder",
                f"{path} is a link that leads out of {self.base}; {_way(os.path.realpath(full))}, or copy the file",
            )
        return check_inside(named[len(os.path.join(self.base, "")) :]), full

    def _full(self, path: str) -> str:
        """The path of a file in the audio folder; relative ones start there or, where that does not lead to a file, at
        the table.
        """
        places = [os.path.normpath(os.path.join(start, path)) for start in (self.base, self.folder) if start]
        inside = [place for place in places if place.startswith(os.path.join(self.base, ""))]
        if not inside:
            raise RowError("path leaves the folder", f"{path!r} leads out of {self.base}; {_way(places[-1])}")
        return next((place for place in inside if os.path.isfile(place)), inside[0])

    def _stays(self, full: str) -> bool:
        """Whether links on the way to a file, and the file itself, stay in the audio folder."""
        folder = self._real_folder(os.path.dirname(full))
        real = os.path.realpath(full) if os.path.islink(full) else os.path.join(folder, "")
        return real.startswith(self._allowed)

    def build(self, table: Table, rows: pa.Table) -> Dataset:
        """Build a split in the common shape out of rows that `check` gave."""
        if rows["path"].null_count:
            column = self.columns["audio"]
            audio = table.data.select_columns([column]).select(rows["index"].to_numpy())
            audio = audio if column == "audio" else audio.rename_column(column, "audio")
            labels = _dataset(rows.select(list(_LABELS)), _LABELS)
            whole = datasets.concatenate_datasets([labels, with_audio(audio)], axis=1)
            return whole.select_columns(list(_ALL))
        parts = [[pa.nulls(len(part), pa.binary()), part] for part in rows["path"].chunks]
        audio = pa.chunked_array([pa.StructArray.from_arrays(part, ["bytes", "path"]) for part in parts])
        whole = rows.select(list(_LABELS)).append_column("audio", audio).select(list(_ALL))
        return with_audio(_dataset(whole, _ALL))


def _dataset(rows: pa.Table, features: Features) -> Dataset:
    return Dataset(InMemoryTable(rows.cast(features.arrow_schema)), DatasetInfo(features=features))


def _way(path: str) -> str:
    folder = json.dumps(os.path.dirname(path), ensure_ascii=False)
    return f"if it is to be read, give the folder that holds all audio: --corpus_options '{{audio_dir: {folder}}}'"


def _of_corpus(origin: dict, name: str) -> str:
    return f"{origin['corpus']}/{name}" if origin["corpus"] else name


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
