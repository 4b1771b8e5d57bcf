"""Unlabelled speech: audio files in folders, long ones in pieces."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import soundfile

from ..files import clip_fingerprint
from .corpus import CorpusError
from .paths import AUDIO_SUFFIXES, check_no_repository, is_audio, real_folders
from .segments import Piece


PIECE_S = 8.0  # about as long as a turn of MSP-Podcast
SHORTEST_S = 0.5


def unlabelled_pieces(folders: Sequence[str | os.PathLike]) -> list[Piece]:
    """Find every audio file below the folders, cut into pieces of equal length, none longer than 8 s.

    Files shorter than 0.5 s are left out, as are links that lead out of their folder.

    Args:
        folders: Searched with all folders below them.

    Raises:
        CorpusError: A folder that is not there or has no audio of 0.5 s, or a file that libsndfile cannot read.
    """
    pieces = []
    for folder in map(Path, folders):
        inside = audio_files(folder, "unlabelled_dir")
        long = [piece for path in inside for piece in _pieces(path)]
        if not long:
            raise CorpusError(f"unlabelled_dir {folder}: all its {len(inside)} files are shorter than {SHORTEST_S} s.")
        pieces += long
    return pieces


def audio_files(folder: Path, setting: str) -> list[Path]:
    """Return the audio files below a folder in order, without links that lead out of it.

    Raises:
        CorpusError: There is no such folder or no audio in it; `setting` is where it was given.
    """
    if not folder.is_dir():
        raise CorpusError(f"{setting} {folder} is no folder; give folders with {', '.join(sorted(AUDIO_SUFFIXES))}.")
    check_no_repository(folder)
    found = sorted(path for path in folder.rglob("*") if is_audio(path.name) and path.is_file())
    inside = [path for path in found if os.path.realpath(path).startswith(real_folders(folder))]
    if not inside:
        links = " but links that lead out of it: give the folders that they lead to" if found else ""
        raise CorpusError(f"{setting} {folder} has no audio{links}; known are {', '.join(sorted(AUDIO_SUFFIXES))}.")
    return inside


def _pieces(path: Path) -> list[Piece]:
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"{path} cannot be read as audio ({error}); repair it or take it away.") from error
    if info.frames < SHORTEST_S * info.samplerate:
        return []
    identity = clip_fingerprint({"path": str(path)})
    return cut_evenly(str(path), identity, info.frames, info.samplerate)


def cut_evenly(
    path: str, identity: str, num_samples: int, sampling_rate: int, content: bytes | None = None
) -> list[Piece]:
    """Return the pieces of a file, of equal length and none longer than 8 s; none of a file shorter than 0.5 s.

    Args:
        path: The file.
        identity: Its fingerprint.
        num_samples: Its samples, of each channel.
        sampling_rate: Of the file, in hertz.
        content: The encoded file, where it is in memory and not at `path`.
    """
    if num_samples < SHORTEST_S * sampling_rate:
        return []
    count = max(1, -(-num_samples // int(PIECE_S * sampling_rate)))
    bounds = [round(num_samples * index / count) for index in range(count + 1)]
    return [
        Piece(
            path, identity if count == 1 else f"{identity}-{start}-{stop}", start, stop, sampling_rate, content=content
        )
        for start, stop in pairwise(bounds)
    ]
