"""Whisper's input: log-mel spectrograms of 30 s windows, as transformers' WhisperFeatureExtractor makes them."""

import torch
from transformers import initialization as init
from transformers.audio_utils import mel_filter_bank

from .float32_module import Float32Module


class WhisperLogMel(Float32Module):
    """
    Log-mel spectrogram of one padded window, in torch, so that it runs on the model's device and exports with it.

    Args:
        num_mel_bins: 80, or 128 for the large-v3 models.
        sampling_rate: 16000.
    """

    fft_size = 400
    hop = 160

    def __init__(self, num_mel_bins: int, sampling_rate: int):
        super().__init__()
        self.num_mel_bins = num_mel_bins
        self.sampling_rate = sampling_rate
        self.register_buffer("window", torch.empty(self.fft_size))
        self.register_buffer("filters", torch.empty(self.fft_size // 2 + 1, num_mel_bins))
        self.reset_parameters()

    def reset_parameters(self):
        filters = mel_filter_bank(
            num_frequency_bins=self.fft_size // 2 + 1,
            num_mel_filters=self.num_mel_bins,
            min_frequency=0.0,
            max_frequency=self.sampling_rate / 2,
            sampling_rate=self.sampling_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        init.copy_(self.filters, torch.from_numpy(filters).float())
        init.copy_(self.window, torch.hann_window(self.fft_size, device="cpu"))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """
        Args:
            windows: (batch, samples), zero-padded to Whisper's 30 s.

        Returns:
            (batch, num_mel_bins, samples / 160), float32.
        """
        spectrum = torch.stft(windows.float(), self.fft_size, self.hop, window=self.window, return_complex=True)
        mel = (spectrum[..., :-1].abs().square().transpose(1, 2) @ self.filters).transpose(1, 2)
        log_mel = mel.clamp(min=1e-10).log10()
        loudest = log_mel.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(log_mel, loudest - 8.0) + 4.0) / 4.0
