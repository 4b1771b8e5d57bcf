"""wav2vec2-BERT's input: normalised, stacked Kaldi filterbanks, by transformers' own extractor."""

import torch
from transformers import SeamlessM4TFeatureExtractor


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
