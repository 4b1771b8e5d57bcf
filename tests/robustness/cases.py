"""Every kind of hostile case, and the case of a number."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from . import arrays
from .case import Case
from .file_objects import any_file_object
from .files import (
    EXTENSIONS,
    FORMATS,
    SUBTYPES,
    any_file,
    encode,
    flipped,
    overwritten,
    rearranged,
    truncated,
)
from .headers import LYING_HEADERS
from .paths import any_path, any_wrong_extension
from .sounds import bursts, unlike_numbers, very_large, very_small


MAGICS = (
    *(b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC", b"OggS\x00\x02", b"ID3", b"\xff\xfb\x90\x64", b"FORM", b".snd"),
    *(b"caff", b"riff", b"NIST_1A\n   1024\n", b"Creative Voice File\x1a", b"MATLAB 5.0 MAT-file", b"2BIT", b" paf"),
    *(b"Extended Instrument: ", b"\x64\xa3\x01\x00", b"PVF1\n", b"ALawSoundFile**", b"\xf0\x7e\x00\x01"),
)
Maker = Callable[[np.random.Generator, Path], Case]


def delivered(rng: np.random.Generator, folder: Path, content: bytes, extension: str, what: str) -> Case:
    """Encoded audio in one of the accepted forms: bytes, a file object, a path, a dict, a list of one."""
    form = rng.integers(7)
    if form == 0:
        return Case(f"{what}, in a file object", lambda: io.BytesIO(content))
    if form == 1:
        return Case(f"{what}, in bytes", lambda: content)
    if form == 2:
        return Case(f"{what}, bytes in a dict", lambda: {"bytes": content, "path": None})
    path = folder / f"clip.{extension}"
    path.write_bytes(content)
    clip = (str(path), path, {"path": str(path)}, [str(path)])[form - 3]
    return Case(f"{what}, {type(clip).__name__}", lambda: clip)


def damaged(rng: np.random.Generator, folder: Path, kind: str, damages) -> Case:
    """A file of one format with one kind of damage."""
    damage = damages[rng.integers(len(damages))]
    content = damage(rng, any_file(rng, kind))
    return delivered(rng, folder, content, EXTENSIONS.get(kind, kind), f"{kind}, {damage.__name__}")


def sound_files(rng: np.random.Generator, folder: Path) -> Case:
    """Undamaged files of all formats, sample formats, rates and numbers of channels."""
    kind = str(rng.choice(list(SUBTYPES)))
    return delivered(rng, folder, any_file(rng, kind, whole=False), EXTENSIONS.get(kind, kind), kind)


def rare_formats(rng: np.random.Generator, folder: Path) -> Case:
    """Damaged files of formats that libsndfile reads beyond the supported ones."""
    kind = str(rng.choice([kind for kind in SUBTYPES if kind not in FORMATS]))
    return damaged(rng, folder, kind, (truncated, flipped, overwritten, rearranged))


def extreme_files(rng: np.random.Generator, folder: Path) -> Case:
    """Floating-point wav files with NaN, infinity, very small or very large samples."""
    signal = (unlike_numbers, very_small, very_large)[rng.integers(3)]
    rate = int(rng.choice([8000, 16000, 44100]))
    samples = signal(rng, int(rng.integers(2 * rate)), rate)
    subtype = str(rng.choice(["FLOAT", "DOUBLE"]))
    samples = samples.astype("f8" if subtype == "DOUBLE" else "f4", copy=False)
    content = encode(samples[:, None], rate, "wav", subtype)
    return delivered(rng, folder, content, "wav", f"{subtype} wav of {signal.__name__}")


def lying_headers(rng: np.random.Generator, folder: Path) -> Case:
    """Headers that declare lengths, rates and channels which the file does not have."""
    make = LYING_HEADERS[rng.integers(len(LYING_HEADERS))]
    return delivered(rng, folder, make(rng), make.__name__, f"lying {make.__name__}")


def noise_files(rng: np.random.Generator, folder: Path) -> Case:
    """Random bytes after the first bytes of a format."""
    magic = MAGICS[rng.integers(len(MAGICS))]
    return delivered(rng, folder, magic + rng.bytes(int(rng.integers(5000))), "wav", f"noise behind {magic!r}")


def long_files(rng: np.random.Generator, folder: Path) -> Case:
    """Files over 30 s, which the pipeline reads in blocks, sometimes damaged near the end."""
    kind = str(rng.choice(["wav", "flac", "vorbis", "mp3"]))
    samples = bursts(rng, int(rng.uniform(29, 36) * 8000), 8000)
    subtype = "FLOAT" if kind == "wav" else SUBTYPES[kind][-1]
    if kind == "wav" and rng.integers(2):
        samples[-int(rng.integers(1, 8000)) :] = rng.choice([np.nan, np.inf, 100.0, 0.0])
    content = encode(samples, 8000, kind, subtype)
    end = len(content) - int(rng.integers(1 + len(content) // 8))
    content = content[:end] if rng.integers(2) else content
    return delivered(rng, folder, content, EXTENSIONS.get(kind, kind), f"{len(samples) / 8000:.1f} s of {kind}")


KINDS: dict[str, Maker] = {
    "sound files": sound_files,
    **{f"{kind}, cut or rearranged": partial(damaged, kind=kind, damages=(truncated, rearranged)) for kind in FORMATS},
    **{f"{kind}, bits and bytes": partial(damaged, kind=kind, damages=(flipped, overwritten)) for kind in FORMATS},
    "rare formats, damaged": rare_formats,
    "lying headers": lying_headers,
    "noise behind magic": noise_files,
    "extreme values in files": extreme_files,
    "over 30 s": long_files,
    "wrong extensions": any_wrong_extension,
    "paths and addresses": any_path,
    "file objects": any_file_object,
    "NaN and infinity": arrays.not_finite,
    "denormal, full scale, DC": arrays.extreme_values,
    "0 to 5 samples": arrays.few_samples,
    "rates and channels": arrays.rates_and_channels,
    "types and shapes": arrays.types_and_shapes,
    "tensors": arrays.tensors,
    "lists": arrays.lists,
    "dicts": arrays.dicts,
    "other objects": arrays.objects,
    "sampling rates": arrays.sampling_rates,
}
OPTIONS = ({}, {}, {"on_error": "skip"}, {"window_s": 0.5, "hop_s": 0.25}, {"segments": [(0.05, 0.2), (0.0, 0.1)]})


def kind_of(index: int) -> str:
    """The kind of a case: kinds alternate."""
    return list(KINDS)[index % len(KINDS)]


def make_case(seed: int, index: int, folder: Path) -> Case:
    """The case of a seed and an index, the same each time; `folder` is empty, for its files."""
    rng = np.random.default_rng((seed, index))
    case = KINDS[kind_of(index)](rng, folder)
    case.options = OPTIONS[rng.integers(len(OPTIONS))]
    return case
