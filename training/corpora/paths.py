"""Paths out of labels and tables, which are not trusted: they and the links on their way stay in the corpus."""

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from .corpus import CorpusError, RowError, listed


AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})
_SPECIAL = frozenset("\\:\0")  # what a plain path does not hold


def check_inside(name: str) -> str:
    """Return a file name or relative path with `/` between its parts.

    Raises:
        RowError: Empty, absolute, or with a `..` part (with either kind of slash), so that it could leave its folder.
    """
    if not _SPECIAL & set(name) and all(part.strip(".") for part in name.split("/")):
        return name
    path = PureWindowsPath(name)  # knows both slashes and drives
    if not path.parts or path.drive or path.root or ".." in path.parts or "\0" in name:
        raise RowError(
            "path leaves the folder",
            f"the file name {name!r} leaves the corpus folder; allowed is a path inside it, without '..'",
        )
    return str(PurePosixPath(*path.parts))


def is_audio(name: str) -> bool:
    """Return whether a file name says that it is audio."""
    return os.path.splitext(name)[1].casefold() in AUDIO_SUFFIXES


def converted(path: str) -> str:
    """Return the path of a file or, where it is not there, of one that differs in its suffix alone: labels say `.wav`
    of audio that was converted.

    Raises:
        RowError: There is none, or there are several.
    """
    if os.path.isfile(path):
        return path
    found = [path_ for suffix in sorted(AUDIO_SUFFIXES) if os.path.isfile(path_ := os.path.splitext(path)[0] + suffix)]
    if len(found) != 1:
        several = f", but {' and '.join(map(os.path.basename, found))}: keep one" if found else ""
        folder, name = os.path.split(path)
        raise RowError("missing audio", f"there is no audio file {name} in {folder}{several}")
    return found[0]


def real_folders(folder: str | os.PathLike) -> tuple[str, ...]:
    """Return where links in a folder may lead: to the folder itself, ending in a slash, and from a snapshot in the
    cache of the Hub, all of whose files are links, to the blobs of the same repository.
    """
    real = Path(os.path.realpath(folder))
    places = [real]
    for snapshot in (real, *real.parents):
        repository = snapshot.parent.parent
        if snapshot.parent.name == "snapshots" and re.match(r"(datasets|models|spaces)--", repository.name):
            places.append(repository / "blobs")
    return tuple(os.path.join(place, "") for place in places)


def check_no_repository(folder: Path) -> None:
    """Raise CorpusError for the cache of a repository, which holds all its revisions, and name its snapshots."""
    snapshots = folder / "snapshots"
    if snapshots.is_dir() and (folder / "blobs").is_dir():
        found = listed(str(path) for path in sorted(snapshots.iterdir()))
        raise CorpusError(f"{folder} is the Hub's cache of a repository; give the folder of a revision: {found}.")
