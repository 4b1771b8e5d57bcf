"""Sounds as files of every format that is promised."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from .ogg_pages import numbered
from .sounds import any_channels, any_length, any_rate, bursts


FORMATS = ("wav", "flac", "vorbis", "opus", "mp3")
EXTENSIONS = {"vorbis": "ogg", "opus": "opus"}
CONTAINERS = {"vorbis": "OGG", "opus": "OGG"}
SUBTYPES = {
    "wav": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"),
    "flac": ("PCM_S8", "PCM_16", "PCM_24"),
    "vorbis": ("VORBIS",),
    "opus": ("OPUS",),
    "mp3": ("MPEG_LAYER_III",),
    "aiff": ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"),
    "au": ("PCM_16", "PCM_32", "DOUBLE", "ULAW"),
    "w64": ("PCM_U8", "PCM_24", "DOUBLE"),
    "rf64": ("PCM_16", "FLOAT"),
    "caf": ("PCM_24", "ALAC_16", "DOUBLE"),
}
RATES = {
    "opus": (8000, 12000, 16000, 24000, 48000),
    "mp3": (8000, 11025, 16000, 22050, 32000, 44100, 48000),
    "vorbis": (8000, 16000, 22050, 44100, 48000, 96000),
    "flac": (1000, 8000, 16000, 44100, 96000, 192000, 655350),
}
AT_ONCE = 500_000  # samples: libsndfile's Vorbis encoder puts what it is given on the stack
MOST_CHANNELS = {"flac": 8, "mp3": 2, "vorbis": 8, "opus": 2}


def encode(samples: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    """
    Args:
        samples: (samples, channels).
        rate: in hertz.
        kind: a key of `SUBTYPES`.
        subtype: one of that kind's.

    Returns:
        the file, the same to the byte each time.
    """
    file = io.BytesIO()
    container = CONTAINERS.get(kind, kind.upper())
    with soundfile.SoundFile(file, "w", rate, samples.shape[1], subtype, format=container) as sound:
        for start in range(0, len(samples), AT_ONCE):
            sound.write(samples[start : start + AT_ONCE])
    content = file.getvalue()
    return numbered(content) if kind in CONTAINERS else _without_time(content)


def _without_time(content: bytes) -> bytes:
    """The same file at any hour: floating-point files note when their peak was measured."""
    place = content[:1000].find(b"PEAK")
    return content if place < 0 else content[: place + 12] + bytes(4) + content[place + 16 :]


def any_file(rng: np.random.Generator, kind: str, whole: bool = True) -> bytes:
    """
    A file without fault.

    Args:
        rng: chooses rate, channels, length, sound and sample format.
        kind: a key of `SUBTYPES`.
        whole: at rates and lengths that are accepted.
    """
    subtype = str(rng.choice(SUBTYPES[kind]))
    channels = min(any_channels(rng), MOST_CHANNELS.get(kind, 64))
    if "ADPCM" in subtype or "ALAC" in subtype:
        channels = min(channels, 2)
    rate = int(rng.choice(RATES[kind])) if kind in RATES else any_rate(rng)
    if whole:
        rate = min(max(rate, 1000), 96_000)
    samples = max(any_length(rng, rate, channels), rate // 4 if whole else 0)
    return encode(bursts(rng, samples, rate, channels), rate, kind, subtype)
