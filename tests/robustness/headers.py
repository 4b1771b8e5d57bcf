"""Headers that declare what the file does not contain."""

import struct

import numpy as np

from .files import ogg_crc


PLAUSIBLE = {
    "tag": (1, 3, 6, 7, 2, 0x11, 0x31, 0x55, 0xFFFE, 0, 0xFFFF),
    "channels": (1, 2, 64, 255, 1024, 1025, 0, 0xFFFF),
    "rate": (16000, 48000, 768000, 1000, 1, 0, 0x7FFFFFFF, 0xFFFFFFFF),
    "bits": (16, 8, 24, 32, 64, 4, 0, 1, 0xFFFF),
}
LENGTHS = (0, 1, 2, 7, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
LONG_LENGTHS = (0, 1, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def _pick(rng: np.random.Generator, name: str) -> int:
    """The first value, which is harmless, half of the time."""
    values = PLAUSIBLE[name]
    return values[0] if rng.integers(2) else int(rng.choice(values))


def _length(rng: np.random.Generator, actual: int) -> int:
    return actual if rng.integers(3) == 0 else int(rng.choice(LENGTHS))


def _body(rng: np.random.Generator) -> bytes:
    return rng.bytes(int(rng.choice([0, 1, 3, 44, 3200, 20000])))


def wav(rng: np.random.Generator) -> bytes:
    """WAV as RIFF, RIFX or RF64."""
    tag, channels, rate, bits = (_pick(rng, name) for name in PLAUSIBLE)
    order, magic = [("<", b"RIFF"), (">", b"RIFX"), ("<", b"RF64")][rng.choice([0, 0, 0, 1, 2])]
    block = channels * bits // 8 % 65536 if rng.integers(2) else int(rng.integers(65536))
    body = _body(rng)
    sizes = struct.pack("<IQQQI", 28, *(int(value) for value in rng.choice(np.array(LONG_LENGTHS, "u8"), 3)), 0)
    sizes = b"ds64" + sizes if magic == b"RF64" else b""
    fields = (tag, channels, rate, rate * block % (1 << 32), block, bits)
    chunk = b"fmt " + struct.pack(f"{order}IHHIIHH", _length(rng, 16), *fields)
    if rng.integers(4) == 0:
        chunk += b"LIST" + struct.pack(f"{order}I", _length(rng, 4)) + b"INFO"
    if rng.integers(4) == 0:
        chunk += b"fact" + struct.pack(f"{order}II", 4, int(rng.choice(LENGTHS)))
    data = b"data" + struct.pack(f"{order}I", _length(rng, len(body))) + body
    content = b"WAVE" + sizes + chunk + data
    return magic + struct.pack(f"{order}I", _length(rng, len(content))) + content


def aiff(rng: np.random.Generator) -> bytes:
    """AIFF or AIFC, with an 80-bit float for the rate."""
    channels, bits, body = _pick(rng, "channels"), _pick(rng, "bits"), _body(rng)
    rate = struct.pack(">HQ", 0x400C, 16000 << 50) if rng.integers(2) else rng.bytes(10)
    common = struct.pack(">HIH", channels, _length(rng, len(body) // 2), bits) + rate
    is_aifc = rng.integers(2)
    if is_aifc:
        common += [b"NONE", b"fl64", b"ima4", b"alaw", b"GSM ", b"????"][rng.integers(6)] + b"\x00\x00"
    chunks = b"COMM" + struct.pack(">I", _length(rng, len(common))) + common
    chunks += b"SSND" + struct.pack(">III", _length(rng, len(body) + 8), _length(rng, 0), 0) + body
    content = (b"AIFC" if is_aifc else b"AIFF") + chunks
    return b"FORM" + struct.pack(">I", _length(rng, len(content))) + content


def au(rng: np.random.Generator) -> bytes:
    """Sun AU."""
    body, coding = _body(rng), int(rng.integers(30))
    fields = (_length(rng, 24), _length(rng, len(body)), coding, _pick(rng, "rate"), _pick(rng, "channels"))
    return b".snd" + struct.pack(">IIIII", *fields) + body


def caf(rng: np.random.Generator) -> bytes:
    """CAF, with 64-bit lengths and a double for the rate."""
    body = _body(rng)
    rate = float(rng.choice([16000.0, 16000.5, 0.0, -1.0, np.nan, np.inf, 1e300]))
    coding = [b"lpcm", b"ulaw", b"alac", b"aac "][rng.integers(4)]
    rest = (int(rng.integers(8)), _pick(rng, "channels") * 2, 1, _pick(rng, "channels"), _pick(rng, "bits"))
    description = struct.pack(">d4sIIIII", rate, coding, *rest)
    length = int(rng.choice(np.array([len(body) + 4, *LONG_LENGTHS], "u8")))
    data = b"data" + struct.pack(">QI", length, 0) + body
    return b"caff\x00\x01\x00\x00desc" + struct.pack(">Q", _length(rng, 32)) + description + data


def flac(rng: np.random.Generator) -> bytes:
    """FLAC stream information followed by noise instead of frames."""
    rate, channels, bits = int(rng.integers(1 << 20)), int(rng.integers(8)), int(rng.integers(32))
    total = int(rng.choice([0, 1, (1 << 36) - 1]))
    packed = rate << 44 | channels << 41 | bits << 36 | total
    sizes = struct.pack(">HH", *(int(rng.choice([0, 1, 16, 4096, 65535])) for _ in range(2)))
    information = sizes + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    comments = b"\x84" + int(rng.choice([4, 40, 0xFFFFFF])).to_bytes(3, "big") + b"\xff\xff\xff\xff"
    blocks = b"\x00\x00\x00\x22" + information + comments if rng.integers(2) else b"\x80\x00\x00\x22" + information
    return b"fLaC" + blocks + _body(rng)


def mp3(rng: np.random.Generator) -> bytes:
    """An ID3 tag of any size and MP3 frames of noise, sometimes with a Xing header that declares 2^32 frames."""
    size = int(rng.choice([0, 10, 0x0FFFFFFF]))
    sevens = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\x04\x00" + rng.bytes(1) + sevens + rng.bytes(10) if rng.integers(2) else b""
    frames = b"".join(b"\xff\xfb" + rng.bytes(2) + rng.bytes(int(rng.integers(30, 420))) for _ in range(20))
    counted = b"\xff\xfb\x90\x00" + bytes(32) + b"Xing" + struct.pack(">III", 3, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(365)
    return tag + counted * int(rng.integers(2)) + frames


def ogg(rng: np.random.Generator) -> bytes:
    """First pages of Vorbis, Opus, Speex or FLAC with any rate and channels; half of the checksums are wrong."""
    rate, channels = _pick(rng, "rate"), _pick(rng, "channels") % 256
    packets = [
        b"\x01vorbis" + struct.pack("<IBIIIIB", 0, channels, rate, 0xFFFFFFFF, 0, 0, int(rng.integers(256))) + b"\x01",
        b"OpusHead" + struct.pack("<BBHIhB", 1, channels, int(rng.integers(65536)), rate, 0, int(rng.integers(256))),
        b"Speex   " + rng.bytes(72),
        b"\x7fFLAC\x01\x00\x00\x01fLaC" + rng.bytes(38),
    ]
    packet = packets[rng.integers(4)]
    pages = _page(rng, packet, 2, 0)
    for sequence in range(1, int(rng.integers(1, 4))):
        pages += _page(rng, rng.bytes(int(rng.integers(200))), 0, sequence)
    return pages


def _page(rng: np.random.Generator, packet: bytes, kind: int, sequence: int) -> bytes:
    place = int(rng.choice(np.array(LONG_LENGTHS, "u8")))
    head = b"OggS\x00" + struct.pack("<BQII", kind, place, 1, sequence)
    segments = bytes([1, len(packet)])
    checksum = ogg_crc(head + bytes(4) + segments + packet) if rng.integers(2) else int(rng.integers(1 << 32))
    return head + struct.pack("<I", checksum) + segments + packet


LYING_HEADERS = (wav, wav, wav, aiff, au, caf, flac, mp3, ogg)
