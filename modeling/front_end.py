"""From the waveform to the frames of every branch."""

import torch
from torch import nn

from .acoustic_frames import AcousticFrames
from .encoder import SpeechEncoder


class AffectFrontEnd(nn.Module):
    """
    All that is computed before anything is learnt: filterbanks, pitch, and each pre-trained encoder once.

    Args:
        config: an [`AffectFusionConfig`] or [`AffectStudentConfig`].
    """

    def __init__(self, config):
        super().__init__()
        self.branches = list(config.branches)
        self.acoustic = nn.ModuleDict(
            {b.name: AcousticFrames(b, config.sampling_rate) for b in self.branches if b.is_acoustic}
        )
        self.encoders = nn.ModuleDict(
            {name: SpeechEncoder(encoder, config.sampling_rate) for name, encoder in config.encoders.items()}
        )

    def forward(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """
        Args:
            input_values: (batch, samples) at 16 kHz in [-1, 1].
            attention_mask: (batch, samples), 1 where valid; valid samples come first. All are without it.

        Returns:
            per branch name: raw frames (batch, frames, width), and masks (batch, frames).

        Raises:
            ValueError: wrong shapes, or a clip too short for one frame.
        """
        lengths = self._lengths(input_values, attention_mask)
        if attention_mask is not None:
            input_values = input_values * attention_mask.to(input_values.dtype)
        frames, masks = {}, {}
        for name, source in self.acoustic.items():
            needed = source.mel_filterbank.window_size
            if int(lengths.min()) < needed:
                raise ValueError(
                    f"a clip has {int(lengths.min())} samples; {needed} at 16 kHz are one frame of {name}"
                )
            frames[name], masks[name] = source(input_values, lengths)
        for name, encoder in self.encoders.items():
            readers = [b for b in self.branches if b.source == name]
            states = list(dict.fromkeys(b.hidden_state for b in readers))
            by_state, mask = encoder(input_values, lengths, states) if readers else ({}, None)
            for branch in readers:
                frames[branch.name], masks[branch.name] = by_state[branch.hidden_state], mask
        return frames, masks

    @staticmethod
    def _lengths(input_values, attention_mask):
        if input_values.ndim != 2:
            raise ValueError(f"input_values has shape {tuple(input_values.shape)}; it must be (batch, samples)")
        if attention_mask is None:
            return torch.full((len(input_values),), input_values.shape[1], device=input_values.device)
        if attention_mask.shape != input_values.shape:
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}; "
                f"it must be that of input_values, {tuple(input_values.shape)}"
            )
        return attention_mask.long().sum(dim=1)
