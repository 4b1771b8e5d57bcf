"""Configurations of an encoder, of a branch, and of both models: the fusion regressor and the student."""

# as texts: if it saw the types, huggingface_hub's strict dataclass would raise its own error before ours
from __future__ import annotations

import math
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import FEATURE_EXTRACTOR_MAPPING, MODEL_MAPPING, AutoConfig, __version__
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from .checks import (
    BRANCH_LIMITS,
    MAX_BRANCHES,
    check_backbone,
    check_encoder_names,
    check_frame_grid,
    check_head,
    check_head_size,
    check_labels,
    check_second_tasks,
    check_transformers_settings,
    check_whole_numbers,
    name_outputs,
)


DIMENSIONS = ("activation", "valence", "dominance")
ACOUSTIC_SOURCES = ("mfb", "mfb_f0")
# of transformers, for settings that make no configuration
_CONFIG_ERRORS = (StrictDataclassError, AttributeError, LookupError, OverflowError, TypeError)


class _PartConfig:
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
            raise ValueError(f"backbone is no configuration of transformers: {_one_line(error)}") from error
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
    conv_kernel_size: int = 9
    conv_stride: int = 8

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if not isinstance(self.source, str):
            raise ValueError(f"source of a branch is {self.source!r}; give a name")
        is_index = isinstance(self.hidden_state, int) and not isinstance(self.hidden_state, bool)
        if not is_index and self.hidden_state not in ("last", "weighted_sum"):
            raise ValueError(
                f"hidden_state is {self.hidden_state!r}; allowed are 'last', 'weighted_sum' or the index of one"
            )
        check_whole_numbers(self, BRANCH_LIMITS)

    @property
    def is_acoustic(self) -> bool:
        """Whether the frames are computed from the waveform, with no encoder."""
        return self.source in ACOUSTIC_SOURCES

    @property
    def name(self) -> str:
        """The branch's name, as cached frames and weights are keyed by it (no dots: it names a module)."""
        return self.source if self.is_acoustic else f"{self.source}-{self.hidden_state}"


@strict
class AffectConfig(PreTrainedConfig):
    r"""
    What the configurations of both models share: labels, second tasks, sizes of the head, and SpecAugment.

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
        ccc_weights (`tuple[float, float, float]`, *optional*, defaults to (1.0, 1.0, 1.0)):
            Weights of activation, valence and dominance in the loss; they are divided by their sum.
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
    ccc_weights: list[float] | tuple[float, ...] = (1.0, 1.0, 1.0)
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
        check_transformers_settings(self, kwargs, DIMENSIONS)
        name_outputs(self, DIMENSIONS)
        self._make_parts()
        super().__post_init__(**kwargs)
        check_labels(self, DIMENSIONS)
        check_second_tasks(self)
        check_head(self)
        self._check_branches()
        check_head_size(self)

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As in transformers; where this package is installed, its own pipeline is taken, not a folder's."""
        if __package__ == "speech_affect":  # with the entry transformers would ask for trust_remote_code
            config_dict = {key: value for key, value in config_dict.items() if key != "custom_pipelines"}
        try:
            return super().from_dict(config_dict, **kwargs)
        except _CONFIG_ERRORS as error:
            raise ValueError(f"this is no configuration of {cls.model_type}: {_one_line(error)}") from error

    def _check_branches(self) -> None:
        for branch in self.branches:
            check_frame_grid(branch, self.sampling_rate)

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

    def _make_parts(self) -> None:
        if not isinstance(self.branches or [], (list, tuple)) or len(self.branches or []) > MAX_BRANCHES:
            raise ValueError(f"branches is {self.branches!s:.200}; give a list of up to {MAX_BRANCHES} branches")
        check_encoder_names(self, ACOUSTIC_SOURCES)
        self.encoders = {key: _as_config(value, AffectEncoderConfig) for key, value in (self.encoders or {}).items()}
        self.branches = [_as_config(branch, AffectBranchConfig) for branch in self.branches or [{"source": "mfb"}]]

    def _check_branches(self) -> None:
        if self.fusion_level not in ("embedding", "frame"):
            raise ValueError(f"fusion_level is {self.fusion_level!r}; allowed are 'embedding' and 'frame'")
        names = [branch.name for branch in self.branches]
        if len(set(names)) != len(names):
            raise ValueError(f"branches repeat: {names}; give each source and hidden state once")
        super()._check_branches()
        for branch in self.branches:
            if branch.is_acoustic:
                continue
            if branch.source not in self.encoders:
                allowed = ", ".join([*ACOUSTIC_SOURCES, *self.encoders])
                raise ValueError(f"branch source {branch.source!r} is unknown; allowed are {allowed}")
            layers = self.encoders[branch.source].backbone.num_hidden_layers
            if isinstance(branch.hidden_state, int) and not 0 <= branch.hidden_state <= layers:
                raise ValueError(
                    f"hidden_state {branch.hidden_state} of {branch.source!r} does not exist: it has 0 to {layers}"
                )
        texts = [name for name, encoder in self.encoders.items() if encoder.is_text]
        if len(texts) > 1:
            raise ValueError(f"text encoders are {texts}; give one at most: input_ids are tokens of one tokenizer")
        if self.reads_text and self.fusion_level == "frame":
            raise ValueError("fusion_level is 'frame', but tokens of a text branch have no time; choose 'embedding'")

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

    def _make_parts(self) -> None:
        self.branch = _as_config({} if self.branch is None else self.branch, AffectBranchConfig)

    def _check_branches(self) -> None:
        if not self.branch.is_acoustic:
            raise ValueError(
                f"a student reads low-level features only: branch.source is {self.branch.source!r}, "
                f"allowed are {', '.join(ACOUSTIC_SOURCES)}"
            )
        super()._check_branches()

    @property
    def branches(self) -> list[AffectBranchConfig]:
        return [self.branch]

    @property
    def encoders(self) -> dict[str, AffectEncoderConfig]:
        return {}

    @property
    def fusion_level(self) -> str:
        return "embedding"


def _one_line(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"


def _as_config(value, config_class):
    # by model_type, not isinstance: remote code can load one class twice under two module names
    if isinstance(value, PreTrainedConfig) and value.model_type == config_class.model_type:
        return value
    if not isinstance(value, dict):
        given = type(value).__name__ if isinstance(value, PreTrainedConfig) else f"{value!r:.200}"
        raise ValueError(f"expected an {config_class.__name__} or a dict, got {given}")
    return config_class(**{key: entry for key, entry in value.items() if key != "model_type"})
