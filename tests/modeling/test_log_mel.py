"""Log mel-filterbank energies against torchaudio's, and their frame grid."""

import pytest
import torch
import torchaudio

from speech_affect import log_mel
from speech_affect.log_mel import ENERGY_FLOOR, LogMelFilterbank


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
