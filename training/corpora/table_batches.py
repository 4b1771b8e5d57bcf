"""Tables of rated speech in batches: CSV row by row, Parquet and saved datasets some rows at a time."""

import difflib
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import datasets
import pyarrow as pa
from datasets import Audio, Dataset, DatasetDict, Value
from datasets.exceptions import DatasetGenerationError

from speech_affect import DIMENSIONS

from .corpus import SEGMENT, BadRows, CorpusError, shortened
from .csv_rows import check_header, csv_rows, separator_hint
from .paths import check_no_repository


FILE_SUFFIXES = (".csv", ".parquet")
_WORDS = {
    "train": "train training",
    "development": "dev devel development val valid validation",
    "test1": "eval evaluation test test1",
    "test2": "test2",
    "test3": "test3",
}
SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words.split()}
# a table need not have them under the names that they have by default
OPTIONAL = (*DIMENSIONS, *SEGMENT)
# words in the names of columns that are probably meant
_MEANT = {
    "audio": {"file", "files", "filename", "filepath", "path", "wav"},
    "activation": {"act", "emoact", "arousal", "aroused"},
    "valence": {"val", "emoval", "pleasure"},
    "dominance": {"dom", "emodom", "potency", "power"},
    "start": {"start", "starttime", "begin", "begintime", "onset"},
    "end": {"end", "endtime", "stop", "offset"},
}
# read and checked at a time: a table may have more rows than fit in memory as Python objects
BATCH_ROWS = 10_000


class Batch(NamedTuple):
    """Some rows of a table: their numbers from 1, labels by role, and audio.

    `embedded` says which rows hold their audio, and `contents` is that; both are None for a table that holds none.
    """

    numbers: Sequence[int]
    labels: dict[str, Sequence[object]]
    paths: Sequence[str | None]
    embedded: Sequence[bool] | None = None
    contents: pa.Array | None = None


@dataclass(frozen=True)
class Table:
    """A table as it is read: its name in messages, its batches, its split if it is one, its dataset if it is one."""

    source: str
    batches: Iterator[Batch]
    split: str | None = None
    data: Dataset | None = None


def read_tables(
    source: str, columns: dict[str, str], cache_dir: str | os.PathLike | None, bad_rows: BadRows
) -> tuple[list[Table], str | None]:
    """Return the tables of a source, and the folder that its audio paths start from (None on the Hub).

    Raises:
        CorpusError: There is no such file or folder, or it is not a table.
    """
    suffix = Path(source).suffix.casefold()
    if os.path.isdir(source):
        check_no_repository(Path(source))
        return _tables(source, columns, _read_folder(Path(source), cache_dir)), os.path.abspath(source)
    if not os.path.isfile(source):
        if source.count("/") > 1 or source.startswith((".", "~", "/")) or os.sep != "/" or suffix in FILE_SUFFIXES:
            raise CorpusError(f"there is no file or folder {source}.")
        return _tables(source, columns, datasets.load_dataset(source, cache_dir=cache_dir)), None
    folder = os.path.dirname(os.path.abspath(source))
    if suffix == ".csv":
        return [Table(source, _csv_batches(source, columns, bad_rows))], folder
    if suffix == ".parquet":
        return _tables(source, columns, {"": _from_parquet(source, cache_dir)}), folder
    raise CorpusError(f"{source}: a table must be one of {', '.join(FILE_SUFFIXES)}, or a folder.")


