"""From the frames of every branch to an embedding and outputs: normalisation, TC-GRU, fusion, heads."""

import torch
from torch import nn
from transformers import initialization as init

from .pooling import align_frames, masked_mean
from .tc_gru import TimeConvGRU


class BranchInput(nn.Module):
    """
    Raw frames of a branch, standardised by the training set's statistics; hidden states summed by learned weights.

    Args:
        width: numbers in a raw frame.
        num_states: hidden states side by side in it; 1 unless the branch is a weighted sum.
    """

    def __init__(self, width: int, num_states: int):
        super().__init__()
        self.num_states = num_states
        self.output_size = width // num_states
        # a reader of the frames may want none of these; identity until the training set has been seen
        self.register_buffer("frame_mean", torch.zeros(width))
        self.register_buffer("frame_std", torch.ones(width))
        self.state_weights = nn.Parameter(torch.zeros(num_states)) if num_states > 1 else None

    def reset_parameters(self):
        init.zeros_(self.frame_mean)
        init.ones_(self.frame_std)
        if self.state_weights is not None:
            init.zeros_(self.state_weights)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(batch, frames, width) -> (batch, frames, width / num_states)"""
        frames = (frames.to(self.frame_mean.dtype) - self.frame_mean) / self.frame_std
        if self.state_weights is None:
            return frames
        states = frames.unflatten(-1, (self.num_states, self.output_size))
        return (states * self.state_weights.softmax(dim=0).unsqueeze(-1)).sum(dim=-2)


class AffectRegressor(nn.Module):
    """
    Everything that is trained: from raw frames per branch to the embedding and the outputs.

    Fusion at the embedding level gives each branch a TC-GRU of its own and joins the pooled vectors before the
    embedding layer; at the frame level, frames are brought onto the slowest branch's grid and share one TC-GRU, with
    the convolution of that branch.

    Args:
        config: an [`AffectFusionConfig`] or [`AffectStudentConfig`].
    """

    def __init__(self, config):
        super().__init__()
        branches = list(config.branches)
        self.names = [branch.name for branch in branches]
        self.fusion_level = config.fusion_level
        self.hops = [config.branch_hop(branch) for branch in branches]
        self.inputs = nn.ModuleDict(
            {b.name: BranchInput(config.branch_width(b), _num_states(b, config)) for b in branches}
        )
        sizes = [module.output_size for module in self.inputs.values()]
        convolutions = [(branch.conv_kernel_size, branch.conv_stride) for branch in branches]
        if self.fusion_level == "frame":
            sizes, convolutions = [sum(sizes)], [convolutions[self.hops.index(max(self.hops))]]
        head = {
            "conv_channels": config.conv_channels,
            "hidden_size": config.gru_hidden_size,
            "num_layers": config.num_gru_layers,
            "dropout": config.dropout,
        }
        self.tc_grus = nn.ModuleList(
            TimeConvGRU(size, kernel_size=kernel_size, stride=stride, **head)
            for size, (kernel_size, stride) in zip(sizes, convolutions, strict=True)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.embedding = nn.Linear(config.gru_hidden_size * len(sizes), config.embedding_size)
        self.output = nn.Linear(config.embedding_size, len(config.id2label))
        self.emotion_output = (
            nn.Linear(config.embedding_size, len(config.emotion_names)) if config.emotion_names else None
        )
        # samples between two frames of each TC-GRU's output
        hops = [max(self.hops)] if self.fusion_level == "frame" else self.hops
        self.hidden_hops = [hop * stride for hop, (_, stride) in zip(hops, convolutions, strict=True)]

    def forward(self, frames: dict[str, torch.Tensor], masks: dict[str, torch.Tensor]) -> tuple:
        """
        Args:
            frames: per branch name (batch, frames, width), raw.
            masks: per branch name (batch, frames), True where valid; valid frames come first.

        Returns:
            hidden sequences (one per TC-GRU) with their masks, and the embedding (batch, embedding_size).

        Raises:
            ValueError: a branch is missing, or its frames have the wrong shape.
        """
        self._check(frames, masks)
        sequences = [self.inputs[name](frames[name]) for name in self.names]
        masks = [masks[name].bool() for name in self.names]
        if self.fusion_level == "frame":
            aligned, mask = align_frames(sequences, masks, self.hops)
            sequences, masks = [torch.cat(aligned, dim=-1)], [mask]
        hidden = [tc_gru(s, m) for tc_gru, s, m in zip(self.tc_grus, sequences, masks, strict=True)]
        pooled = torch.cat([masked_mean(sequence, mask) for sequence, mask in hidden], dim=-1)
        return hidden, self.embed(pooled)

    def embed(self, pooled: torch.Tensor) -> torch.Tensor:
        """(..., pooled width) -> (..., embedding_size), in (-1, 1)."""
        return torch.tanh(self.embedding(self.dropout(pooled)))

    def per_frame(self, hidden: list) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (batch, frames, dimensions), unit scale, of each frame on the slowest grid, and its mask."""
        sequences, masks = zip(*hidden, strict=True)
        aligned, mask = align_frames(list(sequences), list(masks), self.hidden_hops)
        return self.output(self.embed(torch.cat(aligned, dim=-1))), mask

    def set_frame_statistics(self, name: str, mean: torch.Tensor, std: torch.Tensor) -> None:
        """
        Standardise a branch's raw frames by these from now on.

        Args:
            name: of the branch.
            mean, std: (width,) over the training set's frames; constant numbers are left unscaled.
        """
        module = self.inputs[name]
        module.frame_mean.copy_(mean)
        module.frame_std.copy_(torch.where(std > 1e-5, std, torch.ones_like(std)))

    def _check(self, frames, masks):
        for name in self.names:
            if name not in frames or name not in masks:
                raise ValueError(
                    f"frames or frames_mask of branch {name!r} are missing; this model reads {', '.join(self.names)}"
                )
            width = len(self.inputs[name].frame_mean)
            if frames[name].ndim != 3 or frames[name].shape[-1] != width:
                raise ValueError(
                    f"frames of branch {name!r} have shape {tuple(frames[name].shape)}; "
                    f"they must be (batch, frames, {width})"
                )
            if masks[name].shape != frames[name].shape[:2] or not masks[name].bool()[:, 0].all():
                raise ValueError(
                    f"frames_mask of branch {name!r} must be {tuple(frames[name].shape[:2])}, "
                    "valid frames first and at least one per clip"
                )


def _num_states(branch, config) -> int:
    if branch.is_acoustic or branch.hidden_state != "weighted_sum":
        return 1
    return config.encoders[branch.source].backbone.num_hidden_layers + 1
