"""The parts of an MSP-Podcast release on disk."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..files import sha256_of_file
from .corpus import CorpusError, RowError, listed
from .paths import check_inside, check_no_repository, is_audio, real_folders


LABEL_FOLDERS = ("labels", "label")
LABEL_FILES = (
    "labels_consensus.csv",
    "labels_concensus.csv",  # so spelled up to release 1.9
    "labels_consensus.json",
    "labels_concensus.json",
)
GRADE_FILES = ("labels_detailed.csv", "labels_detailed.json", "labels.txt")
AUDIO_FOLDERS = ("audios", "audio")
PREVIOUS_FOLDER = "previous_releases_information"


@dataclass(frozen=True)
class Release:
    """Where the parts of a release lie, absolute; names are matched without regard to case.

    Args:
        root: The release's folder.
        labels: The consensus labels.
        grades: The labels of single graders, where there are any.
        partitions: Partitions.txt, where there is one.
        speakers: Speaker_ids.txt, where there is one.
        audio_folders: Folders that hold audio; of files with the same name that in the first folder counts.
        transcript_folders: Folders that hold transcripts.
    """

    root: Path
    labels: Path
    grades: Path | None
    partitions: Path | None
    speakers: Path | None
    audio_folders: tuple[Path, ...]
    transcript_folders: tuple[Path, ...]

    def audio_files(self) -> dict[str, str]:
        """Return name -> absolute path of all audio that lies directly in the audio folders, by the names of the files
        and by these without suffix, since labels say `.wav` of audio that was converted; empty where two have it.

        An audio folder may be a link; a file in it that is one must lead to a place in that folder or in the release,
        or in the Hub's cache of the same repository.
        """
        files: dict[str, str] = {}
        for folder in reversed(self.audio_folders):  # so that the first folder wins
            outside = _links_out(folder, self.root)
            files.update({name: os.path.join(folder, name) for name in _names(folder) if name not in outside})
        stems: dict[str, str] = {}
        for name, path in files.items():
            stem = os.path.splitext(name)[0]
            stems[stem] = "" if stem in stems else path
        return stems | files

    def fingerprint(self) -> str:
        """Return 16 hex digits that change when the labels, the transcripts or the set of audio files change."""
        digest = hashlib.sha256()
        for path in (self.labels, self.grades, self.partitions, self.speakers):
            digest.update(f"\n{path}\n".encode())
            if path is not None:
                digest.update(sha256_of_file(path).encode())
        for folder in self.audio_folders:  # audio is only pointed to, so its content does not matter here
            digest.update("\n".join([str(folder), *_names(folder)]).encode(errors="surrogateescape"))
        for folder in self.transcript_folders:
            with os.scandir(folder) as entries:
                stats = sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries)
            digest.update(f"{folder}{stats}".encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]


def find_release(data_dir: str | os.PathLike, labels_file: str | None = None) -> Release:
    """Find the parts of the release in `data_dir`.

    Args:
        data_dir: The release's folder.
        labels_file: To load an older release out of a newer download, that release's label file, relative to
            `Previous_releases_information` or to `data_dir`. Audio is then also looked for in every folder under
            `Previous_releases_information`, that of the same version first.

    Raises:
        CorpusError: `data_dir` is no release, or `labels_file` is not there or lies outside `data_dir`.
    """
    root = Path(os.path.abspath(data_dir))
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder; data_dir must be the folder of an MSP-Podcast release.")
    check_no_repository(root)
    folders = _entries(root, *LABEL_FOLDERS)
    labels = _previous_labels(root, labels_file) if labels_file else _first(folders, LABEL_FILES)
    audio_folders = [folder for folder in _entries(root, *AUDIO_FOLDERS) if folder.is_dir()]
    if labels is None or not audio_folders:
        missing = ([] if labels else ["a label file"]) + ([] if audio_folders else ["an audio folder"])
        raise CorpusError(
            f"{root} is not an MSP-Podcast release: it has not {' and not '.join(missing)}. Looked for (in any case) "
            f"a folder Labels or Label holding {', '.join(LABEL_FILES)}, and a folder Audios or Audio. The folder "
            f"holds: {listed(sorted(path.name for path in root.iterdir())) or 'nothing'}."
        )
    places = [labels.parent, labels.parent.parent] if labels_file else [root, labels.parent]
    grades = _first([labels.parent], GRADE_FILES)
    partitions = _first(places, ("partitions.txt",))
    transcripts = [folder for folder in _entries(root, "transcripts") if folder.is_dir()]
    if labels_file:
        audio_folders += _removed_audio(root, labels)
        transcripts += [folder for folder, _ in _previous_tree(root) if folder.name.casefold() == "transcripts"]
    speakers = _first(places, ("speaker_ids.txt",))
    return Release(root, labels, grades, partitions, speakers, tuple(audio_folders), tuple(transcripts))


def _names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if is_audio(name))


def _links_out(folder: Path, root: Path) -> set[str]:
    """Names of links in `folder` that lead out of it and out of `root`."""
    allowed = (*real_folders(folder), *real_folders(root))
    with os.scandir(folder) as entries:
        links = [entry.name for entry in entries if entry.is_symlink()]
    # os.path.realpath, unlike Path.resolve, takes links in a circle on Python 3.10
    return {name for name in links if not os.path.realpath(folder / name).startswith(allowed)}


def _entries(folder: Path, *names: str) -> list[Path]:
    """What lies in `folder` under one of the names, in the order of the names."""
    found = [path for path in sorted(folder.iterdir()) if path.name.casefold() in names]
    return sorted(found, key=lambda path: names.index(path.name.casefold()))


def _first(folders: list[Path], names: tuple[str, ...]) -> Path | None:
    """The file with the earliest of the names that one of the folders holds."""
    found = [path for folder in folders if folder.is_dir() for path in _entries(folder, *names) if path.is_file()]
    return min(found, key=lambda path: names.index(path.name.casefold()), default=None)


def _previous_tree(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield (folder, names of files) of all folders under Previous_releases_information, in a fixed order."""
    for previous in _entries(root, PREVIOUS_FOLDER):
        for folder, subfolders, names in os.walk(previous):
            subfolders.sort()
            yield Path(folder), sorted(names)


def _previous_labels(root: Path, labels_file: str) -> Path:
    try:
        name = check_inside(os.fspath(labels_file))
    except RowError as error:
        raise CorpusError(f"labels_file: {error}.") from error
    for folder in [*_entries(root, PREVIOUS_FOLDER), root]:
        if (folder / name).is_file():
            return folder / name
    paths = [folder.relative_to(root) / file for folder, names in _previous_tree(root) for file in names]
    there = [str(path) for path in paths if path.name.casefold() in LABEL_FILES]
    raise CorpusError(
        f"labels_file {labels_file!r} is not in {root}; earlier label files there: {listed(there) or 'none'}."
    )


def _removed_audio(root: Path, labels: Path) -> list[Path]:
    """Folders of audio removed since; those named after the version of the labels come first."""

    def versions(path: Path) -> set[str]:
        return set(re.findall(r"\d+(?:\.\d+)+", str(path.relative_to(root))))

    folders = [folder for folder, names in _previous_tree(root) if any(map(is_audio, names))]
    return sorted(folders, key=lambda folder: not versions(labels) & versions(folder))
