"""Configurations of an encoder, of a branch, and of both models: the fusion regressor and the student."""

# as texts: if it saw the types, huggingface_hub's strict dataclass would raise its own error before ours
from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import FEATURE_EXTRACTOR_MAPPING, MODEL_MAPPING, AutoConfig, __version__
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from .audio_file import one_line
from .checks import (
    ACOUSTIC_SOURCES,
    MAX_BRANCHES,
    as_config,
    check_attention,
    check_backbone,
    check_branches,
    check_encoder_names,
    check_head_size,
    check_losses,
    check_other_settings,
    check_setting,
    index_of_outputs,
    merged,
    names_of_outputs,
)


# of transformers, for settings that make no configuration
_CONFIG_ERRORS = (StrictDataclassError, AttributeError, LookupError, OverflowError, TypeError)


class _CheckedConfig:
    """Settings are checked one by one when they are set."""

    attribute_map: ClassVar[dict[str, str]]

    def __setattr__(self, key, value):
        key = self.attribute_map.get(key, key)
        check_setting(key, value)
        super().__setattr__(key, value)


class _PartConfig(_CheckedConfig):
    """A part of a model's configuration: its JSON holds its own fields alone."""

    model_type: ClassVar[str]

    def to_dict(self) -> dict:
        part = {name: getattr(self, name) for name in type(self).__annotations__}
        part = {k: v.to_dict() if isinstance(v, PreTrainedConfig) else v for k, v in part.items()}
        return {"model_type": self.model_type, "transformers_version": __version__, **part}


@strict
class AffectEncoderConfig(_PartConfig, PreTrainedConfig):
    r"""
    A pre-trained encoder of transformers, of speech or of text, and how its input is prepared.

    Args:
        backbone (`dict` or `PreTrainedConfig`, *optional*):
            The encoder's own configuration; any speech encoder of transformers (HuBERT, wav2vec 2.0, WavLM,
            data2vec-audio, Whisper, wav2vec2-BERT, ...) or any text encoder (RoBERTa, BERT, DeBERTa, DistilBERT, ...),
            which reads the transcript. Defaults to HuBERT base.
        do_normalize (`bool`, *optional*, defaults to `False`):
            Give each waveform, or each 30 s of a longer one, zero mean and unit variance, as `do_normalize` of the
            encoder's own `preprocessor_config.json` says. Read for encoders that take the raw waveform.
        pad_to_window (`bool`, *optional*, defaults to `True`):
            Whisper: pad each clip to its 30 s, as in transformers. `False` runs the clip as long as it is, which costs
            a tenth for a clip of 3 s and gives slightly different frames. Read for Whisper alone.
        frozen (`bool`, *optional*, defaults to `True`):
            Train none of its weights, and keep it in evaluation mode. `freeze_encoders` and `unfreeze_encoders` of a
            model change it. Encoders are trained without LayerDrop.
    """

    model_type = "speech_affect_encoder"
    sub_configs_defaults = {"backbone": SubConfigSpec(config_class=AutoConfig, model_type="hubert")}  # noqa: RUF012

    backbone: Any = None
    do_normalize: bool = False
    pad_to_window: bool = True
    frozen: bool = True

    def __post_init__(self, **kwargs):
        check_backbone(self.backbone)
        try:
            super().__post_init__(**kwargs)
        except (ValueError, *_CONFIG_ERRORS) as error:
            raise ValueError(f"backbone is no configuration of transformers: {one_line(error)}") from error
        if self.is_text and self.backbone.is_encoder_decoder:
            raise ValueError(
                f"the text encoder {self.backbone.model_type} has a decoder too, which no branch reads; "
                "give an encoder, such as RoBERTa"
            )

    @property
    def is_text(self) -> bool:
        """Whether the encoder reads the tokens of a transcript, as its model in transformers says."""
        model = MODEL_MAPPING.get(type(self.backbone), None)
        model = model[0] if isinstance(model, (list, tuple)) else model
        if model is None or type(self.backbone) in FEATURE_EXTRACTOR_MAPPING:
            return False  # some models of audio count as text, but have a feature extractor
        return model.main_input_name == "input_ids" and model.input_modalities in ("text", ("text",), ["text"])


