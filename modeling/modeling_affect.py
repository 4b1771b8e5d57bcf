"""The fusion regressor and the student."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput, can_return_tuple

from .checks import (
    check_attention,
    check_finite,
    check_index,
    check_missing,
    check_output_names,
    check_unchanged,
    fixed_settings,
    own_config,
)
from .configuration_affect import AffectFusionConfig, AffectStudentConfig
from .encoder import SpeechEncoder, TextEncoder
from .front_end import AffectFrontEnd
from .losses import model_loss
from .regressor import AffectRegressor, BranchInput


if TYPE_CHECKING:  # read by transformers when it copies code beside a checkpoint: these files travel with the weights
    from .feature_extraction_affect import AffectFeatureExtractor  # noqa: F401
    from .pipeline_affect import SpeechEmotionRegressionPipeline  # noqa: F401
    from .processing_affect import AffectProcessor  # noqa: F401
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
    """Output of both models.

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when labels are given):
            Weighted mean of `1 - CCC` over the dimensions, plus the weighted losses of the other tasks whose labels
            are given.
        logits (`torch.FloatTensor` of shape `(batch, dimensions)`):
            The dimensions that `config.id2label` names, on the label scale, float32 in half precision too. The output
            is linear; in evaluation mode it is clipped to `config.label_range`, outside which no clip can be rated.
        embedding (`torch.FloatTensor` of shape `(batch, embedding_size)`): Utterance embedding, in (-1, 1).
        emotion_logits (`torch.FloatTensor` of shape `(batch, classes)`, *optional*):
            Of the emotion classes, when the model has them.
        gender_logits (`torch.FloatTensor` of shape `(batch, genders)`, *optional*):
            Of the speaker's gender, when the model has that task.
        uncertainty (`torch.FloatTensor` of shape `(batch, dimensions)`, *optional*):
            Standard deviation of the grades about `logits` that the model expects, on the label scale, greater than 0,
            when `config.predict_uncertainty`. Trained on single grades (`rating_variances`), it includes how far
            graders differ as well as the model's own error; once calibrated (`regressor.set_uncertainty_scale`), it
            is that of the labels it was calibrated on.
        frame_logits (`torch.FloatTensor` of shape `(batch, frames, dimensions)`, *optional*):
            Estimates at each frame, on the label scale as `logits`, when `output_frame_logits=True`; valid frames
            first, also where the input is padded on the left.
        frame_mask (`torch.BoolTensor` of shape `(batch, frames)`, *optional*): Which of those frames are valid.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*, when `output_hidden_states=True`):
            Output of each TC-GRU, of shape `(batch, frames, gru_hidden_size)`, valid frames first and zero where
            padded. There is one per branch, in their order, or a single one where `config.fusion_level` is `"frame"`.
        loss_parts (`dict[str, torch.FloatTensor]`, *optional*):
            `1 - CCC` of each dimension, NaN where fewer than two clips are rated in it; `emotion` and `gender`
            (cross-entropy) and `uncertainty` (negative log-likelihood, mean over the dimensions), before they are
            weighted.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    embedding: torch.FloatTensor | None = None
    emotion_logits: torch.FloatTensor | None = None
    gender_logits: torch.FloatTensor | None = None
    uncertainty: torch.FloatTensor | None = None
    frame_logits: torch.FloatTensor | None = None
    frame_mask: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    loss_parts: dict[str, torch.FloatTensor] | None = None


# beyond every encoder in use; `from_pretrained` builds models without memory first, and stops there
MAX_WEIGHTS = 10**10


