"""Clips in memory: arrays, tensors, lists, dicts and other objects, mostly invalid."""

import array as typed
from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch

from .case import Case
from .sounds import MOST_VALUES, any_channels, any_length, any_rate, bursts, unlike_numbers, very_large, very_small


DTYPES = (
    *("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g", ">i2", ">f4", "<f8"),
    *("?", "c8", "O", "S4", "U4", "M8[s]", "m8[s]", "V8"),
)
SHAPES = (
    *((), (0,), (0, 0), (0, 2), (2, 0), (4000,), (1, 4000), (4000, 1), (2, 4000), (4000, 2)),
    *((3, 3, 400), (1,) * 5, (70, 71), (4000, 0), (63, 64)),
)
RATES = (
    *(0, -1, -16000, 0.0, 1, 999, 1000, 768_000, 768_001, 10**30, 16000.0, 16000.5, True, False, np.bool_(True)),
    *(float("nan"), float("inf"), -float("inf"), np.float64("nan"), Decimal("NaN"), Decimal(16000), 16000j),
    *("16000", "fast", b"16000", [16000], (16000,), {}, object(), None, Fraction(16000), Fraction(1, 3)),
    *(np.int16(16000), np.int64(16000), np.uint8(200), np.float32(16000), np.array(16000)),
    *(np.array([16000]), np.array([8000, 16000]), torch.tensor(16000)),
)


def extreme(rng: np.random.Generator, signal) -> Case:
    """An array of an extreme signal at an accepted rate."""
    rate = int(rng.choice([8000, 16000, 44100, 48000]))
    samples = signal(rng, any_length(rng, rate), rate)
    return Case(f"{signal.__name__}, {len(samples)} x {samples.dtype} at {rate} Hz", lambda: samples, rate)


def extreme_values(rng: np.random.Generator, _) -> Case:
    """Denormals, constants, full scale and beyond."""
    return extreme(rng, (very_small, very_large)[rng.integers(2)])


def not_finite(rng: np.random.Generator, _) -> Case:
    """NaN and infinities."""
    return extreme(rng, unlike_numbers)


def few_samples(rng: np.random.Generator, _) -> Case:
    """0 to 5 samples, or about 0.1 s."""
    rate = any_rate(rng)
    shortest = min(MOST_VALUES, max(0, round(0.1 * rate) + int(rng.integers(-2, 3))))
    samples = int(rng.integers(6)) if rng.integers(3) else shortest
    signal = bursts(rng, samples, rate)[:, 0]
    return Case(f"{samples} samples at {rate} Hz", lambda: signal, rate)


def rates_and_channels(rng: np.random.Generator, _) -> Case:
    """Rates from 1 Hz to beyond 768 kHz, 1 to 64 channels, either axis first, in a dict half of the time."""
    rate, channels = any_rate(rng), any_channels(rng)
    signal = bursts(rng, any_length(rng, rate, channels), rate, channels)
    signal = np.ascontiguousarray(signal.T) if rng.integers(2) else signal
    if rng.integers(2):
        return Case(f"dict, {signal.shape} at {rate} Hz", lambda: {"array": signal, "sampling_rate": rate})
    return Case(f"{signal.shape} at {rate} Hz", lambda: signal, rate)


def types_and_shapes(rng: np.random.Generator, _) -> Case:
    """Arrays of every dtype, of 0 to 5 dimensions, also with negative strides."""
    dtype = str(rng.choice(DTYPES))
    shape = SHAPES[rng.integers(len(SHAPES))]
    size = int(np.prod(shape))
    base = bursts(rng, size, 16000)[:, 0]
    kind = np.dtype(dtype)
    if kind.kind in "SUVMm":
        samples = np.zeros(shape, kind)
    else:
        if kind.kind in "iu":
            base = base.astype(np.float64).clip(-1, 1 - 2**-24) * 2.0 ** (8 * kind.itemsize - 1)
        base = np.abs(base) if kind.kind == "u" else base
        samples = base.astype(kind).reshape(shape)
    if samples.ndim and rng.integers(4) == 0:
        samples = samples[::-2]  # strides that are negative and wide
    return Case(f"array {samples.shape} of {samples.dtype}", lambda: samples, 16000)


