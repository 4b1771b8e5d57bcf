"""From the frames of every branch to an embedding and outputs: normalisation, TC-GRU, fusion, heads."""

import math

import torch
from torch import nn
from transformers import initialization as init

from .pooling import align_frames, masked_mean
from .spec_augment import mask_frames
from .tc_gru import TimeConvGRU


# the least and the greatest standard deviation a model can state, in unit scale, where labels lie in -1..1: nothing is
# graded to a hundredth of half the scale, and twice the whole scale is no knowledge at all
STD_RANGE = (0.01, 4.0)


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
        self.masking = config
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
        self.gender_output = (
            nn.Linear(config.embedding_size, len(config.gender_names)) if config.gender_names else None
        )
        self.uncertainty_output = None
        if config.predict_uncertainty:
            self.uncertainty_output = nn.Linear(config.embedding_size, len(config.id2label))
            # 1 until calibrated on clips that were not trained on
            self.register_buffer("uncertainty_scale", torch.ones(len(config.id2label)))
        # samples between two frames of each TC-GRU's output; None where they are tokens
        hops = [max(self.hops)] if self.fusion_level == "frame" else self.hops
        self.hidden_hops = [hop and hop * stride for hop, (_, stride) in zip(hops, convolutions, strict=True)]

    def reset_parameters(self):
        if self.uncertainty_output is not None:
            init.ones_(self.uncertainty_scale)

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
        if self.training:
            sequences = [mask_frames(s, m, self.masking) for s, m in zip(sequences, masks, strict=True)]
        if self.fusion_level == "frame":
            aligned, mask = align_frames(sequences, masks, self.hops)
            sequences, masks = [torch.cat(aligned, dim=-1)], [mask]
        hidden = [tc_gru(s, m) for tc_gru, s, m in zip(self.tc_grus, sequences, masks, strict=True)]
        pooled = torch.cat([masked_mean(sequence, mask) for sequence, mask in hidden], dim=-1)
        return hidden, self.embed(pooled)

    def embed(self, pooled: torch.Tensor) -> torch.Tensor:
        """(..., pooled width) -> (..., embedding_size), in (-1, 1)."""
        return torch.tanh(self.embedding(self.dropout(pooled)))

    def heads(self, embedding: torch.Tensor) -> dict[str, torch.Tensor | None]:
        """
        What each head makes of the embedding (batch, embedding_size); `None` for a head the model does not have.

        Returns:
            `unit` (batch, dimensions): the dimensions in unit scale; `log_std` (batch, dimensions), as
            [`AffectRegressor.log_std`]; `emotion` (batch, classes) and `gender` (batch, genders), logits.
        """
        return {
            "unit": self.output(embedding),
            "log_std": self.log_std(embedding) if self.uncertainty_output is not None else None,
            "emotion": self.emotion_output(embedding) if self.emotion_output is not None else None,
            "gender": self.gender_output(embedding) if self.gender_output is not None else None,
        }

    def log_std(self, embedding: torch.Tensor) -> torch.Tensor:
        """
        Logarithm of the standard deviations that the model predicts, unit scale, before calibration.

        A sigmoid keeps them within `STD_RANGE`: unlike a clamp it always leaves a gradient to come back by.

        Args:
            embedding: (..., embedding_size).

        Returns:
            (..., dimensions).
        """
        low, high = (math.log(bound) for bound in STD_RANGE)
        return low + (high - low) * torch.sigmoid(self.uncertainty_output(embedding))

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

    @torch.no_grad()
    def set_uncertainty_scale(self, scale: torch.Tensor) -> None:
        """
        Multiply predicted standard deviations by these from now on, in place of earlier ones; the loss does not.

        Args:
            scale: (dimensions,), positive; measured with a scale of 1, on clips that were not trained on.

        Raises:
            ValueError: wrong shape, not positive or not finite, or a model that predicts no uncertainty.
        """
        if self.uncertainty_output is None:
            raise ValueError("this model states no uncertainty to scale: config.predict_uncertainty is False")
        scale = torch.as_tensor(scale)
        given, needed = tuple(scale.shape), tuple(self.uncertainty_scale.shape)
        if given != needed:
            raise ValueError(f"the uncertainty scale has shape {given}; it must be {needed}")
        if not (torch.isfinite(scale) & (scale > 0)).all():
            raise ValueError(f"the uncertainty scale is {scale.tolist()}; every number must be positive and finite")
        self.uncertainty_scale.copy_(scale)

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