@strict
class AffectBranchConfig(_PartConfig, PreTrainedConfig):
    r"""
    One branch: where its frames come from.

    Args:
        source (`str`, *optional*, defaults to `"mfb"`):
            `"mfb"` (log mel-filterbank energies), `"mfb_f0"` (the same with pitch, pitch delta and voicing), or the
            name of an encoder in the model's `encoders`.
        hidden_state (`int` or `str`, *optional*, defaults to `"last"`):
            For an encoder: `"last"` (its output), the index of a hidden state (0 is the input to the first layer),
            or `"weighted_sum"` (learned weights over all of them).
        num_mel_bins (`int`, *optional*, defaults to 40): Mel bands of the acoustic sources.
        window_s (`float`, *optional*, defaults to 0.025): Analysis window of the acoustic sources, in seconds.
        hop_s (`float`, *optional*, defaults to 0.010): Hop of the acoustic sources, in seconds.
        normalization (`str`, *optional*):
            `"running"` subtracts from each mel band its mean over the frames so far, the present one included.
        conv_kernel_size (`int`, *optional*, defaults to 9):
            Frames that the branch's time convolution sees, the present one and those before it.
        conv_stride (`int`, *optional*, defaults to 8): Stride of the time convolution, in frames.

    The convolution's defaults suit frames 10 ms apart; for tokens of a text encoder 3 and 1 do.
    """

    model_type = "speech_affect_branch"

    source: str = "mfb"
    hidden_state: int | str = "last"
    num_mel_bins: int = 40
    window_s: float = 0.025
    hop_s: float = 0.010
    normalization: str | None = None
    conv_kernel_size: int = 9
    conv_stride: int = 8

    @property
    def is_acoustic(self) -> bool:
        """Whether the frames are computed from the waveform, with no encoder."""
        return self.source in ACOUSTIC_SOURCES

    @property
    def name(self) -> str:
        """The branch's name, as cached frames and weights are keyed by it (no dots: it names a module)."""
        kind = self.normalization if self.is_acoustic else self.hidden_state
        return self.source if kind is None else f"{self.source}-{kind}"