def tensors(rng: np.random.Generator, _) -> Case:
    """Tensors of every dtype and layout."""
    signal = torch.from_numpy(bursts(rng, int(rng.integers(1600, 8000)), 16000)[:, 0])
    makers = {
        "float32": lambda: signal,
        "bfloat16": lambda: signal.bfloat16(),
        "half": lambda: signal.half(),
        "double, 2 channels": lambda: torch.stack([signal, -signal]).double(),
        "with a gradient": lambda: signal.clone().requires_grad_(),
        "int16": lambda: (signal * 30000).short(),
        "bool": lambda: signal > 0,
        "complex": lambda: signal.to(torch.complex64),
        "conjugate's imaginary part": lambda: signal.to(torch.complex64).conj().imag,
        "conjugate": lambda: signal.to(torch.complex64).conj(),
        "sparse": lambda: signal.to_sparse(),
        "on no device": lambda: signal.to("meta"),
        "of every second sample, backwards": lambda: signal.flip(0)[::2],
        "float8": lambda: signal.to(torch.float8_e4m3fn),
        "expanded": lambda: signal[:1].expand(4000),
        "0-d": lambda: signal[0],
        "3-D": lambda: signal[:1200].reshape(10, 12, 10),
        "empty": lambda: signal[:0],
        "(2, 0)": lambda: signal[:0].reshape(2, 0),
    }
    what = list(makers)[rng.integers(len(makers))]
    return Case(f"tensor: {what}", makers[what], 16000)


def lists(rng: np.random.Generator, _) -> Case:
    """Lists of numbers and of other objects."""
    signal = bursts(rng, 2000, 16000)[:, 0].tolist()
    values = (
        *(signal, tuple(signal), [1, 2, 3], [signal[0], None], [signal[0], "0.1"], [0.1, [0.2, 0.3]]),
        *([[0.1, 0.2], [0.3]], [signal, signal[:-1]], [True] * 2000, [2**70] * 2000, [1e400] + signal),
        *([0.1 + 1j] * 2000, [None], [float("nan")] * 2000, [np.float32(0.1)] * 2000, [Decimal("0.1")] * 2000),
        *([b"RIFF"], [[[]]], [{}], [()], [np.zeros((0, 2))], [signal]),
    )
    value = values[rng.integers(len(values))]
    return Case(f"list {str(value)[:40]}", lambda: value, 16000)


def objects(rng: np.random.Generator, _) -> Case:
    """Objects of other types, none of them a clip."""
    signal = bursts(rng, 400, 16000)[:, 0]
    makers = (
        *(lambda: None, lambda: 3, lambda: 0.5, lambda: np.float64(0.5), lambda: np.str_("a.wav"), lambda: object()),
        *(lambda: {1, 2}, lambda: range(5), lambda: (value for value in [0.1, 0.2]), lambda: memoryview(b"RIFF")),
        *(lambda: typed.array("f", signal.tolist()), lambda: np.ma.masked_array(signal, signal > 0)),
        *(lambda: np.zeros(5, dtype=[("a", "f4")]), lambda: len, lambda: int, lambda: 1j, lambda: True),
        *(lambda: Ellipsis, lambda: iter(["", ""]), lambda: bytearray(b"RIFF"), lambda: b"", lambda: Decimal("0.5")),
    )
    make = makers[rng.integers(len(makers))]
    return Case(f"object {str(make())[:40]}", make, 16000)


def dicts(rng: np.random.Generator, _) -> Case:
    """Dicts as `datasets` yields them, with wrong keys or values."""
    signal = bursts(rng, 2000, 16000)[:, 0]
    rates = (16000, 16000, 16000, None, "16000", -1, np.int64(16000), 16000.0)
    rate = rates[rng.integers(len(rates))]
    arrays = (
        *(None, "clip.wav", 0.5, object(), {"array": signal}, b"RIFF", signal.tolist(), [], [signal, signal]),
        [signal, signal[:-1]],
    )
    with_array = [{"array": array, "sampling_rate": rate} for array in arrays]
    with_raw = {"array": None, "raw": signal, "sampling_rate": rate}
    dicts = (
        *({}, {"array": signal}, {"array": signal, "sampling_rate": rate}, {"raw": signal, "sampling_rate": rate}),
        *(with_array[0], with_raw, *with_array[1:], {"array": signal, "rate": rate}),
        *({"audio": signal, "sampling_rate": rate}, {"path": None, "bytes": None}, {"path": 3}, {"path": ["a.wav"]}),
        *({"path": ""}, {"path": "nowhere.wav", "bytes": b""}, {"bytes": "RIFF"}, {"bytes": signal}),
        *({"bytes": b"RIFF", "path": None}, {"bytes": 5}, {0: signal, None: rate}),
    )
    value = dicts[rng.integers(len(dicts))]
    return Case(f"dict {str(value)[:60]}", lambda: value)


def sampling_rates(rng: np.random.Generator, _) -> Case:
    """Sampling rates of the wrong type or outside the accepted range."""
    signal = bursts(rng, 4000, 16000)[:, 0]
    rate = RATES[rng.integers(len(RATES))]
    if rng.integers(2):
        return Case(f"dict at {rate!r} Hz", lambda: {"array": signal, "sampling_rate": rate})
    return Case(f"array at {rate!r} Hz", lambda: signal, rate)
