"""wav2vec2-BERT's input: normalised, stacked Kaldi filterbanks, as transformers' SeamlessM4TFeatureExtractor makes."""

import torch
from torchaudio.compliance import kaldi


NUM_MEL_BINS = 80
STACKED = 2


def wav2vec2_bert_features(waveform: torch.Tensor) -> torch.Tensor:
    """
    Args:
        waveform: (samples,) at 16 kHz in [-1, 1], one clip: its statistics normalise it.

    Returns:
        (frames, 160), float32: 80 bands of two 10 ms frames side by side, each band of zero mean and unit variance.
    """
    # Kaldi's scale is that of 16-bit integers
    fbank = kaldi.fbank(
        waveform.float().unsqueeze(0) * 2**15, num_mel_bins=NUM_MEL_BINS, sample_frequency=16000, dither=0.0
    )
    fbank = (fbank - fbank.mean(dim=0)) / (fbank.var(dim=0) + 1e-7).sqrt()
    usable = fbank.shape[0] // STACKED * STACKED
    return fbank[:usable].reshape(-1, NUM_MEL_BINS * STACKED)
