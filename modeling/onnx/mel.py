"""Log mel energies as an ONNX graph, from the waveform, without complex numbers."""

from dataclasses import dataclass

import numpy as np

from ..log_mel import ENERGY_FLOOR, LogMelFilterbank
from .graph import OnnxGraph


@dataclass(frozen=True)
class Spectrum:
    """Parameters that turn a waveform into energies in bands.

    Args:
        window: (window size,), symmetric about its middle but for the first sample, which is 0 (a periodic Hann).
        hop: samples between two windows.
        fft_size: of the Fourier transform, a multiple of 4 and at least the window's size.
        filters: (fft_size / 2 + 1, bands), weights of the bins' power.
    """

    window: np.ndarray
    hop: int
    fft_size: int
    filters: np.ndarray

    def __post_init__(self):
        # rounding errors at the last band's edge would cost a bin
        tiny = self.filters < 1e-9 * self.filters.max()
        object.__setattr__(self, "filters", np.where(tiny, np.float32(0), self.filters))


def log_mel(graph: OnnxGraph, waveform: str, filterbank: LogMelFilterbank) -> tuple[str, str]:
    """Return the features of a [`LogMelFilterbank`], (batch, mel bins, frames), and their number, (1,) int64."""
    window, filters = filterbank.window.float().numpy(), filterbank.filters.float().numpy()
    energies, frames = band_energies(graph, waveform, Spectrum(window, filterbank.hop, filterbank.fft_size, filters))
    return graph.op("Log", graph.op("Max", energies, np.float32(ENERGY_FLOOR))), frames


def subtract_running_mean(graph: OnnxGraph, frames: str, state: tuple[str, str] | None = None) -> tuple[str, str]:
    """Subtract from (batch, bands, frames) the mean of each band up to each frame, in double precision as the model.

    Args:
        frames: float32.
        state: of a stream, the number of frames before these (batch, 1) and their sum (batch, bands), both float64.

    Returns:
        The frames, float32, and the sum (batch, bands) float64 up to the last of them.
    """
    wide = graph.cast(frames, "float64")
    totals = graph.op("CumSum", wide, np.int64(2))
    ones = graph.op("Expand", np.float64(1), graph.size(frames, 2))
    counts = graph.op("CumSum", ones, np.int64(0))
    if state:
        before, total = (graph.op("Unsqueeze", each, [2]) for each in state)
        counts, totals = graph.op("Add", counts, before), graph.op("Add", totals, total)
    difference = graph.op("Sub", wide, graph.op("Div", totals, counts))
    last = graph.op("Squeeze", graph.op("Slice", totals, [-1], [np.iinfo(np.int64).max], [2]), [2])
    return graph.cast(difference, "float32"), last


def band_energies(graph: OnnxGraph, waveform: str, spectrum: Spectrum) -> tuple[str, str]:
    """Return the energies of the bands in every window, (batch, bands, frames), and the number of frames, (1,) int64.

    They are matrix products with a quarter of the work of a Fourier matrix.
    Real and imaginary part of a spectrum about the window's middle are sums over cosines and sines, so the two halves
    of a window can be added and subtracted first: e[m] = x[c + m] + x[c - m], o[m] = x[c + m] - x[c - m]. And as
    cos(2 pi m (N/2 - k) / N) is cos(2 pi m k / N) for even m and its negative for odd m (a sine the other way round),
    the sums over even and over odd m give two bins at once: k by their sum and N/2 - k by their difference.
    The waveform, (batch, samples) float32, is at least one window long.
    """
    table, frames = _table(graph, waveform, len(spectrum.window), spectrum.hop)
    steps = (0, 1) if len(spectrum.window) % 2 == 0 else (None,)
    bins = _bins(spectrum, len(steps))
    real, imaginary = zip(*(_half_spectrum(graph, table, frames, spectrum, bins, step) for step in steps), strict=True)
    if len(steps) == 1:
        energies = _project(graph, real[0], imaginary[0], spectrum.filters[bins])
    else:
        mirrored = spectrum.fft_size // 2 - np.array(bins)
        upper = spectrum.filters[mirrored] * (mirrored != bins)[:, None]
        low = _project(graph, graph.op("Add", *real), graph.op("Add", *imaginary), spectrum.filters[bins])
        high = _project(graph, graph.op("Sub", *real), graph.op("Sub", *imaginary), upper)
        energies = graph.op("Add", low, high)
    shape = graph.join(graph.size(waveform, 0), frames, spectrum.filters.shape[1])
    return graph.op("Transpose", graph.op("Reshape", energies, shape), perm=[0, 2, 1]), frames