class AffectPreTrainedModel(PreTrainedModel):
    """Weights, saving and loading, common to both models."""

    base_model_prefix = "affect"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    # older checkpoints hold the filterbanks, which are computed
    _keys_to_ignore_on_load_unexpected = (r"\.(mel_filterbank|log_mel)\.(window|filters)$",)
    # the losses are exact for a batch as it is: Trainer must not rescale them by processes or accumulation steps
    accepts_loss_kwargs = False

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        """Load a checkpoint as transformers does, from safetensors alone, and raise where transformers only warns.

        Missing weights start anew only where `config` or a setting given as an argument asks for more than the
        checkpoint's own `config.json`, such as a further task or branch; a warning of transformers names them. A
        further encoder has to be given, see [`attach_front_end`]. With `output_loading_info=True` all missing weights
        start anew, and are in the report.

        Raises:
            OSError: there are no weights but pickled ones.
            ValueError: a file that is no safetensors file or is cut off; weights that are missing, not finite, or of
                other shapes than the configuration's (unless `ignore_mismatched_sizes=True`); absurd sizes.
        """
        source, wants_info = pretrained_model_name_or_path, kwargs.pop("output_loading_info", False)
        ignores_shapes = kwargs.pop("ignore_mismatched_sizes", False)
        checked = {"use_safetensors": True, "weights_only": True, "ignore_mismatched_sizes": True}
        try:
            if source is not None:  # else the weights are given as `state_dict`, and the Hub would be asked for "None"
                check_index(source, kwargs)
            model, info = super().from_pretrained(
                source, *model_args, output_loading_info=True, **{**kwargs, **checked}
            )
        except (SafetensorError, json.JSONDecodeError, AttributeError, LookupError, TypeError) as error:
            if "keyword argument" in str(error):
                raise
            raise ValueError(
                f"{source}: its safetensors, their index or config.json is damaged ({error!r}); fetch it anew"
            ) from error
        if info["mismatched_keys"] and not ignores_shapes:
            name, saved, needed = min(info["mismatched_keys"])
            raise ValueError(
                f"{source}: {len(info['mismatched_keys'])} weights have other shapes than the configuration asks for, "
                f"such as {name}, {tuple(saved)} instead of {tuple(needed)}; give the configuration they were saved "
                "with, or ignore_mismatched_sizes=True to start those anew"
            )
        if model.front_end is not None:
            model.front_end.start_anew(info["missing_keys"] | {name for name, *_ in info["mismatched_keys"]})
            model.front_end.freeze(model.config)  # transformers makes the parameters anew
        own = model.config if source is None else own_config(model.config, source, kwargs)
        check_output_names(model.config, own, source)
        if wants_info:
            return model, info
        if info["missing_keys"] and source is not None:
            check_missing(info["missing_keys"], model.config, own, source)
        check_finite(model, source)
        return model

    def save_pretrained(self, save_directory, **kwargs):
        """As in transformers; the code of this package is copied beside the weights, for `trust_remote_code=True`."""
        self.config.check_settings()
        check_unchanged(self.regressor.built_with, fixed_settings(self.config))
        model = f"modeling_affect.{type(self).__name__}"
        self.config.auto_map = {
            "AutoConfig": f"configuration_affect.{self.config_class.__name__}",
            "AutoFeatureExtractor": "feature_extraction_affect.AffectFeatureExtractor",
            "AutoModel": model,
            "AutoModelForAudioClassification": model,
            "AutoProcessor": "processing_affect.AffectProcessor",
        }
        self.config.custom_pipelines = CUSTOM_PIPELINES
        try:
            super().save_pretrained(save_directory, **kwargs)
        finally:
            del self.config.custom_pipelines  # of the folder, not of the model
        if kwargs.get("is_main_process", True):  # safetensors lets only the owner read its files, whatever the umask
            for weights in Path(save_directory).glob("model*.safetensors"):
                shutil.copymode(Path(save_directory, "config.json"), weights)

    def set_attn_implementation(self, attn_implementation, *args, **kwargs):
        """As in transformers; a mapping may name encoders of the configuration alone."""
        check_attention(self.config, attn_implementation)
        super().set_attn_implementation(attn_implementation, *args, **kwargs)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            init.kaiming_uniform_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_ih"):
                    init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    init.orthogonal_(parameter)
                else:
                    init.zeros_(parameter)
        elif isinstance(module, (AffectRegressor, BranchInput)):
            module.reset_parameters()


