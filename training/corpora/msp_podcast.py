"""MSP-Podcast as a `datasets` builder: every release layout, checked row by row before anything is built.

    splits = load_msp_podcast("MSP-PODCAST-Publish-1.11")
    train = load_msp_podcast("MSP-PODCAST-Publish-1.11", split="train", streaming=True)
    corpus = load_msp_podcast_corpus("MSP-PODCAST-Publish-1.12", labels_file="previous_releases_info/v1.6/label/...")

As Parquet files with the audio inside, which plain `datasets.load_dataset("msp-parquet")` reads:

    python training/corpora/msp_podcast.py --data_dir MSP-PODCAST-Publish-1.11 --output msp-parquet

The corpus: R. Lotfian and C. Busso, "Building naturalistic emotionally balanced speech corpus by retrieving emotional
speech from existing podcast recordings", IEEE Transactions on Affective Computing 10(4), 2019.
"""

import argparse
import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import datasets

from ..settings.labels import EMOTIONS, SPLITS, UNKNOWN, WITHHELD_SPLIT

# Reading files is left to other modules: `datasets` replaces `open` and `os.path` in a builder's own module.
from . import corpus as common
from . import csv_rows, msp_labels, msp_release
from .corpus import BadRows, Corpus, CorpusError, RowError
from .msp_labels import LABEL_RANGE, Grade, Label, Partition
from .msp_release import Release
from .parquet import write_parquet
from .private_hub import push_privately


logger = logging.getLogger(__name__)

LICENCE = (
    "MSP-Podcast is licensed per institution: keep this copy private, and never pass it on or make a repository of it "
    "public."
)
SPLIT_OF = {
    "Train": "train",
    "Validation": "development",  # older releases
    "Development": "development",
    "Test1": "test1",
    "Test2": "test2",
    "Test3": "test3",
}


class Turn(NamedTuple):
    """One checked row of the corpus; `grades` are that of single workers."""

    file: str
    path: str
    activation: float | None
    valence: float | None
    dominance: float | None
    emotion: str | None
    speaker: str
    gender: str
    grades: tuple[Grade, ...]


def read_turns(release: Release, bad_rows: BadRows) -> dict[str, list[Turn]]:
    """Reads and checks all label files of a release.

    Args:
        release: The release.
        bad_rows: Takes the rows that cannot be used.

    Returns:
        Split name -> its turns in the order of the label file; only splits that have any.

    Raises:
        CorpusError: A bad row is not to be skipped, a column is missing, or no usable row is left.
    """
    partitions = msp_labels.read_partitions(release.partitions, bad_rows) if release.partitions else []
    speakers = msp_labels.read_speakers(release.speakers) if release.speakers else {}
    grades = msp_labels.read_grades(release.grades, bad_rows) if release.grades else {}
    audio = release.audio_files()
    turns: dict[str, list[Turn]] = {split: [] for split in SPLITS}
    seen: dict[str, int] = {}
    for label in msp_labels.read_consensus(release.labels, partitions, speakers, bad_rows):
        try:
            split, turn = _check(label, seen, audio, grades)
            turns[split].append(turn)
        except RowError as error:
            bad_rows.add(release.labels, label.row, error)
    unlabelled = 0
    for partition in partitions:
        if partition.file in seen:
            continue
        if SPLIT_OF.get(partition.split.capitalize()) != WITHHELD_SPLIT:
            unlabelled += 1
            continue
        label = _withheld(partition, speakers)
        try:
            turns[WITHHELD_SPLIT].append(_check(label, seen, audio, grades)[1])
        except RowError as error:
            bad_rows.add(release.partitions, label.row, error)
    if unlabelled:
        logger.warning("%d files listed in %s have no labels and are not loaded.", unlabelled, release.partitions)
    if not any(turns.values()):
        raise CorpusError(f"{release.labels} has no usable row ({bad_rows.total} were left out).")
    return {split: found for split, found in turns.items() if found}


def _withheld(partition: Partition, speakers: dict[str, tuple[str, str]]) -> Label:
    """The empty label of a file that only Partitions.txt lists: audio-only test sets may have no label rows."""
    who = speakers.get(partition.file, (UNKNOWN, UNKNOWN))
    return Label(partition.row, partition.file, "", "", "", "", *who, partition.split)


