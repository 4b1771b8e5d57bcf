"""The fusion regressor and the student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_affect import AffectFusionConfig, AffectStudentConfig
from .encoder import SpeechEncoder
from .front_end import AffectFrontEnd
from .losses import ccc_losses, emotion_loss, weighted_mean
from .mel_filterbank import LogMelFilterbank
from .regressor import AffectRegressor, BranchInput
from .whisper_input import WhisperLogMel


if TYPE_CHECKING:  # read by transformers when it copies code beside a checkpoint: these files travel with the weights
    from .feature_extraction_affect import AffectFeatureExtractor  # noqa: F401


@dataclass
class AffectOutput(ModelOutput):
    """
    Output of both models.

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when labels are given):
            Weighted mean of `1 - CCC` over the dimensions, plus the weighted cross-entropy of emotion classes.
        logits (`torch.FloatTensor` of shape `(batch, 3)`):
            Activation, valence and dominance on the label scale. The output is linear; in evaluation mode it is
            clipped to `config.label_range`, outside which no clip can be rated.
        embedding (`torch.FloatTensor` of shape `(batch, embedding_size)`): Utterance embedding, in (-1, 1).
        emotion_logits (`torch.FloatTensor` of shape `(batch, classes)`, *optional*):
            Of the second task, when the model has one.
        frame_logits (`torch.FloatTensor` of shape `(batch, frames, 3)`, *optional*):
            Estimates at each frame, on the label scale as `logits`, when `output_frame_logits=True`.
        frame_mask (`torch.BoolTensor` of shape `(batch, frames)`, *optional*): Which of those frames are valid.
        loss_parts (`dict[str, torch.FloatTensor]`, *optional*): `1 - CCC` of each dimension, and `emotion`.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    embedding: torch.FloatTensor | None = None
    emotion_logits: torch.FloatTensor | None = None
    frame_logits: torch.FloatTensor | None = None
    frame_mask: torch.BoolTensor | None = None
    loss_parts: dict[str, torch.FloatTensor] | None = None


class AffectPreTrainedModel(PreTrainedModel):
    """Weights, saving and loading, common to both models."""

    base_model_prefix = "affect"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    # filterbanks and logarithms lose their small values in half precision
    _keep_in_fp32_modules_strict = frozenset({"mel_filterbank", "log_mel"})
    # the losses are exact for a batch as it is: Trainer must not rescale them by processes or accumulation steps
    accepts_loss_kwargs = False

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        """As in transformers, from safetensors alone: pickled weights are refused with an `OSError`."""
        kwargs["use_safetensors"] = True
        return super().from_pretrained(pretrained_model_name_or_path, *model_args, **kwargs)

    def save_pretrained(self, save_directory, **kwargs):
        """As in transformers; the code of this package is copied beside the weights, for `trust_remote_code=True`."""
        self.config.auto_map = dict(self.auto_map)
        super().save_pretrained(save_directory, **kwargs)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            init.kaiming_uniform_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)
        elif isinstance(module, nn.GRU):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_ih"):
                    init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    init.orthogonal_(parameter)
                else:
                    init.zeros_(parameter)
        elif isinstance(module, (BranchInput, LogMelFilterbank, WhisperLogMel)):
            module.reset_parameters()


