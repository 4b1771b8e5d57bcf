"""Any text encoder of transformers as a source of frames: one for each token of the transcript."""

from __future__ import annotations

import inspect

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoModel
from transformers.configuration_utils import PreTrainedConfig

from .configuration_affect import AffectEncoderConfig


def pooler_option(backbone: PreTrainedConfig) -> dict[str, bool]:
    """
    Arguments of `AutoModel` that leave the pooler out, for the families that have one.

    No branch reads it, and checkpoints of masked language models such as RoBERTa's have no weights for it.
    """
    has_option = "add_pooling_layer" in inspect.signature(MODEL_MAPPING[type(backbone)].__init__).parameters
    return {"add_pooling_layer": False} if has_option else {}


def max_tokens(backbone: nn.Module) -> int | None:
    """
    Longest text that an encoder was made for, in tokens with the special ones; None where nothing limits it.

    Learned positions are counted from behind the padding token's where the family does so (RoBERTa and its kin), which
    makes their number less than `max_position_embeddings`.
    """
    for name, module in backbone.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(backbone.config, "max_position_embeddings", None)


class TextEncoder(nn.Module):
    """
    A text encoder of transformers, from padded tokens to masked frames.

    Args:
        config: the encoder's backbone, and whether it is frozen.
    """

    def __init__(self, config: AffectEncoderConfig):
        super().__init__()
        self.family = config.backbone.model_type
        self.frozen = config.frozen
        self.pad_token_id = getattr(config.backbone, "pad_token_id", None)
        self.backbone = AutoModel.from_config(config.backbone, **pooler_option(config.backbone))
        self.max_tokens = max_tokens(self.backbone)
        if self.frozen:
            self.backbone.requires_grad_(False)

    def train(self, mode: bool = True):
        super().train(mode)
        if self.frozen:
            self.backbone.eval()  # a frozen encoder has no dropout
        return self

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, hidden_states: list[int | str]
    ) -> tuple[dict[int | str, torch.Tensor], torch.Tensor]:
        """
        Args:
            input_ids: (batch, tokens), as the encoder's own tokenizer gives them, special tokens included.
            attention_mask: (batch, tokens), 1 where valid; valid tokens come first. Without it, all but the encoder's
                padding token are valid.
            hidden_states: which to return: `"last"`, `"weighted_sum"` (all of them, side by side) or an index.

        Returns:
            frames (batch, tokens of the longest text, width) for each, zero where padded, and their common mask.

        Raises:
            ValueError: wrong shapes, padding before a text, a text without tokens or with too many, or tokens that the
                encoder does not have.
        """
        lengths = self._lengths(input_ids, attention_mask)
        mask = torch.arange(int(lengths.max()), device=input_ids.device) < lengths.unsqueeze(1)
        input_ids = input_ids[:, : mask.shape[1]].masked_fill(~mask, self.pad_token_id or 0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            outputs = self.backbone(
                input_ids=input_ids,
                attention_mask=mask.long(),
                output_hidden_states=any(state != "last" for state in hidden_states),
                return_dict=True,
            )
        frames = {s: _select(outputs, s).masked_fill(~mask.unsqueeze(-1), 0.0) for s in hidden_states}
        return frames, mask

    def _lengths(self, input_ids, attention_mask) -> torch.Tensor:
        """Valid tokens of each text (batch,), once both inputs are found sound."""
        if input_ids.ndim != 2 or input_ids.is_floating_point():
            raise ValueError(
                f"input_ids has shape {tuple(input_ids.shape)}, {input_ids.dtype}; give integers (batch, tokens)"
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
            if self.pad_token_id is not None:
                attention_mask = input_ids != self.pad_token_id
        if attention_mask.shape != input_ids.shape:
            raise ValueError(
                f"the mask of the tokens has shape {tuple(attention_mask.shape)}; "
                f"it must be that of input_ids, {tuple(input_ids.shape)}"
            )
        valid = attention_mask.bool()
        lengths = valid.sum(dim=1)
        if not torch.equal(valid, torch.arange(valid.shape[1], device=valid.device) < lengths.unsqueeze(1)):
            raise ValueError("padding stands before or within a text; set padding_side='right' of the tokenizer")
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest < 1:
            raise ValueError("a text has no token; give a tokenizer that adds special tokens, or leave the clip out")
        if self.max_tokens is not None and longest > self.max_tokens:
            raise ValueError(
                f"a text has {longest} tokens; {self.family} takes {self.max_tokens} at most: "
                f"call the tokenizer with truncation=True, max_length={self.max_tokens}"
            )
        vocabulary = self.backbone.get_input_embeddings().num_embeddings
        if not 0 <= int(input_ids[valid].min()) <= int(input_ids[valid].max()) < vocabulary:
            raise ValueError(
                f"input_ids reach {int(input_ids[valid].max())}, but {self.family} has tokens 0 to {vocabulary - 1}: "
                "they come from another encoder's tokenizer"
            )
        return lengths


def _select(outputs, state: int | str) -> torch.Tensor:
    if state == "last":
        return outputs.last_hidden_state
    if state == "weighted_sum":
        return torch.cat(outputs.hidden_states, dim=-1)
    return outputs.hidden_states[state]
