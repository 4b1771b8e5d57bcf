"""Waveform to log-mel energies: the acoustic branches' filterbank, and the inputs of Whisper and wav2vec2-BERT."""

import numpy as np
import torch
from torch import nn
from transformers import SeamlessM4TFeatureExtractor
from transformers import initialization as init
from transformers.audio_utils import mel_filter_bank


class Float32Module(nn.Module):
    """
    A module without parameters that computes its own constants and uses them in float32.

    Powers of a spectrum run from 1e-10 to 1e5: half precision has neither end of that. `model.half()` or
    `model.to(torch.bfloat16)` therefore moves such a module and leaves its type, and autocast is off within it.
    """

    def _apply(self, fn, recurse=True):
        def move(tensor):
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, recurse)

    def __call__(self, inputs: torch.Tensor, *args, **kwargs):
        with torch.autocast(inputs.device.type, enabled=False):
            return super().__call__(inputs, *args, **kwargs)


# below the energy of 16-bit quantisation noise, so that digital silence does not fall far outside recorded speech
ENERGY_FLOOR = 1e-7
LOWEST_HZ = 20.0
# spectra are many times larger than the audio: an hour at once would take gigabytes
BLOCK_FRAMES = 30_000


class LogMelFilterbank(Float32Module):
    """
    Natural log of mel-band energies of Hann-windowed frames, uncentred: frame i starts at sample `i * hop`.

    No centring and no statistics over the utterance, so a frame depends on its own window alone: batching, padding
    and streaming cannot change it.

    Args:
        num_mel_bins: mel bands (HTK scale) from 20 Hz to half the sampling rate.
        window_s, hop_s: in seconds.
        sampling_rate: in hertz.
    """

    def __init__(self, *, num_mel_bins: int, window_s: float, hop_s: float, sampling_rate: int):
        super().__init__()
        self.num_mel_bins = num_mel_bins
        self.sampling_rate = sampling_rate
        self.window_size = round(window_s * sampling_rate)
        self.hop = round(hop_s * sampling_rate)
        self.fft_size = 2 ** (self.window_size - 1).bit_length()
        # persistent: buffers that are absent from a checkpoint would be left uninitialised by from_pretrained
        self.register_buffer("window", torch.empty(self.window_size))
        self.register_buffer("filters", torch.empty(self.fft_size // 2 + 1, num_mel_bins))
        self.reset_parameters()

    def reset_parameters(self):
        filters = mel_filter_bank(
            num_frequency_bins=self.fft_size // 2 + 1,
            num_mel_filters=self.num_mel_bins,
            min_frequency=LOWEST_HZ,
            max_frequency=self.sampling_rate / 2,
            sampling_rate=self.sampling_rate,
            mel_scale="htk",
        )
        init.copy_(self.filters, torch.from_numpy(filters).float())
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window_size) / self.window_size)
        init.copy_(self.window, torch.from_numpy(window).float())

    def num_frames(self, num_samples):
        """Frames in so many samples (int or tensor); 0 or less when they do not fill one window."""
        return (num_samples - self.window_size) // self.hop + 1

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        """
        Args:
            input_values: (batch, samples), at least one window long.

        Returns:
            (batch, frames, num_mel_bins), float32.
        """
        windows = input_values.float().unfold(-1, self.window_size, self.hop)
        if windows.shape[1] <= BLOCK_FRAMES:
            return self._energies(windows)
        return torch.cat([self._energies(block) for block in windows.split(BLOCK_FRAMES, dim=1)], dim=1)

    def _energies(self, windows: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(windows * self.window, n=self.fft_size).abs().square()
        return (power @ self.filters).clamp(min=ENERGY_FLOOR).log()


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


_EXTRACTOR = SeamlessM4TFeatureExtractor()


def wav2vec2_bert_features(waveform: torch.Tensor) -> torch.Tensor:
    """
    Args:
        waveform: (samples,) at 16 kHz in [-1, 1], one clip: its statistics normalise it.

    Returns:
        (frames, 160), float32: 80 bands of two 10 ms frames side by side, each band of zero mean and unit variance.
    """
    features = _EXTRACTOR(waveform.cpu().numpy(), sampling_rate=16000, return_tensors="pt")
    valid = int(features["attention_mask"].sum())  # an odd last frame is padded to a pair, and masked
    return features["input_features"][0, :valid].to(waveform.device)
