"""Waveform to log-mel energies: the acoustic branches' filterbank, and the inputs of Whisper and wav2vec2-BERT."""

import torch
from torch import nn
from transformers import SeamlessM4TFeatureExtractor
from transformers import initialization as init
from transformers.audio_utils import mel_filter_bank


# below the energy of 16-bit quantisation noise, so that digital silence does not fall far outside recorded speech
ENERGY_FLOOR = 1e-7
LOWEST_HZ = 20.0
# spectra are many times larger than the audio: an hour at once would take gigabytes
BLOCK_FRAMES = 30_000


class MelTransform(nn.Module):
    """A Hann window and mel filters, computed rather than learned, and float32 whatever the model's dtype.

    Powers of a spectrum run from 1e-10 to 1e5, beyond half precision at both ends. So the buffers hold the bits of the
    float32 numbers as int32, which `model.half()` or `model.to(torch.bfloat16)` does not cast, and subclasses compute
    outside autocast.

    Args:
        window_size: samples in a window.
        fft_size: of the Fourier transform, at least the window's size.
        window_dtype: in which the window is computed before it is rounded to float32.
        num_mel_bins: mel bands.
        mel_options: further arguments of `mel_filter_bank`.
    """

    def __init__(self, window_size: int, fft_size: int, window_dtype: torch.dtype, num_mel_bins: int, **mel_options):
        super().__init__()
        self.window_size, self.fft_size, self.window_dtype = window_size, fft_size, window_dtype
        self.num_mel_bins, self.mel_options = num_mel_bins, mel_options
        for name, bits in self._bits().items():  # never on the meta device: a model built there is whole with weights
            self.register_buffer(name, bits, persistent=False)

    def _bits(self) -> dict[str, torch.Tensor]:
        window = torch.hann_window(self.window_size, dtype=self.window_dtype, device="cpu").float()
        filters = mel_filter_bank(self.fft_size // 2 + 1, self.num_mel_bins, **self.mel_options)
        filters = torch.from_numpy(filters).float()
        return {"window_bits": window.view(torch.int32), "filters_bits": filters.view(torch.int32)}

    def reset_parameters(self) -> None:
        """Fill the buffers, which `from_pretrained` leaves empty."""
        for name, bits in self._bits().items():
            init.copy_(getattr(self, name), bits)

    @property
    def window(self) -> torch.Tensor:
        """(window_size,), float32."""
        return self.window_bits.view(torch.float32)

    @property
    def filters(self) -> torch.Tensor:
        """(fft_size / 2 + 1, num_mel_bins), float32."""
        return self.filters_bits.view(torch.float32)


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
            if windows.shape[1] <= BLOCK_FRAMES:
                return self._energies(windows)
            return torch.cat([self._energies(block) for block in windows.split(BLOCK_FRAMES, dim=1)], dim=1)

    def _energies(self, windows: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(windows * self.window, n=self.fft_size).abs().square()
        return (power @ self.filters).clamp(min=ENERGY_FLOOR).log()


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

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Compute (batch, num_mel_bins, samples / 160) float32 from (batch, samples), zero-padded to 30 s."""
        with torch.autocast(windows.device.type, enabled=False):
            spectrum = torch.stft(windows.float(), self.fft_size, self.hop, window=self.window, return_complex=True)
            mel = (spectrum[..., :-1].abs().square().transpose(1, 2) @ self.filters).transpose(1, 2)
            log_mel = mel.clamp(min=1e-10).log10()
            loudest = log_mel.amax(dim=(1, 2), keepdim=True)
            return (torch.maximum(log_mel, loudest - 8.0) + 4.0) / 4.0


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
