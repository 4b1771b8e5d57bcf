"""Masking stretches of time and of features in training (SpecAugment)."""

import torch
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices


def mask_frames(frames: torch.Tensor, mask: torch.Tensor, config) -> torch.Tensor:
    """
    Set random stretches of frames, and random bands of features, to zero: the mean of standardised frames.

    As in transformers' wav2vec 2.0, after Park et al., "SpecAugment", Interspeech 2019 (arXiv 1904.08779).

    Args:
        frames: (batch, frames, width), standardised.
        mask: (batch, frames), True where valid; padding is not masked.
        config: has `mask_time_prob`, `mask_time_length`, `mask_feature_prob` and `mask_feature_length`. A probability
            is the share of frames or features that is masked, stretches lying upon each other apart.

    Returns:
        (batch, frames, width).
    """
    batch, length, width = frames.shape
    kept = torch.ones_like(frames)
    if config.mask_time_prob > 0 and length > config.mask_time_length:
        times = _compute_mask_indices(
            (batch, length), config.mask_time_prob, config.mask_time_length, attention_mask=mask.long()
        )
        kept[torch.from_numpy(times).to(frames.device)] = 0
    if config.mask_feature_prob > 0 and width > config.mask_feature_length:
        bands = _compute_mask_indices((batch, width), config.mask_feature_prob, config.mask_feature_length)
        kept *= ~torch.from_numpy(bands).to(frames.device).unsqueeze(1)
    return frames * kept
