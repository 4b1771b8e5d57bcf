"""Frames of an acoustic branch: mel-filterbank energies, with or without fundamental frequency."""

import torch
from torch import nn

from .configuration_affect import AffectBranchConfig
from .mel_filterbank import LogMelFilterbank
from .pitch import PitchTracker, pitch_features


class AcousticFrames(nn.Module):
    """
    Waveform to the frames of an acoustic branch.

    Args:
        config: an acoustic branch, source `mfb` or `mfb_f0`.
        sampling_rate: in hertz.

    Attributes:
        lookback_frames, lookahead_frames: how far a frame reaches beyond its own window, in whole hops.
    """

    def __init__(self, config: AffectBranchConfig, sampling_rate: int):
        super().__init__()
        grid = {"window_s": config.window_s, "hop_s": config.hop_s, "sampling_rate": sampling_rate}
        self.mel_filterbank = LogMelFilterbank(num_mel_bins=config.num_mel_bins, **grid)
        self.pitch_tracker = PitchTracker(**grid) if config.source == "mfb_f0" else None
        self.lookback_frames = self.lookahead_frames = 0
        if self.pitch_tracker is not None:
            self.lookback_frames = self.pitch_tracker.lookback_frames + 1  # the pitch delta is from the frame before
            self.lookahead_frames = self.pitch_tracker.lookahead_frames

    def forward(self, input_values: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            input_values: (batch, samples), zero where padded.
            lengths: (batch,) valid samples.

        Returns:
            frames (batch, frames, width) and their mask: a frame is valid when its window lies within the clip.
        """
        frames = self.features(input_values)
        counts = self.mel_filterbank.num_frames(lengths)
        mask = torch.arange(frames.shape[1], device=frames.device) < counts.unsqueeze(1)
        return frames, mask

    def features(self, input_values: torch.Tensor) -> torch.Tensor:
        """
        Args:
            input_values: (batch, samples), at least one window long.

        Returns:
            (batch, frames, width), float32, of every window.
        """
        frames = self.mel_filterbank(input_values)
        if self.pitch_tracker is None:
            return frames
        return torch.cat([frames, pitch_features(*self.pitch_tracker(input_values))], dim=-1)
