"""Recordings that visitors send: checks, length, loudness over time, and deletion."""

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech_affect.audio_file import AudioFile

from .limits import Deadline, Settings, UserError


BLOCK_S = 10.0
COLUMNS = 400
SHORTEST_S = 0.1
KEPT_S = 1800  # seconds after which gradio deletes a file in any case
NOT_AUDIO = "This file cannot be read as audio: give a wav, flac, ogg, opus or mp3 file."


@dataclass(frozen=True)
class Recording:
    """A recording that was decoded."""

    path: str
    duration_s: float  # of the decoded audio, whatever the header says
    peaks: np.ndarray  # (columns,) the largest absolute sample of each equal part of the time, 0 to 1


def read_recording(path: str | None, limits: Settings, deadline: Deadline) -> Recording:
    """Decode a file once, block by block, up to the longest recording allowed.

    Raises:
        UserError: no file (`path` is None), too large, too long, too short, too slow, or no audio.
    """
    if not path:
        raise UserError("Give a recording first: upload a file, record one, or choose an example.")
    try:
        size = os.path.getsize(path)
    except OSError:
        raise UserError("This file is no longer here: upload it again.") from None
    if size == 0:
        raise UserError("This file is empty.")
    if size > limits.max_size_mb * 1e6:
        raise UserError(f"This file has {size / 1e6:.0f} MB; at most {limits.max_size_mb:g} MB are allowed.")
    try:
        with AudioFile(path) as file:
            rate = file.sampling_rate
            if rate > 0 and file.num_samples > limits.max_length_s * rate:
                raise _too_long(f"lasts {clock(file.num_samples / rate)}", limits.max_length_s)
            return _decode(path, file, limits.max_length_s, deadline)
    except UserError:
        raise
    except ValueError:
        raise UserError(NOT_AUDIO) from None


def _decode(path: str, file: AudioFile, max_length_s: float, deadline: Deadline) -> Recording:
    rate, count = file.sampling_rate, 0
    width = max(1, round(rate / 100))
    rest, peaks = np.zeros(0, dtype=np.float32), []
    for block in file.blocks(max(1, round(BLOCK_S * rate))):
        deadline.check()
        count += len(block)
        if count > max_length_s * rate:
            raise _too_long("is longer than its header says", max_length_s)
        rest = np.concatenate([rest, np.abs(block)])
        whole = len(rest) // width * width
        peaks.append(rest[:whole].reshape(-1, width).max(axis=1))
        rest = rest[whole:]
    if count < SHORTEST_S * rate:
        raise UserError(f"This recording lasts {count / rate:.3f} s; at least {SHORTEST_S} s are needed.")
    fine = np.concatenate([*peaks, [rest.max(initial=0)]])
    edges = np.linspace(0, len(fine), min(COLUMNS, len(fine)) + 1).astype(int)[:-1]
    return Recording(path, count / rate, np.nan_to_num(np.maximum.reduceat(fine, edges)).clip(0, 1))


def _too_long(length: str, max_length_s: float) -> UserError:
    return UserError(
        f"This recording {length}; at most {clock(max_length_s)} are allowed: cut it, or run the package on your "
        "machine."
    )


def clock(seconds: float) -> str:
    """Format seconds as minutes and seconds, with hours where there are any: `1:05`, `3:00:00`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class VisitorFiles:
    """Deletes a visitor's file in gradio's folder when another one replaces it or the page is left.

    Gradio stores equal files once, so a file stays while another visitor's page shows it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._shown: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def show(self, visitor: str, place: str, path: str | None) -> None:
        """Note which file, or None, is at a place of a visitor's page now, and delete the one before."""
        with self._lock:
            before = self._shown.pop((visitor, place), None)
            if path:
                self._shown[visitor, place] = path
            if before and before not in self._shown.values() and self._folder in Path(before).parents:
                Path(before).unlink(missing_ok=True)

    def leave(self, visitor: str) -> None:
        """Delete all files of a visitor, and what interrupted uploads left behind."""
        for owner, place in list(self._shown):
            if owner == visitor:
                self.show(owner, place, None)
        for path in self._folder.glob("tmp*"):  # gradio deletes only uploads that were completed
            with suppress(OSError):
                if path.is_file() and time.time() - path.stat().st_mtime > KEPT_S:
                    path.unlink()
