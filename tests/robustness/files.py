"""Sound files of every supported format, encoded the same to the byte each time, and damage done to them."""

import io
import struct

import numpy as np
import soundfile

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
HEADER_BYTES = 64
OGG_POLYNOMIAL = 0x04C11DB7
OGG_HEAD_BYTES = 27


def encode(samples: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    """Encode samples (samples, channels) as a file of a kind and one of its `SUBTYPES`; rate in hertz."""
    file = io.BytesIO()
    container = CONTAINERS.get(kind, kind.upper())
    with soundfile.SoundFile(file, "w", rate, samples.shape[1], subtype, format=container) as sound:
        for start in range(0, len(samples), AT_ONCE):
            sound.write(samples[start : start + AT_ONCE])
    content = file.getvalue()
    return with_stream_number(content) if kind in CONTAINERS else _without_time(content)


def _without_time(content: bytes) -> bytes:
    """Zero the time at which the peak was measured, which floating-point files store."""
    place = content[:1000].find(b"PEAK")
    return content if place < 0 else content[: place + 12] + bytes(4) + content[place + 16 :]


def any_file(rng: np.random.Generator, kind: str, whole: bool = True) -> bytes:
    """An undamaged file of a random rate, length, sample format and number of channels.

    Args:
        rng: source of the random choices.
        kind: key of `SUBTYPES`.
        whole: keep to accepted rates and lengths.
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


def _crc_row(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1 ^ OGG_POLYNOMIAL if value >> 31 else value << 1) & 0xFFFFFFFF
    return value


OGG_TABLE = [_crc_row(byte) for byte in range(256)]


def ogg_crc(content: bytes) -> int:
    """Checksum of an Ogg page whose checksum field is zero (CRC-32, neither reflected nor inverted)."""
    value = 0
    for byte in content:
        value = (value << 8 & 0xFFFFFFFF) ^ OGG_TABLE[value >> 24 ^ byte]
    return value


def with_stream_number(content: bytes, number: int = 1) -> bytes:
    """An Ogg file with this stream number, which encoders draw at random."""
    pages, place = [], 0
    while place < len(content):
        segments = content[place + OGG_HEAD_BYTES - 1]
        body = place + OGG_HEAD_BYTES + segments
        end = body + sum(content[place + OGG_HEAD_BYTES : body])
        head = content[place : place + 14] + struct.pack("<I", number) + content[place + 18 : place + 22]
        tail = content[place + OGG_HEAD_BYTES - 1 : end]
        pages.append(head + struct.pack("<I", ogg_crc(head + bytes(4) + tail)) + tail)
        place = end
    return b"".join(pages)


def truncated(rng: np.random.Generator, content: bytes) -> bytes:
    """Cut a file off, in the header half of the time; sometimes fill up with zeros."""
    end = int(rng.integers(min(len(content), 2 * HEADER_BYTES) if rng.integers(2) else len(content)))
    return content[:end] + bytes(len(content) - end) * int(rng.integers(4) == 0)


def flipped(rng: np.random.Generator, content: bytes) -> bytes:
    """Flip 1 to 64 bits, in the header half of the time."""
    damaged = bytearray(content)
    reach = min(len(damaged), HEADER_BYTES) if rng.integers(2) else len(damaged)
    for place in rng.integers(reach, size=int(rng.choice([1, 2, 8, 64]))):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def overwritten(rng: np.random.Generator, content: bytes) -> bytes:
    """Overwrite some bytes with extreme integers, noise, or another part of the file."""
    damaged = bytearray(content)
    size = int(rng.choice([1, 2, 4, 8, 256]))
    start = int(rng.integers(min(len(damaged), HEADER_BYTES) if rng.integers(2) else len(damaged)))
    fillings = (b"\x00", b"\xff", b"\x7f", b"\x80", rng.bytes(1))
    filling = fillings[rng.integers(5)] * size if rng.integers(2) else rng.bytes(size)
    if rng.integers(4) == 0:
        place = int(rng.integers(len(damaged)))
        filling = content[place : place + size]
    damaged[start : start + len(filling)] = filling
    return bytes(damaged)


def rearranged(rng: np.random.Generator, content: bytes) -> bytes:
    """Remove, double or move a part of a file, or insert noise."""
    first, second = sorted(int(place) for place in rng.integers(len(content) + 1, size=2))
    head, middle, tail = content[:first], content[first:second], content[second:]
    garbage = rng.bytes(int(rng.integers(1, 2000)))
    return [
        head + tail,
        head + middle + middle + tail,
        head + tail + middle,
        head + garbage + middle + tail,
        garbage + content,
        content + garbage,
        content + content,
    ][rng.integers(7)]
