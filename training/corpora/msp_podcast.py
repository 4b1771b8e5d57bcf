"""MSP-Podcast as a `datasets` builder: every release layout, checked row by row before anything is built.

    splits = load_msp_podcast("MSP-PODCAST-Publish-1.11")
    train = load_msp_podcast("MSP-PODCAST-Publish-1.11", split="train", streaming=True)
    corpus = load_msp_podcast_corpus("MSP-PODCAST-Publish-1.12", labels_file="previous_releases_info/v1.6/label/...")

The corpus: R. Lotfian and C. Busso, "Building naturalistic emotionally balanced speech corpus by retrieving emotional
speech from existing podcast recordings", IEEE Transactions on Affective Computing 10(4), 2019.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import datasets

from speech_affect import DIMENSIONS

# Reading files is left to other modules: `datasets` replaces `open` and `os.path` in a builder's own module.
from ..files import sha256_of_file
from ..settings import labels as names
from ..settings.labels import EMOTIONS, SPLITS, UNKNOWN, WITHHELD_SPLIT
from . import corpus as common
from . import csv_rows, msp_labels, msp_release, paths
from .corpus import BadRows, Corpus, CorpusError, RowError
from .msp_labels import LABEL_RANGE, RATING_COLUMNS, Grade, Label
from .msp_release import Release


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


def read_rows(release: Release, bad_rows: BadRows) -> dict[str, list[dict]]:
    """Read and check all label files of a release.

    Args:
        release: The release.
        bad_rows: Takes the rows that cannot be used.

    Returns:
        Split name -> its rows in the order of the label file, with the columns of `corpora.corpus.FEATURES` but for
        the transcript; `graders` are a tuple of `Grade`. Only splits that have any.

    Raises:
        CorpusError: A bad row is not to be skipped, a column is missing, or no usable row is left.
    """
    partitions = msp_labels.read_partitions(release.partitions, bad_rows) if release.partitions else []
    speakers = msp_labels.read_speakers(release.speakers) if release.speakers else {}
    grades = msp_labels.read_grades(release.grades, bad_rows) if release.grades else {}
    audio = release.audio_files()
    rows: dict[str, list[dict]] = {split: [] for split in SPLITS}
    seen: dict[str, int] = {}

    def add(source: Path, labels: Iterable[Label]) -> None:
        for label in labels:
            try:
                split, row = _checked(label, seen, audio, grades)
                rows[split].append(row)
            except RowError as error:
                bad_rows.add(source, label.row, error)

    add(release.labels, msp_labels.read_consensus(release.labels, bad_rows))
    # audio-only test sets may have no label rows
    rest = [partition for partition in partitions if partition.file not in seen]
    withheld = [p for p in rest if SPLIT_OF.get(p.split.capitalize()) == WITHHELD_SPLIT]
    unknown = (UNKNOWN, UNKNOWN)
    empty = (Label(p.row, p.file, "", "", "", "", *speakers.get(p.file, unknown), p.split) for p in withheld)
    add(release.partitions, (label for label in empty if label.file not in seen))
    if len(rest) > len(withheld):
        unlabelled = len(rest) - len(withheld)
        logger.warning("%d files listed in %s have no labels and are not loaded.", unlabelled, release.partitions)
    if not any(rows.values()):
        raise CorpusError(f"{release.labels} has no usable row ({bad_rows.total} were left out).")
    return {split: found for split, found in rows.items() if found}


def _checked(
    label: Label, seen: dict[str, int], audio: dict[str, str], grades: dict[str, list[Grade]]
) -> tuple[str, dict]:
    """The split and the row of one label, or RowError."""
    file = paths.check_inside(label.file)
    path = audio.get(file, audio.get(PurePosixPath(file).stem))
    if file in seen:
        raise RowError("duplicate file", f"{file} is already in row {seen[file]}; allowed is one row per file")
    seen[file] = label.row
    split = SPLIT_OF.get(label.split.capitalize())
    if split is None:
        raise RowError("unknown split", f"Split_Set is {label.split!r}; allowed are {', '.join(SPLIT_OF)}")
    if not path:
        several = " of this name alone, but several in other formats: keep one" if path == "" else ""
        raise RowError(
            "missing audio",
            f"there is no audio file {file}{several}; each row needs its file in the audio folder, not a link that "
            "leads out (the folder itself may be one)",
        )
    given = (label.activation, label.valence, label.dominance)
    ratings = common.parse_ratings(given, LABEL_RANGE, RATING_COLUMNS)
    emotion = None if common.is_empty(label.emotion) else label.emotion
    if emotion is not None and emotion not in EMOTIONS:
        raise RowError("unknown emotion", f"EmoClass is {emotion!r}; allowed are {', '.join(EMOTIONS)}")
    return split, {
        "file": file,
        "audio": {"bytes": None, "path": path},
        **dict(zip(DIMENSIONS, ratings, strict=True)),
        "emotion": emotion,
        "speaker": _known(label.speaker),
        "gender": _known(label.gender),
        "graders": tuple(grades.get(file, ())),
    }


def _known(text: str) -> str:
    return UNKNOWN if common.is_empty(text) or text.casefold() == UNKNOWN.casefold() else text


class MspPodcast(datasets.GeneratorBasedBuilder):
    """Builder of the splits of a release; see `corpora.corpus.FEATURES` for the columns.

    The cache is keyed by the absolute `data_dir`, the arguments, and the content of the label files.

    Args:
        data_dir: The folder of the release.
        labels_file: Label file of an older release, relative to `Previous_releases_information`.
        on_error: `"raise"` to stop at the first bad row, `"skip"` to leave bad rows out and log how many.

    Raises:
        CorpusError: `data_dir` is not a release, or another `on_error`.
    """

    VERSION = datasets.Version("1.0.0")

    def __init__(
        self, *args, data_dir: str | os.PathLike, labels_file: str | None = None, on_error: str = "raise", **kwargs
    ):
        BadRows(on_error)  # another word is an error even where the cache would answer
        self.on_error = on_error
        self.release = msp_release.find_release(data_dir, labels_file)
        identity = f"{_code()}{self.release.fingerprint()}{on_error}"
        kwargs.setdefault("hash", hashlib.sha256(identity.encode()).hexdigest()[:16])
        kwargs.setdefault("dataset_name", "msp_podcast")
        super().__init__(*args, data_dir=str(self.release.root), **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=common.FEATURES)

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        release, bad_rows = self.release, BadRows(self.on_error)
        rows = read_rows(release, bad_rows)
        bad_rows.warn()
        # The description is stored with the prepared splits, so the count outlives this process.
        labels = release.labels.relative_to(release.root).as_posix()
        self.info.description = f"MSP-Podcast layout, labels from {labels}; rows left out: {bad_rows.total}."
        folders = tuple(map(str, release.transcript_folders))
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"rows": found, "transcript_folders": folders})
            for split, found in rows.items()
        ]

    def _generate_examples(self, rows: Sequence[dict], transcript_folders: tuple[str, ...]) -> Iterator:
        """Yield (file, row); `rows` is a list, so that `datasets` can share it out over processes and workers."""
        for row in rows:
            transcript = msp_labels.transcript_of(transcript_folders, row["file"])
            graders = [grade._asdict() for grade in row["graders"]]
            yield row["file"], {**row, "transcript": transcript, "graders": graders}

    def as_dataset(self, *args, **kwargs) -> datasets.Dataset | datasets.DatasetDict:
        """As in `datasets`, with `audio` as `Audio(decode=False)`."""
        return common.with_audio(super().as_dataset(*args, **kwargs))

    @property
    def skipped(self) -> int:
        """How many rows of the label files were left out; known once the splits are prepared or streamed."""
        return int(re.search(r"rows left out: (\d+)", self.info.description).group(1))


def _code() -> str:
    """A digest of the modules that make the rows, so that a change of them is noticed as well."""
    files = [module.__file__ for module in (common, csv_rows, msp_labels, msp_release, names, paths)]
    return "".join(map(sha256_of_file, [*files, __file__]))


def load_msp_podcast(
    data_dir: str | os.PathLike,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    on_error: str = "raise",
    cache_dir: str | os.PathLike | None = None,
    labels_file: str | None = None,
) -> datasets.Dataset | datasets.DatasetDict | datasets.IterableDataset | datasets.IterableDatasetDict:
    """Load a release of MSP-Podcast.

    Args:
        data_dir: The folder of the release.
        split: One of train, development, test1, test2, test3 (or an expression such as `train[:100]`); all by default.
        streaming: Yield rows as they are read instead of writing them to the cache first. Rows are the same; the
            feature type of `audio` is then a plain struct, because streaming through `Audio` needs a decoder.
        num_proc: Number of processes that write the cache.
        on_error, labels_file: As for `MspPodcast`.
        cache_dir: Where to keep the cache; by default where `datasets` keeps its own.

    Returns:
        Splits by name, or the one split; the columns are those of `corpora.corpus.FEATURES`.

    Raises:
        CorpusError: `data_dir` is not a release, a column is missing, or a row is bad and `on_error` is `"raise"`.
    """
    builder = MspPodcast(data_dir=data_dir, labels_file=labels_file, on_error=on_error, cache_dir=cache_dir)
    if streaming:
        return builder.as_streaming_dataset(split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split)


def load_msp_podcast_corpus(
    data_dir: str | os.PathLike,
    num_proc: int | None = None,
    on_error: str = "raise",
    cache_dir: str | os.PathLike | None = None,
    labels_file: str | None = None,
) -> Corpus:
    """Load a release of MSP-Podcast as a `Corpus`, named after its folder; arguments as for `load_msp_podcast`."""
    builder = MspPodcast(data_dir=data_dir, labels_file=labels_file, on_error=on_error, cache_dir=cache_dir)
    builder.download_and_prepare(num_proc=num_proc)
    splits, description = builder.as_dataset(), builder.info.description
    return Corpus(builder.release.root.name, splits, LABEL_RANGE, description, builder.skipped)