@strict
class AffectConfig(_CheckedConfig, PreTrainedConfig):
    r"""
    What the configurations of both models share: labels, second tasks, sizes of the head, and SpecAugment.

    Each setting is checked when it is set, and all together when the configuration or a model of it is made or saved.
    `id2label` names the outputs, in the order of the weights: any of activation, valence and dominance.

    Args:
        emotion_names (`list[str]`, *optional*): Classes of a second task, emotion. Without them there is no such task.
        emotion_loss_weight (`float`, *optional*, defaults to 0.2): Weight of the classes' cross-entropy in `loss`.
        gender_names (`list[str]`, *optional*):
            Classes of a further task, the speaker's gender. Without them there is no such task.
        gender_loss_weight (`float`, *optional*, defaults to 0.1): Weight of their cross-entropy in `loss`.
        predict_uncertainty (`bool`, *optional*, defaults to `False`):
            Also predict a standard deviation for each dimension of each clip.
        uncertainty_loss_weight (`float`, *optional*, defaults to 0.1):
            Weight of its negative log-likelihood in `loss`; greater than 0 where it is predicted.
        label_range (`tuple[float, float]`, *optional*, defaults to (1.0, 7.0)): Lowest and highest label.
        ccc_weights (`tuple[float, ...]`, *optional*):
            Weights of the outputs in the loss, which are divided by their sum. Without them all weigh the same.
        conv_channels (`int`, *optional*, defaults to 128): Channels of the time convolution.
        gru_hidden_size (`int`, *optional*, defaults to 128): Width of each GRU layer.
        num_gru_layers (`int`, *optional*, defaults to 2): Number of GRU layers.
        embedding_size (`int`, *optional*, defaults to 128): Width of the utterance embedding.
        dropout (`float`, *optional*, defaults to 0.2): Dropout on frames and on the pooled vector, in training.
        mask_time_prob (`float`, *optional*, defaults to 0.0):
            Share of each clip's frames that is masked in training, in stretches (SpecAugment).
        mask_time_length (`int`, *optional*, defaults to 10): Frames in a masked stretch.
        mask_feature_prob (`float`, *optional*, defaults to 0.0): Share of a frame's features that is masked, in bands.
        mask_feature_length (`int`, *optional*, defaults to 4): Features in a masked band.
        sampling_rate (`int`, *optional*, defaults to 16000): Rate of `input_values` in hertz; the only one allowed.
    """

    attribute_map = {"hidden_size": "embedding_size"}  # noqa: RUF012
    keys_to_ignore_at_inference = [  # noqa: RUF012
        "embedding",
        "frame_logits",
        "frame_mask",
        "hidden_states",
        "loss_parts",
    ]

    emotion_names: list[str] | tuple[str, ...] | None = None
    emotion_loss_weight: float = 0.2
    gender_names: list[str] | tuple[str, ...] | None = None
    gender_loss_weight: float = 0.1
    predict_uncertainty: bool = False
    uncertainty_loss_weight: float = 0.1
    label_range: list[float] | tuple[float, ...] = (1.0, 7.0)
    ccc_weights: list[float] | tuple[float, ...] | None = None
    conv_channels: int = 128
    gru_hidden_size: int = 128
    num_gru_layers: int = 2
    embedding_size: int = 128
    dropout: float = 0.2
    mask_time_prob: float = 0.0
    mask_time_length: int = 10
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 4
    sampling_rate: int = 16000

    def __post_init__(self, **kwargs):
        check_other_settings(self, kwargs)
        super().__post_init__(**kwargs)
        self.check_settings()

    def __setattr__(self, key, value):
        if key == "id2label":
            value = names_of_outputs(value)
            super().__setattr__("label2id", index_of_outputs(None, value))
        elif key == "label2id":
            value = index_of_outputs(value, self.id2label)
        elif key == "problem_type":
            value = value or "regression"
        elif key == "_attn_implementation":
            check_attention(self, value)
        super().__setattr__(key, value)

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As in transformers; where this package is installed, its own pipeline is taken, not a folder's."""
        try:
            config_dict = dict(config_dict)
            if __package__ == "speech_affect":  # with the entry transformers would ask for trust_remote_code
                config_dict.pop("custom_pipelines", None)
            if "id2label" in kwargs:
                config_dict.pop("label2id", None)
            # together, not one after the other: two settings can allow each other
            for name in {field.name for field in fields(cls)} & (set(kwargs) - {"dtype"}):
                config_dict[name] = merged(name, config_dict.get(name), kwargs.pop(name))
            return super().from_dict(config_dict, **kwargs)
        except _CONFIG_ERRORS as error:
            raise ValueError(f"this is no configuration of {cls.model_type}: {one_line(error)}") from error

    def save_pretrained(self, save_directory, *args, **kwargs):
        """As in transformers, after a check of all settings: what is saved can be loaded."""
        self.check_settings()
        super().save_pretrained(save_directory, *args, **kwargs)

    def check_settings(self) -> None:
        """Raise a `ValueError` unless all settings are allowed, by themselves and together."""
        for field in fields(self):  # lists and mappings can have been changed since they were set
            setattr(self, field.name, getattr(self, field.name))
        check_losses(self)
        check_branches(self)
        check_head_size(self)

    @property
    def outputs(self) -> dict:
        """What a model returns: names in the order of the weights, by their settings, and whether uncertainty."""
        names = {name: list(getattr(self, name) or ()) for name in ("emotion_names", "gender_names")}
        names["id2label"] = list(self.id2label.values())
        return {**names, "predict_uncertainty": self.predict_uncertainty}

    def is_text_branch(self, branch: AffectBranchConfig) -> bool:
        """Whether the branch reads the transcript."""
        return not branch.is_acoustic and self.encoders[branch.source].is_text

    @property
    def reads_text(self) -> bool:
        """Whether any branch reads the transcript."""
        return any(self.is_text_branch(branch) for branch in self.branches)

    @property
    def reads_audio(self) -> bool:
        """Whether any branch reads the waveform."""
        return not all(self.is_text_branch(branch) for branch in self.branches)

    def branch_hop(self, branch: AffectBranchConfig) -> int | None:
        """Samples between two frames of a branch, before its time convolution; None for tokens, which have no time."""
        if branch.is_acoustic:
            return round(branch.hop_s * self.sampling_rate)
        return None if self.is_text_branch(branch) else encoder_hop(self.encoders[branch.source].backbone)

    def branch_states(self, branch: AffectBranchConfig) -> int:
        """Hidden states that lie side by side in a raw frame of a branch: 1 unless it is a weighted sum."""
        if branch.is_acoustic or branch.hidden_state != "weighted_sum":
            return 1
        return self.encoders[branch.source].backbone.num_hidden_layers + 1

    def branch_width(self, branch: AffectBranchConfig) -> int:
        """Numbers in one raw frame of a branch, those of all hidden states for a weighted sum."""
        if branch.is_acoustic:
            return branch.num_mel_bins + (3 if branch.source == "mfb_f0" else 0)
        return self.encoders[branch.source].backbone.hidden_size * self.branch_states(branch)