def _table(graph, waveform, window_size: int, hop: int) -> tuple[str, str]:
    """Return samples `column * hop + row` as (hop, batch, columns), and the number of windows, (1,)."""
    samples = graph.size(waveform, 1)
    frames = graph.op("Div", graph.op("Sub", samples, [window_size - hop]), [hop])
    columns = graph.op("Add", frames, [-(-window_size // hop) - 1])
    # negative where samples are left over: they are cut off
    missing = graph.op("Sub", graph.op("Mul", columns, [hop]), samples)
    whole = graph.op("Pad", waveform, graph.join(0, 0, 0, missing))
    return graph.op("Transpose", graph.op("Reshape", whole, [0, -1, hop]), perm=[2, 0, 1]), frames


def _window_samples(graph, table, frames, hop: int, first: int, count: int, step: int) -> str:
    """Return the windows' samples `first`, `first + step`, ... as rows of the table, (count, batch, frames)."""
    parts = []
    while count:
        column, row = divmod(first, hop)
        taken = min(count, ((hop - 1 - row) if step > 0 else row) // abs(step) + 1)
        last = row + (taken - 1) * step
        # one past the last; before the first row there is no index but a very negative one
        end = last + 1 if step > 0 else last - 1 if last else -hop - 1
        stop = graph.join(end, graph.op("Add", frames, [column]))
        parts.append(graph.op("Slice", table, [row, column], stop, [0, 2], [step, 1]))
        first, count = first + taken * step, count - taken
    return parts[0] if len(parts) == 1 else graph.op("Concat", *parts, axis=0)


def _half_spectrum(graph, table, frames, spectrum: Spectrum, bins: range, parity: int | None) -> tuple[str, str]:
    """Return real and imaginary part, (batch * frames, bins) each, of samples an even or odd number from the middle.

    With `parity` None, of all samples; then the middle may lie between two samples.
    """
    size = len(spectrum.window)
    step, nearest = (1, size % 2) if parity is None else (2, 2 * parity)  # twice the distance, to keep it whole
    right, left = (size + nearest) // 2, (size - nearest) // 2
    count = (size - right - 1) // step + 1
    twice = range(nearest, nearest + 2 * step * count, 2 * step)
    weights = spectrum.window[right::step].copy()
    if right == left:
        weights[0] /= 2  # the middle, which is counted from both sides
    halves = [
        _window_samples(graph, table, frames, spectrum.hop, start, count, direction)
        for start, direction in ((right, step), (left, -step))
    ]
    flat = [count, -1]
    parts = []
    for operator, shift in (("Add", spectrum.fft_size // 2), ("Sub", 0)):
        folded = graph.op("Reshape", graph.op(operator, *halves), flat)
        matrix = _sine_matrix(graph, twice, bins, spectrum.fft_size, shift, weights)
        parts.append(graph.op("Gemm", folded, matrix, transA=1))
    return tuple(parts)


def _sine_matrix(graph, twice: range, bins: range, fft_size: int, shift: int, weights: np.ndarray) -> str:
    """Return weights * sin(2 pi (twice * bins + shift) / (2 * fft_size)), (samples, bins).

    With `shift` fft_size / 2 it is a cosine. A session computes the matrix when it loads the file, which would be
    three times as large with it. Angles are reduced as integers and sines taken in double precision: errors here
    would leak strong bands into weak ones.
    """
    column = graph.op("Unsqueeze", graph.range(twice), [1])
    turns = graph.op("Mul", column, graph.range(bins))
    turns = graph.op("Mod", graph.op("Add", turns, [shift]), [2 * fft_size])
    angles = graph.op("Mul", graph.cast(turns, "float64"), np.float64(np.pi / fft_size))
    column = graph.cast(weights[:, None], "float64")
    return graph.cast(graph.op("Mul", graph.op("Sin", angles), column), "float32")


def _bins(spectrum: Spectrum, parts: int) -> range:
    """Return the bins that some band uses, up to a quarter of the transform where each also gives its mirror."""
    used = spectrum.filters.max(axis=1) > 0
    if parts > 1:
        used = (used | used[::-1])[: spectrum.fft_size // 4 + 1]
    places = np.flatnonzero(used)
    return range(places[0], places[-1] + 1)


def _project(graph, real: str, imaginary: str, filters: np.ndarray) -> str:
    power = graph.op("Add", graph.op("Mul", real, real), graph.op("Mul", imaginary, imaginary))
    return graph.op("MatMul", power, _sparse(graph, filters))


def _sparse(graph, matrix: np.ndarray) -> str:
    """Return a constant matrix that is stored as its nonzero numbers and their places."""
    places = np.flatnonzero(matrix)
    index_type = np.uint16 if matrix.size <= 1 << 16 else np.uint32
    empty = graph.op("Expand", np.float32(0), [matrix.size])
    values = matrix.reshape(-1)[places].astype(np.float32)
    filled = graph.op("ScatterElements", empty, graph.cast(places.astype(index_type), "int64"), values)
    return graph.op("Reshape", filled, [*matrix.shape])