class AffectModel(AffectPreTrainedModel):
    """Compute activation, valence and dominance from a waveform or cached frames: the base of both models.

    Args:
        config: the model's configuration.
        with_front_end: `False` leaves filterbanks and encoders out: such a model takes cached frames only, which is
            all that training a head on frozen encoders needs.
    """

    def __init__(self, config, with_front_end: bool = True):
        super().__init__(config)
        config.check_settings()
        self.front_end: Any = AffectFrontEnd(config) if with_front_end else None
        self.regressor = AffectRegressor(config)
        if self.num_parameters() > MAX_WEIGHTS:
            raise ValueError(
                f"this configuration asks for {self.num_parameters():.1e} weights, and {MAX_WEIGHTS:.0e} at most are "
                "allowed: its sizes are wrong"
            )
        self.post_init()

    @property
    def frame_hop_s(self) -> float:
        """Seconds between two frames of `frame_logits`; a `ValueError` for a model that reads text, which has none."""
        self._check_timed()
        return max(self.regressor.hidden_hops) / self.config.sampling_rate

    def attach_front_end(self, encoder_backbones: dict[str, nn.Module] | None = None) -> None:
        """Add the front end, with these pre-trained encoders, to a model that was built without one.

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

    def freeze_encoders(self, *names: str) -> None:
        """Train no weight of these encoders, or of all; they stay in evaluation mode, and a saved checkpoint says so.

        Args:
            names: as in `config.encoders`.

        Raises:
            ValueError: an encoder that the model does not have.
        """
        self._set_frozen(names, True)

    def unfreeze_encoders(self, *names: str) -> None:
        """Train the weights of these encoders, or of all; see [`freeze_encoders`]."""
        self._set_frozen(names, False)

    def _set_frozen(self, names: tuple[str, ...], frozen: bool) -> None:
        encoders = self.config.encoders
        for name in names or encoders:
            if name not in encoders:
                raise ValueError(f"there is no encoder {name!r:.200}; this model's encoders are {list(encoders)}")
            encoders[name].frozen = frozen
        if self.front_end is not None:
            self.front_end.freeze(self.config)

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        frames: dict[str, torch.Tensor] | None = None,
        frames_mask: dict[str, torch.Tensor] | None = None,
        labels: torch.Tensor | None = None,
        emotion_targets: torch.Tensor | None = None,
        gender_targets: torch.Tensor | None = None,
        rating_variances: torch.Tensor | None = None,
        rating_scales: torch.Tensor | None = None,
        output_frame_logits: bool = False,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> AffectOutput:
        """Predict from waveforms and transcripts, or from cached frames; with labels, compute the loss too.

        Args:
            input_values: (batch, samples), waveform at 16 kHz in [-1, 1].
            attention_mask: (batch, samples), 1 where valid; the rest is padding, before or after.
            input_ids: (batch, tokens), the transcripts as the encoder's tokenizer gives them; for models that read
                text. One whose branches all do needs no `input_values`.
            text_attention_mask: (batch, tokens), the tokenizer's `attention_mask`: 1 where valid, padding on one side.
            frames: instead of these inputs, or beside them for some branches alone, raw frames per branch name:
                (batch, frames, width) each, of `front_end`.
            frames_mask: per branch name (batch, frames), True where valid; the rest is padding, before or after.
            labels: (batch, dimensions) in the order of `config.id2label`, within `config.label_range`; NaN where a
                clip has no rating.
            emotion_targets: (batch,) integer indices into `config.emotion_names`, -100 where a clip has none; or
                (batch, classes) floating-point shares of the graders' votes, a row of NaN where a clip has none.
            gender_targets: (batch,) integer indices into `config.gender_names`; -100 where it is not known.
            rating_variances: (batch, dimensions), label-scale squared: population variance of the single grades whose
                mean is the label, 0 or NaN where there is one grade alone. For models that predict uncertainty.
            rating_scales: (batch,) integer index of the scale that each clip was rated on, such as of its corpus: no
                CCC is taken over clips of different scales. By default all are on one.
            output_frame_logits: also return estimates at each frame; not for models that read text.
            output_hidden_states: also return the outputs of the TC-GRUs; by default as `config.output_hidden_states`.
            output_attentions: refused, as TC-GRUs have none.

        Returns:
            [`AffectOutput`], or a plain tuple with `return_dict=False`.

        Raises:
            ValueError: no input, or both kinds for all branches, wrong shapes, too short a clip, labels out of range
                or targets without a head; `output_attentions=True`.
        """
        self._check_outputs(output_frame_logits, output_attentions)
        inputs = (input_values, attention_mask, input_ids, text_attention_mask)
        hidden, embedding = self.regressor(*self._frames(inputs, frames, frames_mask))
        heads = self.regressor.heads(embedding)
        # in evaluation processes have different numbers of batches: they would wait for each other
        loss, loss_parts = model_loss(
            self.config, heads, labels, rating_variances, emotion_targets, gender_targets, rating_scales, self.training
        )
        outputs = {**self.estimates(heads), **self._sequences(hidden, output_frame_logits, output_hidden_states)}
        # all at once: a field that is set later would be last in the tuple
        return AffectOutput(loss=loss, embedding=embedding, loss_parts=loss_parts, **outputs)

    def _check_outputs(self, output_frame_logits, output_attentions) -> None:
        if output_frame_logits:
            self._check_timed()
        if self.config.output_attentions if output_attentions is None else output_attentions:
            raise ValueError(
                "output_attentions is True, but TC-GRUs have none; leave it out, or call an encoder by itself: "
                "model.front_end.encoders[name].backbone(..., output_attentions=True)"
            )

    def estimates(self, heads: dict) -> dict[str, torch.Tensor | None]:
        """Bring the outputs of [`AffectRegressor.heads`] to the label scale, by their names in [`AffectOutput`]."""
        estimates = {f"{name}_logits": heads[name] for name in ("emotion", "gender")}
        if heads["log_std"] is not None:
            low, high = self.config.label_range
            estimates["uncertainty"] = heads["log_std"].exp() * self.regressor.uncertainty_scale * ((high - low) / 2)
        return {"logits": self._to_label_scale(heads["unit"]), **estimates}

    def _sequences(self, hidden: list, output_frame_logits, output_hidden_states) -> dict[str, Any]:
        sequences: dict[str, Any] = {}
        if output_frame_logits:
            per_frame, sequences["frame_mask"] = self.regressor.per_frame(hidden)
            sequences["frame_logits"] = self._to_label_scale(per_frame)
        if self.config.output_hidden_states if output_hidden_states is None else output_hidden_states:
            sequences["hidden_states"] = tuple(sequence for sequence, _ in hidden)
        return sequences

    def _check_timed(self):
        if self.config.reads_text:
            raise ValueError("tokens have no time: a model with a text branch has no estimates at each frame")

    def _frames(self, raw, frames, frames_mask):
        is_raw, cached = any(part is not None for part in raw), frames or {}
        if all(name in cached for name in self.regressor.names) if is_raw else frames is None:
            kinds = ["input_values (a waveform)"] * self.config.reads_audio
            kinds += ["input_ids (a transcript)"] * self.config.reads_text
            raise ValueError(f"give either {' with '.join(kinds)} or frames (cached, per branch), not both")
        if not is_raw:
            return self.regressor.checked_frames(cached, frames_mask or {})
        if self.front_end is None:
            raise ValueError("this model was built with_front_end=False and takes frames only; attach_front_end first")
        computed, masks = self.front_end(*raw, given=cached)
        if not cached:
            return computed, masks
        return self.regressor.checked_frames({**cached, **computed}, {**(frames_mask or {}), **masks})

    def _to_label_scale(self, values: torch.Tensor) -> torch.Tensor:
        low, high = self.config.label_range
        values = values * ((high - low) / 2) + (high + low) / 2
        return values if self.training else values.clamp(low, high)


class AffectFusionModel(AffectModel):
    """Activation, valence and dominance from one or several branches; the teacher. See [`AffectFusionConfig`]."""

    config_class = AffectFusionConfig
    # of the encoders, those that are fine-tuned
    supports_gradient_checkpointing = True


class AffectStudentModel(AffectModel):
    """Activation, valence and dominance from low-level features alone. See [`AffectStudentConfig`]."""

    config_class = AffectStudentConfig
