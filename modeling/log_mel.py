"""Waveform to log-mel energies: the acoustic branches' filterbank, and the inputs of Whisper and wav2vec2-BERT."""

import torch
from torch import nn
from transformers import SeamlessM4TFeatureExtractor
from transformers.audio_utils import mel_filter_bank


# below the energy of 16-bit quantisation noise, so that digital silence does not fall far outside recorded speech
ENERGY_FLOOR = 1e-7
LOWEST_HZ = 20.0
# spectra are many times larger than the audio: an hour at once would take gigabytes
BLOCK_FRAMES = 30_000


class MelTransform(nn.Module):
    """A Hann window and mel filters, computed rather than learned, and float32 whatever the model's dtype.

    Powers of a spectrum run from 1e-10 to 1e5, beyond half precision at both ends. So both are plain tensors on the
    CPU, which nothing casts or loads, and subclasses compute outside autocast.

    Args:
        window_size: samples in a window.
        fft_size: of the Fourier transform, at least the window's size.
        window_dtype: in which the window is computed before it is rounded to float32.
        num_mel_bins: mel bands.
        mel_options: further arguments of `mel_filter_bank`.

    Attributes:
        window: (window_size,), float32.
        filters: (fft_size / 2 + 1, num_mel_bins), float32.
    """

    def __init__(self, window_size: int, fft_size: int, window_dtype: torch.dtype, num_mel_bins: int, **mel_options):
        super().__init__()
        self.window_size, self.fft_size, self.num_mel_bins = window_size, fft_size, num_mel_bins
        # never on the meta device: a model built there is whole with its weights
        self.window = torch.hann_window(window_size, dtype=window_dtype, device="cpu").float()
        filters = mel_filter_bank(fft_size // 2 + 1, num_mel_bins, **mel_options)
        self.filters = torch.from_numpy(filters).float()


class LogMelFilterbank(MelTransform):
    """Natural log of mel-band energies of Hann-windowed frames, uncentred: frame i starts at sample `i * hop`.

    No centring and no statistics over the utterance, so a frame depends on its own window alone: batching, padding
    and streaming cannot change it.

    Args:
        num_mel_bins: mel bands (HTK scale) from 20 Hz to half the sampling rate.
        window_s, hop_s: in seconds.
        sampling_rate: in hertz.
    """

    def __init__(self, num_mel_bins: int, window_s: float, hop_s: float, sampling_rate: int):
        window_size = round(window_s * sampling_rate)
        super().__init__(
            window_size,
            2 ** (window_size - 1).bit_length(),
            torch.float64,
            num_mel_bins,
            min_frequency=LOWEST_HZ,
            max_frequency=sampling_rate / 2,
            sampling_rate=sampling_rate,
            mel_scale="htk",
        )
        self.hop = round(hop_s * sampling_rate)

    def num_frames(self, num_samples):
        """Frames in so many samples (int or tensor); 0 or less when they do not fill one window."""
        return (num_samples - self.window_size) // self.hop + 1

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        """Compute (batch, frames, num_mel_bins) float32 from (batch, samples), at least one window long."""
        with torch.autocast(input_values.device.type, enabled=False):
            windows = input_values.float().unfold(-1, self.window_size, self.hop)
            if torch.compiler.is_exporting() or windows.shape[1] <= BLOCK_FRAMES:  # a graph has one block
                return self._energies(windows)
            return torch.cat([self._energies(block) for block in windows.split(BLOCK_FRAMES, dim=1)], dim=1)

    def _energies(self, windows: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(windows * self.window.to(windows.device), n=self.fft_size).abs().square()
        return (power @ self.filters.to(windows.device)).clamp(min=ENERGY_FLOOR).log()


def subtract_running_mean(
    frames: torch.Tensor, count: int = 0, total: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Subtract from each frame the mean of all frames up to it, the frame itself included.

    In double precision: over hours, sums in single precision would stray.

    Args:
        frames: (..., frames, width).
        count: number of the frames before these.
        total: (..., width), their sum, float64; None where there is none.

    Returns:
        (..., frames, width) in the dtype of the frames, and the sum (..., width), float64, up to the last of them.
    """
    # MPS has no double precision
    wide = frames.to("cpu" if frames.device.type == "mps" else frames.device, torch.float64)
    totals = wide.cumsum(dim=-2)
    if total is not None:
        totals = totals + total.unsqueeze(-2)
    counts = torch.arange(1, frames.shape[-2] + 1, dtype=totals.dtype, device=totals.device) + count
    return (wide - totals / counts.unsqueeze(-1)).to(frames.device, frames.dtype), totals[..., -1, :].clone()


class WhisperLogMel(MelTransform):
    """Whisper's log-mel spectrogram of one padded window, in torch, so that it runs on the model's device.

    Args:
        num_mel_bins: 80, or 128 for the large-v3 models.
        sampling_rate: 16000.
    """

    fft_size = 400
    hop = 160

    def __init__(self, num_mel_bins: int, sampling_rate: int):
        super().__init__(
            self.fft_size,
            self.fft_size,
            torch.float32,
            num_mel_bins,
            min_frequency=0.0,
            max_frequency=sampling_rate / 2,
            sampling_rate=sampling_rate,
            norm="slaney",
            mel_scale="slaney",
        )

    def forward(self, windows: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Compute (batch, num_mel_bins, samples / 160) float32 from (batch, samples), zero-padded to 30 s.

        Args:
            lengths: (batch,) valid samples; each row then is what it is without padding, and zero beyond.
        """
        with torch.autocast(windows.device.type, enabled=False):
            windows, padding = windows.float(), None
            if lengths is not None:
                frames = torch.arange(windows.shape[1] // self.hop, device=windows.device)
                padding = frames >= (lengths // self.hop).view(-1, 1, 1)
                windows = windows.gather(1, self._mirrored(windows.shape[1], lengths))
            window, filters = self.window.to(windows.device), self.filters.to(windows.device)
            spectrum = torch.stft(
                windows, self.fft_size, self.hop, window=window, center=lengths is None, return_complex=True
            )
            mel = (spectrum[..., :-1].abs().square().transpose(1, 2) @ filters).transpose(1, 2)
            log_mel = mel.clamp(min=1e-10).log10()
            if padding is not None:
                log_mel = log_mel.masked_fill(padding, -10.0)
            loudest = log_mel.amax(dim=(1, 2), keepdim=True)
            log_mel = (torch.maximum(log_mel, loudest - 8.0) + 4.0) / 4.0
            return log_mel if padding is None else log_mel.masked_fill(padding, 0.0)

    def _mirrored(self, samples: int, lengths: torch.Tensor) -> torch.Tensor:
        """Indices (batch, samples + fft_size) that continue each row beyond its ends as `torch.stft` does."""
        half, last = self.fft_size // 2, lengths.unsqueeze(1) - 1
        positions = torch.arange(-half, samples + half, device=lengths.device).abs()
        return (last - (last - positions).abs()).clamp(min=0)


_EXTRACTOR = SeamlessM4TFeatureExtractor()


def wav2vec2_bert_features(waveform: torch.Tensor) -> torch.Tensor:
    """Compute the input of wav2vec2-BERT: 80 bands of two 10 ms frames side by side, each of zero mean, unit variance.

    Args:
        waveform: (samples,) at 16 kHz in [-1, 1], one clip: its statistics normalise it.

    Returns:
        (frames, 160), float32.
    """
    features = _EXTRACTOR(waveform.cpu().numpy(), sampling_rate=16000, return_tensors="pt")
    valid = int(features["attention_mask"].sum())  # an odd last frame is padded to a pair, and masked
    return features["input_features"][0, :valid].to(waveform.device)
