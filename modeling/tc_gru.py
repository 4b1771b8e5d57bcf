"""TC-GRU: a time convolution and GRU layers over the frames of one branch."""

import torch
from torch import nn


class TimeConvGRU(nn.Module):
    """
    A causal time convolution, then a unidirectional GRU.

    Nothing looks ahead, so right padding cannot reach a valid frame, and a stream gives what the whole file gives.

    Args:
        input_size: width of a frame.
        conv_channels, kernel_size, stride: of the convolution, in channels and frames.
        hidden_size, num_layers: of the GRU.
        dropout: between GRU layers and after the convolution, in training.
    """

    def __init__(
        self,
        input_size: int,
        *,
        conv_channels: int,
        kernel_size: int,
        stride: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
    ):
        super().__init__()
        self.left_context = kernel_size - 1
        self.stride = stride
        self.conv = nn.Conv1d(input_size, conv_channels, kernel_size, stride=stride)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(
            conv_channels, hidden_size, num_layers, batch_first=True, dropout=dropout if num_layers > 1 else 0.0
        )

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            frames: (batch, frames, input_size).
            mask: (batch, frames), True where a frame is valid; valid frames come first.

        Returns:
            hidden sequence (batch, ceil(frames / stride), hidden_size) and its mask.
        """
        hidden = nn.functional.pad(frames.transpose(1, 2), (self.left_context, 0))
        hidden = self.dropout(nn.functional.relu(self.conv(hidden))).transpose(1, 2)
        hidden, _ = self.gru(hidden)
        # output j sees inputs up to j * stride: valid exactly when that one is
        return hidden, mask[:, :: self.stride]
