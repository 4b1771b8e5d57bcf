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
        if not folder.is_dir():
            raise CorpusError(
                f"unlabelled_dir {folder} is no folder; give folders with {', '.join(sorted(AUDIO_SUFFIXES))}."
            )
        check_no_repository(folder)
        found = sorted(path for path in folder.rglob("*") if is_audio(path.name) and path.is_file())
        inside = [path for path in found if os.path.realpath(path).startswith(real_folders(folder))]
        if not inside:
            links = " but links that lead out of it: give the folders that they lead to" if found else ""
            raise CorpusError(
                f"unlabelled_dir {folder} has no audio{links}; known are {', '.join(sorted(AUDIO_SUFFIXES))}."
            )
        long = [piece for path in inside for piece in _pieces(path)]
        if not long:
            raise CorpusError(f"unlabelled_dir {folder}: all its {len(inside)} files are shorter than {SHORTEST_S} s.")
        pieces += long
    return pieces


def _pieces(path: Path) -> list[Piece]:
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"{path} cannot be read as audio ({error}); repair it or take it away.") from error
    if info.frames < SHORTEST_S * info.samplerate:
        return []
    identity = clip_fingerprint({"path": str(path)})
    count = max(1, -(-info.frames // int(PIECE_S * info.samplerate)))
    bounds = [round(info.frames * index / count) for index in range(count + 1)]
    return [
        Piece(str(path), identity if count == 1 else f"{identity}-{start}-{stop}", start, stop, info.samplerate)
        for start, stop in pairwise(bounds)
    ]
