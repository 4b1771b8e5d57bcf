"""Requests as a service gets them: valid ones of every kind, and some that must be refused."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from .case import Case
from .cases import delivered
from .files import EXTENSIONS, FORMATS, RATES, SUBTYPES, encode
from .sounds import bursts


USUAL_RATES = (8000, 11025, 16000, 22050, 44100, 48000)
SHORT_S, CURVE_S, LONG_S = (0.3, 8.0), (2.5, 20.0), (31.0, 180.0)
WINDOWS = ({"window_s": 2.0, "hop_s": 0.5}, {"window_s": 1.0}, {"segments": [(0.1, 1.4), (0.0, 0.3), (1.0, 2.0)]})
SCALES = ("label", "unit", "signed")


@dataclass
class Request:
    """One request.

    Args:
        kind: key of `KINDS`.
        way: `"pipeline"`, `"onnx"`, `"stream"` or `"space"`.
        case: the clip and its options.
        refused: whether it must be refused.
    """

    kind: str
    way: str
    case: Case
    refused: bool = False


def any_clip(rng: np.random.Generator, lengths_s: tuple[float, float]) -> tuple[bytes, str, str]:
    """An encoded recording of 8 to 48 kHz with one or two channels, its extension, and a description."""
    kind = str(rng.choice(FORMATS))
    rate = int(rng.choice([rate for rate in RATES.get(kind, USUAL_RATES) if 8000 <= rate <= 48000]))
    subtype, channels = str(rng.choice(SUBTYPES[kind])), int(rng.integers(1, 3))
    seconds = rng.uniform(*lengths_s)
    content = encode(bursts(rng, round(seconds * rate), rate, channels), rate, kind, subtype)
    return content, EXTENSIONS.get(kind, kind), f"{seconds:.1f} s of {subtype} {kind}, {channels} x {rate} Hz"


def _file(rng: np.random.Generator, folder: Path, lengths_s=SHORT_S, options=({},)) -> Case:
    case = delivered(rng, folder, *any_clip(rng, lengths_s))
    case.options = dict(options[rng.integers(len(options))])
    return case


def _path(rng: np.random.Generator, folder: Path, lengths_s=SHORT_S) -> Case:
    content, extension, what = any_clip(rng, lengths_s)
    path = folder / f"clip.{extension}"
    path.write_bytes(content)
    return Case(what, lambda: str(path))


def _batch(rng: np.random.Generator, folder: Path) -> Case:
    paths = []
    for number in range(int(rng.integers(2, 7))):
        content, extension, _ = any_clip(rng, SHORT_S)
        paths.append(folder / f"{number}.{extension}")
        paths[-1].write_bytes(content)
    options = {"batch_size": int(rng.integers(1, 5)), **WINDOWS[rng.integers(2)]}
    return Case(f"{len(paths)} files, {options}", lambda: list(paths), options=options)


def _array(rng: np.random.Generator, folder: Path) -> Case:
    rate = int(rng.choice(USUAL_RATES))
    samples = bursts(rng, round(rng.uniform(*SHORT_S) * rate), rate, int(rng.integers(1, 3))).T
    form = int(rng.integers(4))
    if form == 0:
        return Case(f"dict, {samples.shape} at {rate} Hz", lambda: {"array": samples, "sampling_rate": rate})
    # by itself an array of two channels may be two clips
    clip = (samples[:1], torch.from_numpy(samples[0].copy()), samples[0].tolist())[form - 1]
    return Case(f"{type(clip).__name__}, {samples.shape} at {rate} Hz", lambda: clip, rate)


def _stream(rng: np.random.Generator, folder: Path) -> Case:
    rate = int(rng.choice(USUAL_RATES))
    samples = bursts(rng, round(rng.uniform(0.3, 12.0) * rate), rate)[:, 0]
    pieces = np.array_split(samples, int(rng.integers(1, 25)))
    return Case(f"stream of {len(pieces)} pieces, {len(samples) / rate:.1f} s at {rate} Hz", lambda: pieces, rate)


def _bad_file(rng: np.random.Generator, folder: Path) -> Case:
    content, extension, _ = any_clip(rng, SHORT_S)
    too_short = encode(bursts(rng, 300, 16000), 16000, "wav", "PCM_16")
    contents = (b"Dear diary, today I was renamed.", b"", too_short, content[: len(content) // 40 % 40])
    path = folder / f"clip.{extension}"
    path.write_bytes(contents[rng.integers(len(contents))])
    return Case(f"{path.stat().st_size} bytes of no audio", lambda: str(path))


def _bad_array(rng: np.random.Generator, folder: Path) -> Case:
    samples = bursts(rng, 8000, 16000)[:, 0]
    samples[4000] = np.nan
    makers = {
        "a sample is NaN": lambda: samples,
        "0.02 s": lambda: samples[:320],
        "no such file": lambda: str(folder / "absent.wav"),
        "a rate of 7 Hz": lambda: {"array": samples[:4000], "sampling_rate": 7},
    }
    what = list(makers)[rng.integers(len(makers))]
    return Case(what, makers[what], None if what == "a rate of 7 Hz" else 16000)


def _bad_options(rng: np.random.Generator, folder: Path) -> Case:
    case = _path(rng, folder)
    case.options = ({"window_s": -1.0}, {"window_s": 1.0, "hop_s": 0.001}, {"window_s": 0.05})[rng.integers(3)]
    case.what += f", {case.options}"
    return case


def _bad_stream(rng: np.random.Generator, folder: Path) -> Case:
    case = _stream(rng, folder)
    pieces = [*case.make(), np.full(9, np.nan, np.float32)]
    return Case(f"{case.what}, then NaN", lambda: pieces, case.sampling_rate)


def _of_space(rng: np.random.Generator, folder: Path, make: Callable, **options) -> Case:
    case = make(rng, folder)
    case.options = {**case.options, **options, "scale": SCALES[rng.integers(len(SCALES))]}
    return case


Maker = Callable[[np.random.Generator, Path], Case]
LONG = partial(_file, lengths_s=LONG_S)
CURVE = partial(_file, lengths_s=CURVE_S, options=WINDOWS)
# kind: (way, maker, whether it must be refused, how many different ones, relative frequency)
KINDS: dict[str, tuple[str, Maker, bool, int, float]] = {
    "file": ("pipeline", _file, False, 10, 10),
    "long file": ("pipeline", LONG, False, 3, 0.5),
    "windows": ("pipeline", CURVE, False, 6, 5),
    "batch": ("pipeline", _batch, False, 4, 3),
    "array": ("pipeline", _array, False, 8, 8),
    "bad file": ("pipeline", _bad_file, True, 6, 2),
    "bad array": ("pipeline", _bad_array, True, 6, 2),
    "bad options": ("pipeline", _bad_options, True, 3, 2),
    "stream": ("stream", _stream, False, 6, 4),
    "bad stream": ("stream", _bad_stream, True, 3, 2),
    "ONNX file": ("onnx", _file, False, 8, 8),
    "ONNX long file": ("onnx", LONG, False, 2, 0.5),
    "ONNX windows": ("onnx", CURVE, False, 4, 4),
    "ONNX batch": ("onnx", _batch, False, 2, 2),
    "ONNX bad file": ("onnx", _bad_file, True, 3, 2),
    "ONNX bad array": ("onnx", _bad_array, True, 3, 2),
    "space file": ("space", partial(_of_space, make=_path), False, 12, 10),
    "space windows": ("space", partial(_of_space, make=_path, window_s=1.0, hop_s=0.5), False, 6, 5),
    "space long file": ("space", partial(_of_space, make=partial(_path, lengths_s=LONG_S)), False, 3, 0.3),
    "space bad file": ("space", partial(_of_space, make=_bad_file), True, 6, 2),
    "space bad options": ("space", _bad_options, True, 3, 1),
}


def make_mixture(seed: int, folder: Path, ways: tuple[str, ...]) -> list[Request]:
    """Requests by these ways, the same for the same seed; their files are written to `folder`."""
    requests = []
    for number, (kind, (way, make, refused, count, _)) in enumerate(KINDS.items()):
        for index in range(count if way in ways else 0):
            own = folder / f"{kind}_{index}".replace(" ", "_")
            own.mkdir(parents=True)
            case = make(np.random.default_rng((seed, number, index)), own)
            requests.append(Request(kind, way, case, refused))
    return requests


def draw(rng: np.random.Generator, requests: list[Request]):
    """Yield numbers of requests without end: each once, then at random by the share of their kind."""
    yield from range(len(requests))
    shares = np.array([KINDS[request.kind][4] / KINDS[request.kind][3] for request in requests])
    while True:
        yield int(rng.choice(len(requests), p=shares / shares.sum()))
