"""Log mel energies of the exported graph against a Fourier transform in double precision."""

import numpy as np
import onnxruntime
import pytest

from speech_affect.log_mel import ENERGY_FLOOR, LogMelFilterbank
from speech_affect.onnx.graph import OnnxGraph
from speech_affect.onnx.mel import Spectrum, band_energies, log_mel, subtract_running_mean

from ..test_log_mel import an_hour_of_energies


def session_of(graph: OnnxGraph):
    return onnxruntime.InferenceSession(graph.model("test", {}).SerializeToString())


def exported(filterbank: LogMelFilterbank):
    """(batch, samples) -> (batch, frames, bins), by the graph."""
    graph = OnnxGraph()
    waveform = graph.input("waveform", "float32", ["batch", "samples"])
    energies, frames = log_mel(graph, waveform, filterbank)
    graph.output("energies", energies, ["batch", filterbank.num_mel_bins, "frames"])
    graph.output("frames", frames, [1], "int64")
    session = session_of(graph)

    def run(waveforms):
        energies, frames = session.run(None, {"waveform": waveforms})
        assert frames == [energies.shape[2]]
        return energies.transpose(0, 2, 1)

    return run


def double_precision(filterbank: LogMelFilterbank, waveforms: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(waveforms.astype(np.float64), filterbank.window_size, axis=1)
    windows = windows[:, :: filterbank.hop] * filterbank.window.double().numpy()
    power = np.abs(np.fft.rfft(windows, filterbank.fft_size)) ** 2
    return np.log(np.maximum(power @ filterbank.filters.double().numpy(), ENERGY_FLOOR))


def noise(batch: int, samples: int) -> np.ndarray:
    return (np.random.default_rng(samples).standard_normal((batch, samples)) / 10).astype(np.float32)


# even and odd windows and hops, in samples; hops that divide the window, and not; no overlap
@pytest.mark.parametrize("window", [160, 400, 401, 512])
@pytest.mark.parametrize("hop", [80, 81, 160])
@pytest.mark.parametrize("bins", [12, 40])
@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_energies_are_those_of_a_fourier_transform(window, hop, bins):
    filterbank = LogMelFilterbank(num_mel_bins=bins, window_s=window / 16000, hop_s=hop / 16000, sampling_rate=16000)
    run = exported(filterbank)
    for samples in (window, window + 1, window + hop - 1, window + hop, 5000, 16000):
        waveforms = noise(2, samples)
        expected = double_precision(filterbank, waveforms)
        assert run(waveforms).shape == (2, (samples - window) // hop + 1, bins)
        # amplitudes are rounded as that of the loudest band is: what is weaker is less exact by their ratio
        tolerance = 2e-6 + 5e-7 * np.exp((expected.max(axis=2, keepdims=True) - expected) / 2)
        assert np.all(np.abs(run(waveforms) - expected) <= tolerance)
        assert np.abs(run(waveforms) - expected).mean() < 1e-6


def test_silence_is_the_floor():
    filterbank = LogMelFilterbank(num_mel_bins=40, window_s=0.025, hop_s=0.01, sampling_rate=16000)
    assert np.all(exported(filterbank)(np.zeros((1, 1600), dtype=np.float32)) == np.float32(np.log(ENERGY_FLOOR)))


def test_bands_may_use_the_lowest_and_the_highest_bin():
    # by hand: a window of 8, transform of 8, one band that is the sum of all bins 0 to 4
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8) / 8)
    graph = OnnxGraph()
    waveform = graph.input("waveform", "float32", ["batch", "samples"])
    energies, _ = band_energies(
        graph, waveform, Spectrum(window.astype(np.float32), 4, 8, np.ones((5, 1), np.float32))
    )
    graph.output("energies", energies, ["batch", 1, "frames"])
    waveforms = noise(1, 16)
    windows = np.lib.stride_tricks.sliding_window_view(waveforms[0], 8)[::4] * window
    expected = (np.abs(np.fft.rfft(windows)) ** 2).sum(axis=1)
    np.testing.assert_allclose(session_of(graph).run(None, {"waveform": waveforms})[0][0, 0], expected, rtol=1e-5)


def test_a_running_mean_stays_exact_over_an_hour():
    graph = OnnxGraph()
    frames = graph.input("frames", "float32", ["batch", 3, "frames"])
    state = (graph.input("count", "float64", ["batch", 1]), graph.input("total", "float64", ["batch", 3]))
    less, total = subtract_running_mean(graph, frames, state)
    graph.output("less", less, ["batch", 3, "frames"])
    graph.output("next_total", total, ["batch", 3], "float64")
    session, energies = session_of(graph), an_hour_of_energies().transpose(0, 2, 1)
    expected = energies - np.cumsum(energies.astype(np.longdouble), axis=2) / np.arange(1, 360_001)
    for size in (360_000, 100_000):
        count, total, parts = np.zeros((1, 1)), np.zeros((1, 3)), []
        for block in np.split(energies, range(size, 360_000, size), axis=2):
            less, total = session.run(None, {"frames": block, "count": count, "total": total})
            parts.append(less)
            count = count + block.shape[2]
        np.testing.assert_allclose(np.concatenate(parts, axis=2), expected.astype(np.float32), atol=1e-6)