def encoder_hop(backbone: PreTrainedConfig) -> int:
    """Samples (at 16 kHz) between two frames of an encoder: 320 unless its configuration gives `conv_stride`."""
    return math.prod(getattr(backbone, "conv_stride", None) or (320,))


@strict
class AffectFusionConfig(AffectConfig):
    r"""
    A regressor over one or several branches. With the single branch `mfb` it is the acoustic baseline; with a single
    encoder branch a model over one representation; with several, a fusion.

    Args:
        branches (`list[dict | AffectBranchConfig]`, *optional*): Defaults to one `mfb` branch.
        encoders (`dict[str, dict | AffectEncoderConfig]`, *optional*):
            The encoders that branches name as their `source`; each runs once however many branches read it. To
            transformers each backbone is a sub-configuration by the encoder's name, as in
            `attn_implementation={"hubert": "eager"}`.
        fusion_level (`str`, *optional*, defaults to `"embedding"`):
            `"embedding"`: a TC-GRU per branch, joined after pooling. `"frame"`: frames are joined, one TC-GRU.

    The other arguments are those of [`AffectConfig`].
    """

    model_type = "speech_affect_fusion"

    branches: Any = None
    encoders: Any = None
    fusion_level: str = "embedding"

    @property
    def sub_configs(self) -> dict[str, type[PreTrainedConfig]]:
        """Class of each encoder's backbone, by the encoder's name: an attribute of that name is the backbone."""
        return {name: type(encoder.backbone) for name, encoder in self.encoders.items()}

    def __getattr__(self, name: str):
        encoders = self.__dict__.get("encoders")
        if isinstance(encoders, dict) and isinstance(encoders.get(name), PreTrainedConfig):
            return encoders[name].backbone
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, key, value):
        if key == "branches":
            if not isinstance(value or [], (list, tuple)) or len(value or []) > MAX_BRANCHES:
                raise ValueError(f"branches is {value!s:.200}; give a list of up to {MAX_BRANCHES} branches")
            value = [as_config(branch, AffectBranchConfig) for branch in value or [{"source": "mfb"}]]
        elif key == "encoders":
            check_encoder_names(self, value or {})
            value = {name: as_config(encoder, AffectEncoderConfig) for name, encoder in (value or {}).items()}
        elif key in self.__dict__.get("encoders", ()):
            self.encoders[key].backbone = value
            return
        super().__setattr__(key, value)

    def to_dict(self) -> dict:
        output = super().to_dict()
        output["branches"] = [branch.to_dict() for branch in self.branches]
        output["encoders"] = {key: encoder.to_dict() for key, encoder in self.encoders.items()}
        for part in (*output["branches"], *output["encoders"].values()):
            del part["transformers_version"]  # once, at the top
        return output


@strict
class AffectStudentConfig(AffectConfig):
    r"""
    A regressor on low-level features alone: the head of [`AffectFusionConfig`] over one acoustic branch.

    Args:
        branch (`dict` or `AffectBranchConfig`, *optional*): `mfb` (default) or `mfb_f0`.

    The other arguments are those of [`AffectConfig`].
    """

    model_type = "speech_affect_student"

    branch: Any = None

    def __setattr__(self, key, value):
        if key == "branch":
            value = as_config({} if value is None else value, AffectBranchConfig)
        super().__setattr__(key, value)
        if key == "_attn_implementation":
            self.branch._attn_implementation = self._attn_implementation  # as transformers does for each part

    @property
    def branches(self) -> list[AffectBranchConfig]:
        return [self.branch]

    @property
    def encoders(self) -> dict[str, AffectEncoderConfig]:
        return {}

    @property
    def fusion_level(self) -> str:
        return "embedding"