class AffectModel(AffectPreTrainedModel):
    """
    Waveform (or cached frames) to activation, valence and dominance; what both models are.

    Args:
        config: the model's configuration.
        with_front_end: `False` leaves filterbanks and encoders out: such a model takes cached frames only, which is
            all that training a head on frozen encoders needs.
    """

    def __init__(self, config, with_front_end: bool = True):
        super().__init__(config)
        self.front_end = AffectFrontEnd(config) if with_front_end else None
        self.regressor = AffectRegressor(config)
        self.post_init()

    @property
    def frame_hop_s(self) -> float:
        """Seconds between two frames of `frame_logits`."""
        return max(self.regressor.hidden_hops) / self.config.sampling_rate

    def attach_front_end(self, encoder_backbones: dict[str, nn.Module] | None = None) -> None:
        """
        Give a model that was built without one its front end, with these pre-trained encoders.

        Args:
            encoder_backbones: per encoder name the pre-trained module whose weights are copied.

        Raises:
            ValueError: the encoders given are not those of the configuration.
        """
        given, needed = set(encoder_backbones or {}), set(self.config.encoders)
        if given != needed:
            raise ValueError(f"encoders given: {sorted(given)}; this model has {sorted(needed)}")
        self.front_end = AffectFrontEnd(self.config)
        for name, backbone in (encoder_backbones or {}).items():
            encoder: SpeechEncoder = self.front_end.encoders[name]
            encoder.backbone.load_state_dict(backbone.state_dict())
        self.front_end.to(device=self.device).train(self.training)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        frames: dict[str, torch.Tensor] | None = None,
        frames_mask: dict[str, torch.Tensor] | None = None,
        labels: torch.Tensor | None = None,
        emotion_labels: torch.Tensor | None = None,
        output_frame_logits: bool = False,
        return_dict: bool | None = None,
    ) -> AffectOutput | tuple:
        """
        Args:
            input_values: (batch, samples), waveform at 16 kHz in [-1, 1].
            attention_mask: (batch, samples), 1 where valid, valid samples first.
            frames: instead of `input_values`: raw frames per branch name, (batch, frames, width) each, as
                `front_end` gives them.
            frames_mask: per branch name (batch, frames), True where valid.
            labels: (batch, 3) on the label scale; NaN where a clip has no rating.
            emotion_labels: (batch,) indices into `config.emotion_names`; -100 where a clip has none.
            output_frame_logits: also return estimates at each frame.
            return_dict: `False` returns a plain tuple.

        Raises:
            ValueError: neither or both kinds of input, wrong shapes, too short a clip, labels the model has no head
                for.
        """
        frames, frames_mask = self._frames(input_values, attention_mask, frames, frames_mask)
        hidden, embedding = self.regressor(frames, frames_mask)
        unit = self.regressor.output(embedding)
        output = AffectOutput(logits=self._to_label_scale(unit), embedding=embedding)
        if self.regressor.emotion_output is not None:
            output.emotion_logits = self.regressor.emotion_output(embedding)
        if output_frame_logits:
            per_frame, output.frame_mask = self.regressor.per_frame(hidden)
            output.frame_logits = self._to_label_scale(per_frame)
        if labels is not None or emotion_labels is not None:
            output.loss, output.loss_parts = self._loss(unit, output.emotion_logits, labels, emotion_labels)
        return_dict = return_dict if return_dict is not None else self.config.return_dict
        return output if return_dict else output.to_tuple()

    def _frames(self, input_values, attention_mask, frames, frames_mask):
        if (input_values is None) == (frames is None):
            raise ValueError("give either input_values (a waveform) or frames (cached, per branch), not both")
        if frames is not None:
            return frames, frames_mask or {}
        if self.front_end is None:
            raise ValueError("this model was built with_front_end=False and takes frames only; attach_front_end first")
        return self.front_end(input_values, attention_mask)

    def _loss(self, unit, emotion_logits, labels, emotion_labels):
        # in evaluation processes see different numbers of batches: a collective would hang
        over_processes = self.training
        parts, total = {}, 0.0
        if labels is not None:
            if labels.shape != unit.shape:
                raise ValueError(f"labels have shape {tuple(labels.shape)}; they must be {tuple(unit.shape)}")
            losses = ccc_losses(unit, self.to_unit_scale(labels.to(unit.dtype)), over_processes)
            parts.update(zip(self.config.id2label.values(), losses, strict=True))
            total = weighted_mean(losses, self.config.ccc_weights)
        if emotion_labels is not None:
            if emotion_logits is None:
                raise ValueError("emotion_labels given, but config.emotion_names is empty: this model has no classes")
            parts["emotion"] = emotion_loss(emotion_logits, emotion_labels, over_processes)
            total = total + self.config.emotion_loss_weight * parts["emotion"]
        return total, parts

    def to_unit_scale(self, values: torch.Tensor) -> torch.Tensor:
        """From the label scale to -1..1."""
        low, high = self.config.label_range
        return (values - (high + low) / 2) / ((high - low) / 2)

    def _to_label_scale(self, values: torch.Tensor) -> torch.Tensor:
        low, high = self.config.label_range
        values = values * ((high - low) / 2) + (high + low) / 2
        return values if self.training else values.clamp(low, high)


class AffectFusionModel(AffectModel):
    """Activation, valence and dominance from one or several branches; the teacher. See [`AffectFusionConfig`]."""

    config_class = AffectFusionConfig
    auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_affect.AffectFusionConfig",
        "AutoFeatureExtractor": "feature_extraction_affect.AffectFeatureExtractor",
        "AutoModel": "modeling_affect.AffectFusionModel",
        "AutoModelForAudioClassification": "modeling_affect.AffectFusionModel",
    }


class AffectStudentModel(AffectModel):
    """Activation, valence and dominance from low-level features alone. See [`AffectStudentConfig`]."""

    config_class = AffectStudentConfig
    auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_affect.AffectStudentConfig",
        "AutoFeatureExtractor": "feature_extraction_affect.AffectFeatureExtractor",
        "AutoModel": "modeling_affect.AffectStudentModel",
        "AutoModelForAudioClassification": "modeling_affect.AffectStudentModel",
    }
