"""The fusion regressor and the student."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_affect import AffectFusionConfig, AffectStudentConfig
from .encoder import SpeechEncoder, TextEncoder
from .front_end import AffectFrontEnd
from .loaded_weights import check_complete, check_files, check_finite, check_shapes, check_size
from .log_mel import LogMelFilterbank, WhisperLogMel
from .losses import ccc_losses, class_loss, emotion_loss, uncertainty_losses, weighted_mean
from .regressor import AffectRegressor, BranchInput


if TYPE_CHECKING:  # read by transformers when it copies code beside a checkpoint: these files travel with the weights
    from .feature_extraction_affect import AffectFeatureExtractor  # noqa: F401
    from .pipeline_affect import SpeechEmotionRegressionPipeline  # noqa: F401
    from .streaming import AffectStream  # noqa: F401


CUSTOM_PIPELINES = {
    "speech-emotion-regression": {
        "impl": "pipeline_affect.SpeechEmotionRegressionPipeline",
        "pt": ["AutoModelForAudioClassification"],
        "type": "audio",
    }
}


@dataclass
class AffectOutput(ModelOutput):
    """
    Output of both models.

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when labels are given):
            Weighted mean of `1 - CCC` over the dimensions, plus the weighted losses of the other tasks whose labels
            are given.
        logits (`torch.FloatTensor` of shape `(batch, 3)`):
            Activation, valence and dominance on the label scale. The output is linear; in evaluation mode it is
            clipped to `config.label_range`, outside which no clip can be rated.
        embedding (`torch.FloatTensor` of shape `(batch, embedding_size)`): Utterance embedding, in (-1, 1).
        emotion_logits (`torch.FloatTensor` of shape `(batch, classes)`, *optional*):
            Of the emotion classes, when the model has them.
        gender_logits (`torch.FloatTensor` of shape `(batch, genders)`, *optional*):
            Of the speaker's gender, when the model has that task.
        uncertainty (`torch.FloatTensor` of shape `(batch, 3)`, *optional*):
            Standard deviation that the model expects of a grade about `logits`, on the label scale, greater than 0,
            when `config.predict_uncertainty`. Trained on single grades (`label_variances`), it holds how far graders
            differ as well as the model's own error; once calibrated (`regressor.set_uncertainty_scale`), it is that
            of the labels it was calibrated on.
        frame_logits (`torch.FloatTensor` of shape `(batch, frames, 3)`, *optional*):
            Estimates at each frame, on the label scale as `logits`, when `output_frame_logits=True`.
        frame_mask (`torch.BoolTensor` of shape `(batch, frames)`, *optional*): Which of those frames are valid.
        loss_parts (`dict[str, torch.FloatTensor]`, *optional*):
            `1 - CCC` of each dimension; `emotion` and `gender` (cross-entropy) and `uncertainty` (negative
            log-likelihood, mean over the dimensions), before they are weighted.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    embedding: torch.FloatTensor | None = None
    emotion_logits: torch.FloatTensor | None = None
    gender_logits: torch.FloatTensor | None = None
    uncertainty: torch.FloatTensor | None = None
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
        """
        As in transformers, from safetensors alone: pickled weights are refused with an `OSError`.

        Where transformers only warns, this refuses: what the checkpoint's own configuration asks for must be in it.
        Weights that are asked for beyond it (by `config` or its settings as arguments) start anew. With
        `output_loading_info=True` all is as in transformers: what is missing is in the report, and starts anew.

        Raises:
            OSError: there are no weights but pickled ones.
            ValueError: a file that is no safetensors file or is cut off; weights that are missing, that are not
                finite, or of other shapes than the configuration's (this also is a `RuntimeError`); a configuration
                of absurd sizes, before memory is taken for it.
        """
        kwargs["use_safetensors"] = True
        wants_info, source = kwargs.pop("output_loading_info", False), pretrained_model_name_or_path
        ignores_shapes = kwargs.pop("ignore_mismatched_sizes", False)
        try:
            model, info = super().from_pretrained(
                source, *model_args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
            )
        except SafetensorError as error:
            raise ValueError(
                f"{source}: its weights are no whole safetensors file ({error}); fetch it anew"
            ) from error
        except (json.JSONDecodeError, AttributeError, LookupError, TypeError) as error:
            if "keyword argument" in str(error):
                raise
            raise ValueError(
                f"{source}: its model.safetensors.index.json or config.json is not as transformers writes it "
                f"({error!r}); fetch it anew"
            ) from error
        if not ignores_shapes:
            check_shapes(info["mismatched_keys"], source)
        if wants_info:
            return model, info
        if info["missing_keys"] and source is not None:
            check_complete(info["missing_keys"] & cls._own_weights(source, kwargs), source)
        check_finite(model, source)
        return model

    @classmethod
    def _own_weights(cls, source, kwargs: dict) -> set[str]:
        """Names of the weights that a checkpoint's own configuration asks for, whatever else was given."""
        where = ("cache_dir", "revision", "token", "subfolder", "local_files_only", "proxies")
        try:
            config = cls.config_class.from_pretrained(source, **{key: kwargs[key] for key in where if key in kwargs})
        except OSError:  # it has none: the one that was given is all there is
            return set()
        with torch.device("meta"):
            return set(cls(config).state_dict())

    @staticmethod
    def _load_pretrained_model(model, state_dict, checkpoint_files, *args, **kwargs):
        # transformers calls this when the model is built on the meta device and the files are known
        if checkpoint_files is not None:
            check_files(checkpoint_files, model)
        return PreTrainedModel._load_pretrained_model(model, state_dict, checkpoint_files, *args, **kwargs)

    def save_pretrained(self, save_directory, **kwargs):
        """As in transformers; the code of this package is copied beside the weights, for `trust_remote_code=True`."""
        self.config.auto_map = dict(self.auto_map)
        self.config.custom_pipelines = CUSTOM_PIPELINES
        try:
            super().save_pretrained(save_directory, **kwargs)
        finally:
            del self.config.custom_pipelines  # of the folder, not of the model

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
        elif isinstance(module, (AffectRegressor, BranchInput, LogMelFilterbank, WhisperLogMel)):
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
        if torch.get_default_device().type != "meta":  # where from_pretrained builds, and looks at the files
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                parts = [AffectRegressor(config), AffectFrontEnd(config) if with_front_end else None]
                check_size(nn.ModuleList(parts))
        self.front_end = AffectFrontEnd(config) if with_front_end else None
        self.regressor = AffectRegressor(config)
        self.post_init()

    @property
    def frame_hop_s(self) -> float:
        """Seconds between two frames of `frame_logits`; a `ValueError` for a model that reads text and has none."""
        self._check_timed()
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
            encoder: SpeechEncoder | TextEncoder = self.front_end.encoders[name]
            encoder.backbone.load_state_dict(backbone.state_dict())
        self.front_end.to(device=self.device).train(self.training)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        frames: dict[str, torch.Tensor] | None = None,
        frames_mask: dict[str, torch.Tensor] | None = None,
        labels: torch.Tensor | None = None,
        emotion_labels: torch.Tensor | None = None,
        gender_labels: torch.Tensor | None = None,
        label_variances: torch.Tensor | None = None,
        output_frame_logits: bool = False,
        return_dict: bool | None = None,
    ) -> AffectOutput | tuple:
        """
        Args:
            input_values: (batch, samples), waveform at 16 kHz in [-1, 1].
            attention_mask: (batch, samples), 1 where valid, valid samples first.
            input_ids: (batch, tokens), the transcripts as the encoder's tokenizer gives them; for models that read
                text. One whose branches all do needs no `input_values`.
            text_attention_mask: (batch, tokens), the tokenizer's `attention_mask`: 1 where valid, valid tokens first.
            frames: instead of these inputs, raw frames per branch name: (batch, frames, width) each, of `front_end`.
            frames_mask: per branch name (batch, frames), True where valid.
            labels: (batch, 3) on the label scale; NaN where a clip has no rating.
            emotion_labels: (batch,) integer indices into `config.emotion_names`, -100 where a clip has none; or
                (batch, classes) floating-point shares of the graders' votes, a row of NaN where a clip has none.
            gender_labels: (batch,) integer indices into `config.gender_names`; -100 where it is not known.
            label_variances: (batch, 3), label-scale squared: population variance of the single grades whose mean is
                the label, 0 or NaN where there is one grade alone. For models that predict uncertainty.
            output_frame_logits: also return estimates at each frame; not for models that read text.
            return_dict: `False` returns a plain tuple.

        Raises:
            ValueError: neither or both kinds of input, wrong shapes, too short a clip, labels without a head.
        """
        if output_frame_logits:
            self._check_timed()
        inputs = (input_values, attention_mask, input_ids, text_attention_mask)
        hidden, embedding = self.regressor(*self._frames(inputs, frames, frames_mask))
        heads = self.regressor.heads(embedding)
        loss, loss_parts = self._loss(heads, labels, label_variances, emotion_labels, gender_labels)
        frame_logits = frame_mask = None
        if output_frame_logits:
            per_frame, frame_mask = self.regressor.per_frame(hidden)
            frame_logits = self._to_label_scale(per_frame)
        # all at once: a field that is set later would be last in the tuple
        output = AffectOutput(
            loss=loss,
            logits=self._to_label_scale(heads["unit"]),
            embedding=embedding,
            emotion_logits=heads["emotion"],
            gender_logits=heads["gender"],
            uncertainty=self._uncertainty(heads["log_std"]),
            frame_logits=frame_logits,
            frame_mask=frame_mask,
            loss_parts=loss_parts,
        )
        as_output = self.config.return_dict if return_dict is None else return_dict
        return output if as_output else output.to_tuple()

    def _check_timed(self):
        if self.config.reads_text:
            raise ValueError("tokens have no time: a model with a text branch has no estimates at each frame")

    def _frames(self, raw, frames, frames_mask):
        if all(part is None for part in raw) == (frames is None):
            kinds = ["input_values (a waveform)"] * self.config.reads_audio
            kinds += ["input_ids (a transcript)"] * self.config.reads_text
            raise ValueError(f"give either {' with '.join(kinds)} or frames (cached, per branch), not both")
        if frames is not None:
            return frames, frames_mask or {}
        if self.front_end is None:
            raise ValueError("this model was built with_front_end=False and takes frames only; attach_front_end first")
        return self.front_end(*raw)

    def _loss(self, heads, labels, label_variances, emotion_labels, gender_labels):
        # in evaluation processes see different numbers of batches: a collective would hang
        over_processes = self.training
        parts, total = {}, 0.0
        if labels is not None:
            targets = self._unit_targets(labels, heads["unit"])
            losses = ccc_losses(heads["unit"], targets, over_processes)
            parts.update(zip(self.config.id2label.values(), losses, strict=True))
            total = weighted_mean(losses, self.config.ccc_weights)
        second = {}
        if emotion_labels is not None:
            second["emotion"] = emotion_loss(self._needed(heads, "emotion"), emotion_labels, over_processes)
        if gender_labels is not None:
            logits = self._needed(heads, "gender")
            second["gender"] = class_loss(logits, gender_labels, over_processes, "gender_labels")
        variances = self._unit_variances(heads, labels, label_variances)
        if labels is not None and heads["log_std"] is not None:
            second["uncertainty"] = uncertainty_losses(
                heads["log_std"], heads["unit"], targets, variances, over_processes
            ).mean()
        for name, value in second.items():
            total = total + getattr(self.config, f"{name}_loss_weight") * value
        parts.update(second)
        return (total, parts) if parts else (None, None)

    def _needed(self, heads, name):
        if heads[name] is None:
            raise ValueError(f"{name}_labels given, but config.{name}_names is empty: this model has no classes")
        return heads[name]

    def _unit_targets(self, labels, unit):
        if labels.shape != unit.shape:
            raise ValueError(f"labels have shape {tuple(labels.shape)}; they must be {tuple(unit.shape)}")
        return self.to_unit_scale(labels.to(unit.dtype))

    def _unit_variances(self, heads, labels, label_variances):
        if label_variances is None:
            return None
        if labels is None or heads["log_std"] is None:
            raise ValueError(
                "label_variances are read beside labels, by a model with config.predict_uncertainty=True; here it is "
                f"{self.config.predict_uncertainty}, and labels are {'missing' if labels is None else 'given'}"
            )
        return label_variances.to(heads["unit"].dtype) / self._half_range**2

    def _uncertainty(self, log_std):
        if log_std is None:
            return None
        return log_std.exp() * self.regressor.uncertainty_scale * self._half_range

    @property
    def _half_range(self) -> float:
        low, high = self.config.label_range
        return (high - low) / 2

    def to_unit_scale(self, values: torch.Tensor) -> torch.Tensor:
        """From the label scale to -1..1."""
        low, high = self.config.label_range
        return (values - (high + low) / 2) / self._half_range

    def _to_label_scale(self, values: torch.Tensor) -> torch.Tensor:
        low, high = self.config.label_range
        values = values * self._half_range + (high + low) / 2
        return values if self.training else values.clamp(low, high)


class AffectFusionModel(AffectModel):
    """Activation, valence and dominance from one or several branches; the teacher. See [`AffectFusionConfig`]."""

    config_class = AffectFusionConfig
    # of the encoders, those that are fine-tuned
    supports_gradient_checkpointing = True
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