def _from_parquet(paths: str | list[str], cache_dir: str | os.PathLike | None) -> Dataset:
    try:
        return Dataset.from_parquet(paths, cache_dir=cache_dir)
    except (DatasetGenerationError, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of what is on it
            raise
        reason = " ".join(str(error.__cause__ or error).split())
        raise CorpusError(f"{paths} cannot be read as Parquet ({shortened(reason)}); write it anew.") from error


def _tables(source: str, columns: dict[str, str], splits: Mapping[str, Dataset]) -> list[Table]:
    """One table per split; a single one counts as not split."""
    one = len(splits) == 1
    named = {name: source if one else f"{source} ({name})" for name in splits}
    return [
        Table(named[name], _batches(named[name], data, columns), None if one else str(name), data)
        for name, data in splits.items()
    ]


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
    return {split: _from_parquet(paths, cache_dir) for split, paths in groups.items()}


def _csv_batches(path: str, columns: dict[str, str], bad_rows: BadRows) -> Iterator[Batch]:
    rows = csv_rows(path, bad_rows)
    _, header = next(rows)
    columns = _present(path, header, columns)
    check_header(path, header, list(columns.values()))
    labels = {role: header.index(column) for role, column in columns.items() if role != "audio"}
    audio = header.index(columns["audio"])
    while part := list(itertools.islice(rows, BATCH_ROWS)):
        values = list(zip(*(fields for _, fields in part), strict=True))
        of_roles = {role: values[index] for role, index in labels.items()}
        yield Batch([number for number, _ in part], of_roles, values[audio])


def _batches(source: str, data: Dataset, columns: dict[str, str]) -> Iterator[Batch]:
    columns = _present(source, data.column_names, columns)
    feature = data.features[columns["audio"]]
    as_paths = isinstance(feature, Value) and feature.dtype in ("string", "large_string")
    as_audio = isinstance(feature, Audio) or (isinstance(feature, dict) and {"bytes", "path"} <= set(feature))
    if not as_paths and not as_audio:
        raise CorpusError(
            f"{source}: {columns['audio']} is {feature}; it must be paths, or audio as `datasets` keeps it."
        )
    # reads offsets, not the audio
    parts = data.select_columns([columns["audio"]]).with_format("arrow").iter(BATCH_ROWS)
    embeds = as_audio and any(any(_holds_audio(part[columns["audio"]].combine_chunks())) for part in parts)
    used = data.select_columns(list(dict.fromkeys(columns.values())))
    number = 1
    for part in used.with_format("arrow").iter(BATCH_ROWS):
        labels = {role: part[column].to_pylist() for role, column in columns.items() if role != "audio"}
        audio = part[columns["audio"]].combine_chunks()
        paths = audio.field("path") if as_audio else audio
        held = (_holds_audio(audio), audio.field("bytes")) if embeds else ()
        yield Batch(range(number, number + len(part)), labels, paths.to_pylist(), *held)
        number += len(part)


def _holds_audio(audio: pa.StructArray) -> list[bool]:
    return audio.field("bytes").is_valid().to_pylist()


def _present(source: str, names: Sequence[str], columns: dict[str, str]) -> dict[str, str]:
    """The columns that are in a table; those in `OPTIONAL` may be absent under the name that they have by default."""
    absent = [role for role, column in columns.items() if column == role in OPTIONAL and column not in names]
    present = {role: column for role, column in columns.items() if role not in absent}
    for role, column in present.items():
        if column not in names:
            raise _no_column(source, names, role, column, _meant(names, role, present))
    for role in [dimension for dimension in DIMENSIONS if dimension in absent]:
        if found := _meant(names, role, present):
            hint = f" If nobody rated {role}, give {role}_column=null."
            raise _no_column(source, names, role, role, found, hint)
    if set(DIMENSIONS) & set(columns) and not set(DIMENSIONS) & set(present):
        raise CorpusError(
            f"{source} has no column of ratings; it has {shortened(', '.join(names))}. Give activation_column, "
            f"valence_column or dominance_column, or ratings='emotion'.{separator_hint(names)}"
        )
    _check_times(source, names, present, [role for role in SEGMENT if role in absent])
    return present


def _check_times(source: str, names: Sequence[str], present: dict[str, str], absent: list[str]) -> None:
    found = [present[role] for role in SEGMENT if role in present]
    if absent and found:
        raise CorpusError(
            f"{source} has no column {absent[0]!r} beside {found[0]!r}: give start_column and end_column, or null for "
            "both if rows rate whole files."
        )
    like = [_meant(names, role, present) for role in absent]
    if len(like) == len(SEGMENT) and all(like):
        raise CorpusError(
            f"{source} has the columns {like[0]!r} and {like[1]!r}: if they are times of segments, in seconds, give "
            f"start_column={like[0]!r} and end_column={like[1]!r}; if rows rate whole files, null for both."
        )


def _meant(names: Sequence[str], role: str, present: dict[str, str]) -> str | None:
    """The column that is probably meant by a name that a table does not have."""
    free = [name for name in names if name not in present.values()]
    words = {name: set(re.split(r"[\W\d_]+", name.casefold())) for name in free}
    by_word = next((name for name in free if words[name] & _MEANT.get(role, set())), None)
    lowered = {name.casefold(): name for name in reversed(free)}
    close = difflib.get_close_matches(present.get(role, role).casefold(), lowered, n=1, cutoff=0.6)
    return by_word or (lowered[close[0]] if close and role not in SEGMENT else None)


def _no_column(
    source: str, names: Sequence[str], role: str, column: str, meant: str | None, hint: str = ""
) -> CorpusError:
    asked = f" Did you mean {role}_column={meant!r}?" if meant else ""
    listed = shortened(", ".join(names))
    return CorpusError(f"{source} has no column {column!r}; it has {listed}.{asked}{hint}{separator_hint(names)}")