def _check(
    label: Label, seen: dict[str, int], audio: dict[str, str], grades: dict[str, list[Grade]]
) -> tuple[str, Turn]:
    """Returns the split and the turn of one label row, or raises RowError."""
    file = common.check_inside(label.file)
    if file in seen:
        raise RowError("duplicate file", f"{file} is already in row {seen[file]}; allowed is one row per file")
    seen[file] = label.row
    split = SPLIT_OF.get(label.split.capitalize())
    if split is None:
        raise RowError("unknown split", f"Split_Set is {label.split!r}; allowed are {', '.join(SPLIT_OF)}")
    path = audio.get(file)
    if path is None:
        raise RowError(
            "missing audio",
            f"there is no audio file {file}; each row needs its file in the audio folder, not a link that leads out",
        )
    given = (label.activation, label.valence, label.dominance)
    ratings = common.parse_ratings(given, split, LABEL_RANGE, ("EmoAct", "EmoVal", "EmoDom"))
    emotion = None if split == WITHHELD_SPLIT and common.is_empty(label.emotion) else label.emotion
    if emotion is not None and emotion not in EMOTIONS:
        raise RowError("unknown emotion", f"EmoClass is {emotion!r}; allowed are {', '.join(EMOTIONS)}")
    who = (_known(label.speaker), _known(label.gender))
    return split, Turn(file, path, *ratings, emotion, *who, tuple(grades.get(file, ())))


def _known(text: str) -> str:
    return UNKNOWN if common.is_empty(text) or text.casefold() == UNKNOWN.casefold() else text


@dataclass
class MspPodcastConfig(datasets.BuilderConfig):
    """What to load out of a release.

    Args:
        labels_file: Label file of an older release, relative to `Previous_releases_information`.
        on_error: `"raise"` to stop at the first bad row, `"skip"` to leave bad rows out and say how many.
    """

    labels_file: str | None = None
    on_error: str = "raise"


class MspPodcast(datasets.GeneratorBasedBuilder):
    """Builds the splits of a release; see `corpora.corpus.FEATURES` for the columns.

    The cache is keyed by the absolute `data_dir` and by the content of the label files, so changes are noticed.

    Raises:
        CorpusError: `data_dir` is not a release.
    """

    BUILDER_CONFIG_CLASS = MspPodcastConfig
    VERSION = datasets.Version("1.0.0")

    def __init__(self, *args, data_dir: str | os.PathLike, labels_file: str | None = None, **kwargs):
        data_dir = os.path.abspath(data_dir)
        if labels_file is not None:
            kwargs["labels_file"] = os.fspath(labels_file)
        release = msp_release.find_release(data_dir, labels_file)
        kwargs.setdefault("hash", hashlib.sha256((_code() + release.fingerprint()).encode()).hexdigest()[:16])
        kwargs.setdefault("dataset_name", "msp_podcast")
        super().__init__(*args, data_dir=data_dir, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=common.FEATURES)

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        release = msp_release.find_release(self.config.data_dir, self.config.labels_file)
        bad_rows = BadRows(self.config.on_error)
        turns = read_turns(release, bad_rows)
        bad_rows.warn()
        # The description is stored with the prepared splits, so the count outlives this process.
        labels = release.labels.relative_to(release.root).as_posix()
        self.info.description = f"MSP-Podcast layout, labels from {labels}; rows left out: {bad_rows.total}."
        folders = tuple(map(str, release.transcript_folders))
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"turns": found, "transcript_folders": folders})
            for split, found in turns.items()
        ]

    def _generate_examples(self, turns: Sequence[Turn], transcript_folders: tuple[str, ...]) -> Iterator:
        """Yields (file, row); `turns` is a list, so that `datasets` can share it out over processes and workers."""
        for turn in turns:
            yield (
                turn.file,
                {
                    "file": turn.file,
                    "audio": {"bytes": None, "path": turn.path},
                    "activation": turn.activation,
                    "valence": turn.valence,
                    "dominance": turn.dominance,
                    "emotion": turn.emotion,
                    "speaker": turn.speaker,
                    "gender": turn.gender,
                    "transcript": msp_labels.transcript_of(transcript_folders, turn.file),
                    "graders": [grade._asdict() for grade in turn.grades],
                },
            )

    def as_dataset(self, *args, **kwargs) -> datasets.Dataset | datasets.DatasetDict:
        """As in `datasets`, with `audio` as `Audio(decode=False)`."""
        return common.with_audio(super().as_dataset(*args, **kwargs))

    @property
    def skipped(self) -> int:
        """How many rows of the label files were left out; known once the splits are prepared or streamed."""
        return int(re.search(r"rows left out: (\d+)", self.info.description).group(1))


