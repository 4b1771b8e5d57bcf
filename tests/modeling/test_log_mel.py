"""Log mel-filterbank energies against torchaudio's, their frame grid, and the running mean."""

import numpy as np
import pytest
import torch
import torchaudio

from speech_affect import log_mel
from speech_affect.log_mel import ENERGY_FLOOR, LogMelFilterbank, subtract_running_mean


@pytest.fixture
def filterbank():
    return LogMelFilterbank(num_mel_bins=40, window_s=0.025, hop_s=0.010, sampling_rate=16000)


def test_equals_torchaudio(filterbank):
    torch.manual_seed(0)
    waveform = 0.1 * torch.randn(2, 8000)
    reference = torchaudio.transforms.MelSpectrogram(
        16000, n_fft=512, win_length=400, hop_length=160, f_min=20, n_mels=40, center=False, mel_scale="htk"
    )
    # torchaudio centres a window shorter than the transform in it, so its frames start (512 - 400) / 2 samples later
    shifted = torch.nn.functional.pad(waveform, (56, 56))
    expected = reference(shifted).transpose(1, 2).clamp(min=ENERGY_FLOOR).log()
    torch.testing.assert_close(filterbank(waveform), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("samples, frames", [(400, 1), (559, 1), (560, 2), (16000, 98)])
def test_frame_count(filterbank, samples, frames):
    assert filterbank(torch.zeros(1, samples)).shape == (1, frames, 40)
    assert filterbank.num_frames(samples) == frames


def test_digital_silence_is_the_floor(filterbank):
    energies = filterbank(torch.zeros(1, 400))
    torch.testing.assert_close(energies, torch.full((1, 1, 40), ENERGY_FLOOR).log())


def test_long_audio_in_blocks_is_the_same(filterbank, monkeypatch):
    torch.manual_seed(0)
    waveform = 0.1 * torch.randn(2, 16000)
    whole = filterbank(waveform)
    monkeypatch.setattr(log_mel, "BLOCK_FRAMES", 30)
    torch.testing.assert_close(filterbank(waveform), whole, atol=1e-5, rtol=0)


def test_a_running_mean_by_hand():
    frames = torch.tensor([[[1.0, 2.0], [3.0, 2.0], [8.0, 8.0]]])
    expected = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [4.0, 4.0]]])  # the means are 1, 2, 4 and 2, 2, 4
    less, total = subtract_running_mean(frames)
    assert torch.equal(less, expected) and total.tolist() == [[12.0, 12.0]]
    less, total = subtract_running_mean(torch.tensor([[[0.0, 4.0]]]), count=3, total=total)
    assert less.tolist() == [[[-3.0, 0.0]]] and total.tolist() == [[12.0, 16.0]]


def an_hour_of_energies() -> np.ndarray:
    """(1, 360000, 3): speech-like, digital silence and two rooms, float32."""
    generator = np.random.default_rng(0)
    bands = generator.normal(-5, 3, (1, 360_000, 3))
    bands[..., 1] = np.log(ENERGY_FLOOR)
    bands[:, 180_000:, 2] -= 4
    return bands.astype(np.float32)


def test_a_running_mean_stays_exact_over_an_hour():
    energies = an_hour_of_energies()
    means = np.cumsum(energies.astype(np.longdouble), axis=1) / np.arange(1, 360_001)[:, None]
    expected = (energies - means).astype(np.float32)
    whole, _ = subtract_running_mean(torch.from_numpy(energies))
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    parts, count, total = [], 0, None
    for block in torch.from_numpy(energies).split([1, 7, *[1000] * 359, 992], dim=1):
        less, total = subtract_running_mean(block, count, total)
        parts.append(less)
        count += block.shape[1]
    np.testing.assert_allclose(torch.cat(parts, dim=1), expected, atol=1e-6)
    # in single precision the sum of silence alone strays by far more
    single = np.add.accumulate(energies[0, :, 1], dtype=np.float32)[-1] / 360_000
    assert abs(single - means[0, -1, 1]) > 1e-3
