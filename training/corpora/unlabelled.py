"""Unlabelled speech: audio files in folders, long ones in pieces."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import soundfile

from ..files import clip_fingerprint
from .corpus import CorpusError
from .segments import Piece


SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})
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
                f"unlabelled_dir {folder} is no folder; give folders with {', '.join(sorted(SUFFIXES))}."
            )
        root = folder.resolve()
        found = sorted(path for path in folder.rglob("*") if path.suffix.casefold() in SUFFIXES and path.is_file())
        found = [path for path in found if path.resolve().is_relative_to(root)]
        if not found:
            raise CorpusError(f"unlabelled_dir {folder} has no audio; known are {', '.join(sorted(SUFFIXES))}.")
        inside = [piece for path in found for piece in _pieces(path)]
        if not inside:
            raise CorpusError(f"unlabelled_dir {folder}: all its {len(found)} files are shorter than {SHORTEST_S} s.")
        pieces += inside
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