def _code() -> str:
    """A digest of the modules that make the rows, so that a change of them is noticed as well."""
    modules = (common, csv_rows, msp_labels, msp_release, sys.modules[__name__])
    return "".join(hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest() for module in modules)


def load_msp_podcast(
    data_dir: str | os.PathLike,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    on_error: str = "raise",
    cache_dir: str | os.PathLike | None = None,
    labels_file: str | None = None,
) -> datasets.Dataset | datasets.DatasetDict | datasets.IterableDataset | datasets.IterableDatasetDict:
    """Loads a release of MSP-Podcast.

    Args:
        data_dir: The folder of the release.
        split: One of train, development, test1, test2, test3 (or an expression such as `train[:100]`); all by default.
        streaming: Yield rows as they are read instead of writing them to the cache first. Rows are the same; the
            feature type of `audio` is then a plain struct, because streaming through `Audio` needs a decoder.
        num_proc: Processes that write the cache.
        on_error: `"raise"` to stop at the first bad row, `"skip"` to leave bad rows out and log how many.
        cache_dir: Where to keep the cache; by default where `datasets` keeps its own.
        labels_file: Label file of an older release, relative to `Previous_releases_information`.

    Returns:
        Splits by name, or the one split; the columns are those of `corpora.corpus.FEATURES`.

    Raises:
        CorpusError: `data_dir` is not a release, a column is missing, or a row is bad and `on_error` is `"raise"`.
    """
    builder = _prepared(data_dir, streaming, num_proc, on_error, cache_dir, labels_file)
    return builder.as_streaming_dataset(split) if streaming else builder.as_dataset(split)


def load_msp_podcast_corpus(
    data_dir: str | os.PathLike,
    num_proc: int | None = None,
    on_error: str = "raise",
    cache_dir: str | os.PathLike | None = None,
    labels_file: str | None = None,
) -> Corpus:
    """Loads a release of MSP-Podcast as a `Corpus`, named after its folder; arguments as for `load_msp_podcast`."""
    builder = _prepared(data_dir, False, num_proc, on_error, cache_dir, labels_file)
    return Corpus(
        name=os.path.basename(builder.config.data_dir),
        splits=builder.as_dataset(),
        label_range=LABEL_RANGE,
        note=builder.info.description,
        skipped=builder.skipped,
    )


def _prepared(data_dir, streaming, num_proc, on_error, cache_dir, labels_file) -> MspPodcast:
    BadRows(on_error)  # a wrong word is told even where the cache would answer
    builder = MspPodcast(data_dir=data_dir, cache_dir=cache_dir, on_error=on_error, labels_file=labels_file)
    if not streaming:
        builder.download_and_prepare(num_proc=num_proc)
    return builder


def main(argv: Sequence[str]) -> None:
    """Writes a release as Parquet, and uploads it privately when asked to; help when `argv` is empty.

    Raises:
        ValueError: The release, the output folder or the repository will not do.
        OSError: A file cannot be read or written.
        SystemExit: An argument is missing or unknown.
    """
    parser = argparse.ArgumentParser(description="MSP-Podcast as Parquet files with the audio inside.")
    parser.add_argument("--data_dir", required=True, help="Folder of the release.")
    parser.add_argument("--output", required=True, help="New or empty folder; an interrupted call goes on.")
    parser.add_argument("--max_shard_size", default="500MB", help="Audio per file (default: %(default)s).")
    parser.add_argument("--labels_file", help="Labels of an older release, in Previous_releases_information.")
    parser.add_argument("--on_error", default="raise", choices=("raise", "skip"), help="What to do with a bad row.")
    parser.add_argument("--push_to_hub", metavar="USER/NAME", help="Also upload, as a private dataset repository.")
    if not argv:
        parser.print_help()
        return
    args = parser.parse_args(argv)
    corpus = load_msp_podcast_corpus(args.data_dir, on_error=args.on_error, labels_file=args.labels_file)
    folder = write_parquet(corpus, args.output, licence=LICENCE, max_shard_size=args.max_shard_size)
    counts = ", ".join(f"{len(rows)} {split}" for split, rows in corpus.splits.items())
    print(f"{folder}: {counts}. {LICENCE}")
    if args.push_to_hub:
        print(f"{push_privately(folder, args.push_to_hub)} (private). {LICENCE}")


if __name__ == "__main__":
    from .msp_podcast import main as run  # by its own name: `datasets` looks the builder's module up

    try:
        run(sys.argv[1:])
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
