"""The rows of a table, checked one by one and kept as columns."""

import os
from collections.abc import Iterator
from pathlib import PureWindowsPath

import datasets
import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features
from datasets.table import InMemoryTable
from datasets.utils import are_progress_bars_disabled
from tqdm.auto import tqdm

from speech_affect import DIMENSIONS

from ..settings.labels import EMOTIONS, UNKNOWN
from .corpus import FEATURES, BadRows, RowError, check_inside, is_empty, parse_ratings, with_audio
from .table_batches import SPLIT_OF, Batch, Table


EMOTION_WORDS = {
    **{code.casefold(): code for code in EMOTIONS},
    **{word: code for code, word in EMOTIONS.items()},
    **{"angry": "A", "happy": "H", "joy": "H", "sad": "S", "surprised": "U", "fearful": "F", "disgusted": "D"},
}
SHOWN_AFTER_S = 2  # a bar for what takes longer
_LABELS = Features({name: FEATURES[name] for name in FEATURES if name != "audio"})
_CHECKED = pa.schema([*_LABELS.arrow_schema, ("path", pa.string()), ("split", pa.string()), ("index", pa.int64())])


class TableReader:
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
        # file -> its number of table, and its row there: there can be millions
        self.seen: dict[str, int] = {}
        self.tables: list[Table] = []
        self.real_folders: dict[str, str] = {}

    def check(self, table: Table) -> Iterator[pa.Table]:
        """Yields the usable rows: the labels, `file`, `split`, the `index` in the table, `path` unless embedded."""
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
                row = self._check_row({role: values[index] for role, values in batch.labels.items()}, table.split)
                embedded = None if batch.embedded is None else batch.embedded[index]
                row["file"], row["path"] = self._locate(batch.paths[index], embedded, number)
                self._note_file(row, number)
                yield {**row, "index": number - 1}
            except RowError as error:
                self.bad_rows.add(table.source, number, error)

    def _note_file(self, row: dict, number: int) -> None:
        table = self.tables[-1]
        if row["file"] in self.seen and row["path"] is None:
            # embedded audio keeps the base name of its path only, which need not tell clips apart
            row["file"] = "_".join(filter(None, (table.split, f"{number:08d}", row["file"])))
        place = self.seen.setdefault(row["file"], _place(len(self.tables) - 1, number))
        if place != _place(len(self.tables) - 1, number):
            index, first = divmod(place, 1 << 40)
            split = self.tables[index].split
            where = f"row {first}" + (f" of {split}" if split else "")
            raise RowError("duplicate file", f"{row['file']} is already in {where}; allowed is one row per file")

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
            return check_inside((path and PureWindowsPath(path).name) or f"{number:08d}"), None
        if embedded is False or not path:
            raise RowError("missing audio", f"{self.columns['audio']} is empty; each row needs its audio")
        if self.base is None:
            raise RowError("missing audio", f"{path!r} is a path and there is no folder for it; give audio_dir")
        full = os.path.normpath(os.path.join(self.base, path))
        folder = os.path.join(self.base, "")
        name = check_inside(full[len(folder) :] if full.startswith(folder) else path)
        if not os.path.isfile(full):
            raise RowError("missing audio", f"there is no audio file {path} in {self.base}")
        if not self._stays(full):
            raise RowError(
                "path leaves the folder",
                f"{path} is a link that leads out of {self.base}; give the folder that it leads to as audio_dir, or a "
                "copy of the file",
            )
        return name, full

    def _stays(self, full: str) -> bool:
        """Whether links on the way to a file, and the file itself, stay in the audio folder."""
        base, folder = self._real_folder(self.base), self._real_folder(os.path.dirname(full))
        real = os.path.realpath(full) if os.path.islink(full) else os.path.join(folder, "")
        return real.startswith(os.path.join(base, ""))

    def _real_folder(self, folder: str) -> str:
        if folder not in self.real_folders:
            self.real_folders[folder] = os.path.realpath(folder)
        return self.real_folders[folder]

    def build(self, table: Table, rows: pa.Table) -> Dataset:
        """A split in the common shape out of rows that `check` gave."""
        if rows["path"].null_count:
            column = self.columns["audio"]
            audio = table.data.select_columns([column]).select(rows["index"].to_numpy())
            audio = audio if column == "audio" else audio.rename_column(column, "audio")
            labels = _dataset(rows.select(list(_LABELS)), _LABELS)
            whole = datasets.concatenate_datasets([labels, with_audio(audio)], axis=1)
            return whole.select_columns(list(FEATURES))
        audio = pa.chunked_array([_pointed_to(part) for part in rows["path"].chunks])
        whole = rows.select(list(_LABELS)).append_column("audio", audio).select(list(FEATURES))
        return with_audio(_dataset(whole, FEATURES))


def _place(table: int, number: int) -> int:
    return table << 40 | number


def _pointed_to(paths: pa.Array) -> pa.Array:
    nothing = pa.nulls(len(paths), pa.binary())
    return pa.StructArray.from_arrays([nothing, paths], ["bytes", "path"])


def _dataset(rows: pa.Table, features: Features) -> Dataset:
    return Dataset(InMemoryTable(rows.cast(features.arrow_schema)), DatasetInfo(features=features))


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
