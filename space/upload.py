"""What comes from a user: its size and length, and its loudness over time."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from deadline import Deadline
from declined import Refusal

from speech_affect.audio_file import AudioFile


BLOCK_S = 10.0
COLUMNS = 400
SHORTEST_S = 0.1
NOT_AUDIO = "This file cannot be read as audio: give a wav, flac, ogg, opus or mp3 file."


@dataclass(frozen=True)
class Recording:
    """
    Args:
        path: of the file.
        duration_s: decoded, in seconds; a header may say anything.
        peaks: (columns,) the largest sample of each equal part of the time, 0 to 1.
    """

    path: str
    duration_s: float
    peaks: np.ndarray


def read_recording(path: str | None, max_size_mb: float, max_length_s: float, deadline: Deadline) -> Recording:
    """
    Decode a file once, block by block, up to the longest that is served.

    Args:
        path: of the uploaded file; `None` where none was given.
        max_size_mb: largest file.
        max_length_s: longest audio, in seconds.
        deadline: of the request.

    Raises:
        Refusal: no file, too large, too long, too short, too slow, or no audio.
    """
    if not path:
        raise Refusal("Give a recording first: upload a file, record one, or choose an example.")
    try:
        size = os.path.getsize(path)
    except OSError:
        raise Refusal("This file is no longer here: upload it again.") from None
    if size == 0:
        raise Refusal("This file is empty.")
    if size > max_size_mb * 1e6:
        raise Refusal(f"This file has {size / 1e6:.0f} MB; at most {max_size_mb:g} MB are taken.")
    try:
        with AudioFile(path) as file:
            rate = file.sampling_rate
            if rate > 0 and file.num_samples > max_length_s * rate:
                raise Refusal(_too_long(file.num_samples / rate, max_length_s))
            return _decoded(path, file, max_length_s, deadline)
    except Refusal:
        raise
    except ValueError:
        raise Refusal(NOT_AUDIO) from None


def _decoded(path: str, file: AudioFile, max_length_s: float, deadline: Deadline) -> Recording:
    rate, count = file.sampling_rate, 0
    width = max(1, round(rate / 100))
    rest, peaks = np.zeros(0, dtype=np.float32), []
    for block in file.blocks(max(1, round(BLOCK_S * rate))):
        deadline.check()
        count += len(block)
        if count > max_length_s * rate:
            raise Refusal(_too_long(None, max_length_s))
        rest = np.concatenate([rest, np.abs(block)])
        whole = len(rest) // width * width
        peaks.append(rest[:whole].reshape(-1, width).max(axis=1))
        rest = rest[whole:]
    if count < SHORTEST_S * rate:
        raise Refusal(f"This recording lasts {count / rate:.3f} s; at least {SHORTEST_S} s are needed.")
    fine = np.concatenate([*peaks, [rest.max(initial=0)]])
    edges = np.linspace(0, len(fine), min(COLUMNS, len(fine)) + 1).astype(int)[:-1]
    return Recording(path, count / rate, np.nan_to_num(np.maximum.reduceat(fine, edges)).clip(0, 1))


def _too_long(duration_s: float | None, max_length_s: float) -> str:
    lasts = f"lasts {clock(duration_s)}" if duration_s is not None else "is longer than its header says"
    return (
        f"This recording {lasts}; at most {clock(max_length_s)} are taken: cut it, or run the package on your machine."
    )


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, the larger ones where there are any: `3:00:00`, `1:05`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
