"""Frames to embedding and outputs: SpecAugment, TC-GRU, masked pooling, fusion and the heads."""

import math
import os
from functools import partial, reduce

import torch
from torch import nn
from torch._higher_order_ops import scan
from transformers import initialization as init
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

from .checks import check_unchanged, fixed_settings


if hasattr(os, "register_at_fork"):
    # the threads of torch do not live on in a forked process, which would wait for them in the GRU for ever
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


def pad_at_end(values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift each row so that its valid entries come first, on whichever side it is padded.

    Args:
        values: (batch, length, ...).
        mask: (batch, length), true or 1 where valid.

    Returns:
        values and mask (bool), shifted alike.

    Raises:
        ValueError: there is padding between the valid entries of a row; not checked in a compiled or exported graph.
    """
    mask = mask.bool()
    positions = torch.arange(mask.shape[1], device=mask.device)
    valid_first = positions < mask.sum(dim=1, keepdim=True)
    if not torch.compiler.is_compiling() and torch.equal(mask, valid_first):
        return values, mask
    order = positions + mask.int().argmax(dim=1, keepdim=True)
    order = torch.where(order < mask.shape[1], order, order - mask.shape[1])  # `%` of a size is lost in ONNX
    if not torch.compiler.is_compiling() and not torch.equal(mask.gather(1, order), valid_first):
        raise ValueError(
            "there is padding between valid samples, frames or tokens of a row; it must come before or after them: "
            "give the mask that the feature extractor or tokenizer gives"
        )
    return values[torch.arange(values.shape[0], device=mask.device).unsqueeze(1), order], valid_first


def mask_frames(frames: torch.Tensor, mask: torch.Tensor, config) -> torch.Tensor:
    """Set random stretches of frames and random bands of features to zero, the mean of standardised frames.

    As in transformers' wav2vec 2.0, after Park et al., "SpecAugment", Interspeech 2019 (arXiv 1904.08779).

    Args:
        frames: (batch, frames, width), standardised.
        mask: (batch, frames), True where valid; padding is not masked.
        config: has `mask_time_prob`, `mask_time_length`, `mask_feature_prob` and `mask_feature_length`. A probability
            is the share of frames or features that is masked, or less where stretches overlap.

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


class GRU(nn.RNNBase):
    """`nn.GRU` that `torch.compile` and `torch.export` take at any length: they refuse that class, or unroll it."""

    def forward(self, sequence: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, frames, input_size), (layers, batch, hidden_size) -> the hidden sequence and the last states."""
        if state is None:
            state = sequence.new_zeros(self.num_layers, sequence.shape[0], self.hidden_size)
        if not torch.compiler.is_compiling():
            weights = [weight for layer in self.all_weights for weight in layer]
            return torch.gru(sequence, state, weights, True, self.num_layers, self.dropout, self.training, False, True)
        lasts = []
        for index, (weight_ih, weight_hh, bias_ih, bias_hh) in enumerate(self.all_weights):
            sequence = nn.functional.dropout(sequence, self.dropout if index else 0.0, self.training)
            inputs = nn.functional.linear(sequence, weight_ih, bias_ih).transpose(0, 1)
            last, sequence = scan(partial(_gru_step, weight=weight_hh, bias=bias_hh), state[index], inputs)
            sequence = sequence.transpose(0, 1)
            lasts.append(last)
        return sequence, torch.stack(lasts)


def _gru_step(state: torch.Tensor, gates: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> tuple:
    reset, update, new = gates.chunk(3, dim=-1)
    from_reset, from_update, from_new = nn.functional.linear(state, weight, bias).chunk(3, dim=-1)
    new = torch.tanh(new + torch.sigmoid(reset + from_reset) * from_new)
    state = new + torch.sigmoid(update + from_update) * (state - new)
    return state, state.clone()  # what a step returns may not share memory


class TimeConvGRU(nn.Module):
    """A causal time convolution, then a unidirectional GRU.

    Nothing looks ahead, so right padding cannot reach a valid frame, and a stream gives what the whole file gives.

    Args:
        input_size: width of a frame.
        kernel_size, stride: of the convolution, in frames.
        config: has `conv_channels`, and of the GRU `gru_hidden_size` and `num_gru_layers`; `dropout` is between the
            GRU's layers and after the convolution, in training.
    """

    def __init__(self, input_size: int, kernel_size: int, stride: int, config):
        super().__init__()
        self.left_context, self.stride = kernel_size - 1, stride
        self.conv = nn.Conv1d(input_size, config.conv_channels, kernel_size, stride=stride)
        self.dropout = nn.Dropout(config.dropout)
        layers, dropout = config.num_gru_layers, config.dropout if config.num_gru_layers > 1 else 0.0
        self.gru = GRU("GRU", config.conv_channels, config.gru_hidden_size, layers, batch_first=True, dropout=dropout)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the hidden sequence (batch, ceil(frames / stride), hidden_size), zero where padded, and its mask.

        Args:
            frames: (batch, frames, input_size).
            mask: (batch, frames), True where a frame is valid; valid frames come first.
        """
        hidden = nn.functional.pad(frames.transpose(1, 2), (self.left_context, 0))
        hidden = self.dropout(nn.functional.relu(self.conv(hidden))).transpose(1, 2)
        hidden, _ = self.gru(hidden)
        # output j sees inputs up to j * stride: valid exactly when that one is
        mask = mask[:, :: self.stride]
        return hidden * mask.unsqueeze(-1), mask


def masked_mean(frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average (batch, frames, width) over the frames whose mask (batch, frames) is true, at least one in each row."""
    # half precision cannot count beyond 256
    weights = mask.unsqueeze(-1).to(torch.promote_types(frames.dtype, torch.float32))
    return ((frames * weights).sum(dim=1) / weights.sum(dim=1)).to(frames.dtype)


def _at_least_float32(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def average_frames(frames: torch.Tensor, mask: torch.Tensor, ratio: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower the frame rate by a whole factor: each output frame is the mean of `ratio` valid input frames.

    Args:
        frames: (batch, frames, width).
        mask: (batch, frames), True where valid; valid frames come first.
        ratio: input frames per output frame, >= 1.

    Returns:
        (batch, ceil(frames / ratio), width) and its mask. The last valid output may average fewer than `ratio` frames.
    """
    if ratio == 1:
        return frames, mask
    batch, length, width = frames.shape
    missing = -length % ratio
    weights = nn.functional.pad(mask, (0, missing)).to(frames.dtype).view(batch, -1, ratio, 1)
    frames = nn.functional.pad(frames, (0, 0, 0, missing)).view(batch, -1, ratio, width)
    counts = weights.sum(dim=2)
    return (frames * weights).sum(dim=2) / counts.clamp(min=1), counts.squeeze(-1) > 0


def align_frames(
    frames: list[torch.Tensor], masks: list[torch.Tensor], hops: list[int]
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Bring sequences (batch, frames_i, width_i) and their masks onto the grid of the slowest one.

    Args:
        frames, masks: of each sequence.
        hops: samples between two frames of each.

    Returns:
        sequences (batch, frames, width_i) of equal length, and the mask of frames valid in all of them.

    Raises:
        ValueError: a hop does not divide the largest.
    """
    slowest = max(hops)
    if any(slowest % hop for hop in hops):
        raise ValueError(
            f"frames {', '.join(map(str, hops))} samples apart share no grid: each hop must divide the largest; "
            "choose hop_s and conv_stride of the acoustic branch accordingly"
        )
    averaged = [average_frames(f, m, slowest // h) for f, m, h in zip(frames, masks, hops, strict=True)]
    length = reduce(torch.sym_min, (sequence.shape[1] for sequence, _ in averaged))
    mask = torch.stack([m[:, :length] for _, m in averaged]).all(dim=0)
    return [sequence[:, :length] for sequence, _ in averaged], mask


# least and greatest standard deviation that a model can predict, in unit scale, where labels lie in -1..1: half a
# percent of the scale, and twice the scale
STD_RANGE = (0.01, 4.0)


class BranchInput(nn.Module):
    """Raw frames of a branch, standardised by the training set's statistics; hidden states summed by learned weights.

    Args:
        width: numbers in a raw frame.
        num_states: hidden states side by side in it; 1 unless the branch is a weighted sum.
    """

    def __init__(self, width: int, num_states: int):
        super().__init__()
        self.num_states = num_states
        self.output_size = width // num_states
        # identity until the statistics of the training set are set
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
        frames = (_at_least_float32(frames) - self.frame_mean) / self.frame_std
        frames = frames.to(self.frame_mean.dtype)
        if self.state_weights is None:
            return frames
        states = frames.unflatten(-1, (self.num_states, self.output_size))
        return (states * self.state_weights.softmax(dim=0).unsqueeze(-1)).sum(dim=-2)


class AffectRegressor(nn.Module):
    """The trained head: from raw frames per branch to the embedding and the outputs.

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
        self.built_with = fixed_settings(config)
        self.hops = [config.branch_hop(branch) for branch in branches]
        self.inputs = nn.ModuleDict(
            {b.name: BranchInput(config.branch_width(b), config.branch_states(b)) for b in branches}
        )
        sizes = [module.output_size for module in self.inputs.values()]
        convolutions = [(branch.conv_kernel_size, branch.conv_stride) for branch in branches]
        if self.fusion_level == "frame":
            sizes, convolutions = [sum(sizes)], [convolutions[self.hops.index(max(self.hops))]]
        self.tc_grus = nn.ModuleList(
            TimeConvGRU(size, kernel_size, stride, config)
            for size, (kernel_size, stride) in zip(sizes, convolutions, strict=True)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.embedding = nn.Linear(config.gru_hidden_size * len(sizes), config.embedding_size)
        self.output = nn.Linear(config.embedding_size, len(config.id2label))
        emotions, genders = len(config.emotion_names or ()), len(config.gender_names or ())
        self.emotion_output = nn.Linear(config.embedding_size, emotions) if emotions else None
        self.gender_output = nn.Linear(config.embedding_size, genders) if genders else None
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

    def checked_frames(self, frames: dict[str, torch.Tensor], masks: dict[str, torch.Tensor]) -> tuple[dict, dict]:
        """Check cached frames and their masks, as `forward` of the models takes them, and move padding to the end.

        Raises:
            ValueError: a branch is missing, has frames or a mask of the wrong shape, or a clip without a valid frame.
        """
        checked = {}
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
            shape = frames[name].shape[:2]
            if masks[name].shape != shape or not (torch.compiler.is_compiling() or masks[name].any(dim=1).all()):
                raise ValueError(
                    f"frames_mask of branch {name!r} must be {tuple(shape)}, with at least one valid frame per clip"
                )
            checked[name] = pad_at_end(frames[name], masks[name])
        return {name: pair[0] for name, pair in checked.items()}, {name: pair[1] for name, pair in checked.items()}

    def forward(self, frames: dict[str, torch.Tensor], masks: dict[str, torch.Tensor]) -> tuple:
        """Compute the embedding from raw frames.

        Args:
            frames: per branch name (batch, frames, width), raw.
            masks: per branch name (batch, frames), True where valid; valid frames come first.

        Returns:
            hidden sequences (one per TC-GRU) with their masks, and the embedding (batch, embedding_size).
        """
        sequences = [self.inputs[name](frames[name]) for name in self.names]
        valid = [masks[name] for name in self.names]
        if self.training:
            sequences = [mask_frames(s, m, self.masking) for s, m in zip(sequences, valid, strict=True)]
        if self.fusion_level == "frame":
            aligned, mask = align_frames(sequences, valid, self.hops)
            sequences, valid = [torch.cat(aligned, dim=-1)], [mask]
        hidden = [tc_gru(s, m) for tc_gru, s, m in zip(self.tc_grus, sequences, valid, strict=True)]
        pooled = torch.cat([masked_mean(sequence, mask) for sequence, mask in hidden], dim=-1)
        return hidden, self.embed(pooled)

    def embed(self, pooled: torch.Tensor) -> torch.Tensor:
        """(..., pooled width) -> (..., embedding_size), in (-1, 1)."""
        return torch.tanh(self.embedding(self.dropout(pooled)))

    def heads(self, embedding: torch.Tensor) -> dict[str, torch.Tensor | None]:
        """Compute the output of each head from the embedding (batch, embedding_size); `None` where there is no head.

        Returns:
            `unit` (batch, dimensions): the dimensions in unit scale; `log_std` (batch, dimensions), as
            [`AffectRegressor.log_std`]; `emotion` (batch, classes) and `gender` (batch, genders), logits. The first
            two are float32 at least: on a scale of 1 to 7, numbers in bfloat16 lie up to 0.03 apart.

        Raises:
            ValueError: the configuration names the outputs otherwise than when the model was built.
        """
        if not torch.compiler.is_compiling():
            check_unchanged(self.built_with, self.masking.outputs)
        return {
            "unit": _at_least_float32(self.output(embedding)),
            "log_std": self.log_std(embedding),
            "emotion": self.emotion_output(embedding) if self.emotion_output is not None else None,
            "gender": self.gender_output(embedding) if self.gender_output is not None else None,
        }

    def log_std(self, embedding: torch.Tensor) -> torch.Tensor | None:
        """Compute log standard deviations (..., dimensions) from (..., embedding_size), unit scale, uncalibrated.

        A sigmoid keeps them within `STD_RANGE`: unlike a clamp it has a gradient at the bounds too.
        """
        if self.uncertainty_output is None:
            return None
        low, high = (math.log(bound) for bound in STD_RANGE)
        return low + (high - low) * torch.sigmoid(_at_least_float32(self.uncertainty_output(embedding)))

    def per_frame(self, hidden: list) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (batch, frames, dimensions), unit scale, of each frame on the slowest grid, and its mask."""
        sequences, masks = zip(*hidden, strict=True)
        aligned, mask = align_frames(list(sequences), list(masks), self.hidden_hops)
        return _at_least_float32(self.output(self.embed(torch.cat(aligned, dim=-1)))), mask

    def set_frame_statistics(self, name: str, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Set the mean and standard deviation (width,) by which a branch's raw frames are standardised.

        Numbers that do not vary over the training set are left unscaled.
        """
        module = self.inputs[name]
        module.frame_mean.copy_(mean)
        module.frame_std.copy_(torch.where(std > 1e-5, std, torch.ones_like(std)))

    @torch.no_grad()
    def set_uncertainty_scale(self, scale: torch.Tensor) -> None:
        """Set the factors (dimensions,) by which predicted standard deviations are multiplied, in outputs alone.

        Args:
            scale: positive; measured with a scale of 1, on clips that were not trained on.

        Raises:
            ValueError: wrong shape, not positive or not finite, or a model that predicts no uncertainty.
        """
        if self.uncertainty_output is None:
            raise ValueError("this model predicts no uncertainty to scale: config.predict_uncertainty is False")
        scale = torch.as_tensor(scale)
        given, needed = tuple(scale.shape), tuple(self.uncertainty_scale.shape)
        if given != needed:
            raise ValueError(f"the uncertainty scale has shape {given}; it must be {needed}")
        if not (torch.isfinite(scale) & (scale > 0)).all():
            raise ValueError(f"the uncertainty scale is {scale.tolist()}; every number must be positive and finite")
        self.uncertainty_scale.copy_(scale)
