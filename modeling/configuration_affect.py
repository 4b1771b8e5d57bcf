"""Configurations: one branch, one encoder, the fusion regressor and the student."""

from __future__ import annotations

import math

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import FEATURE_EXTRACTOR_MAPPING, MODEL_MAPPING, AutoConfig, __version__
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from .configuration_checks import (
    BRANCH_LIMITS,
    HEAD_LIMITS,
    LONGEST_WINDOW_S,
    MOST_BRANCHES,
    MOST_CLASSES,
    are_numbers,
    check_backbone,
    check_dtype,
    check_flags,
    check_numbers,
    check_whole_numbers,
    is_number,
)


DIMENSIONS = ("activation", "valence", "dominance")
ACOUSTIC_SOURCES = ("mfb", "mfb_f0")
# what transformers says, in many lines or none, of settings it cannot make a configuration of
_UNFIT = (StrictDataclassError, AttributeError, LookupError, OverflowError, TypeError)


class _PartConfig:
    """A part of a model's configuration: its JSON holds its own fields alone."""

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
            Keep the encoder in evaluation mode without gradients. `False` fine-tunes it.
    """

    model_type = "speech_affect_encoder"
    sub_configs_defaults = {"backbone": SubConfigSpec(config_class=AutoConfig, model_type="hubert")}  # noqa: RUF012

    backbone: dict | PreTrainedConfig | None = None
    do_normalize: bool = False
    pad_to_window: bool = True
    frozen: bool = True

    def __post_init__(self, **kwargs):
        check_backbone(self.backbone)
        try:
            super().__post_init__(**kwargs)
        except (ValueError, *_UNFIT) as error:
            raise ValueError(f"backbone is no configuration of transformers: {_one_line(error)}") from error
        check_flags(self, ("do_normalize", "pad_to_window", "frozen"))
        if self.is_text and self.backbone.is_encoder_decoder:
            raise ValueError(
                f"the text encoder {self.backbone.model_type} has a decoder too, which nothing here would run; "
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
        numbers = is_number(self.hop_s) and is_number(self.window_s)
        if not numbers or not 0 < self.hop_s <= self.window_s <= LONGEST_WINDOW_S:
            raise ValueError(
                f"window_s is {self.window_s} and hop_s {self.hop_s}; both are seconds, with 0 < hop_s <= window_s "
                f"and window_s up to {LONGEST_WINDOW_S:g}"
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


class _AffectConfigMixin:
    """What both models' configurations share: label scale, dimension names and checks of the head's sizes."""

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As in transformers; where this package is installed, its own pipeline is taken, not a folder's."""
        if __package__ == "speech_affect":  # with the entry transformers would ask for trust_remote_code
            config_dict = {key: value for key, value in config_dict.items() if key != "custom_pipelines"}
        try:
            return super().from_dict(config_dict, **kwargs)
        except _UNFIT as error:
            raise ValueError(f"this is no configuration of {cls.model_type}: {_one_line(error)}") from error

    def _check_parents(self, kwargs: dict):
        """What PreTrainedConfig would take at its word: any name in torch as a dtype, values in place of methods."""
        if kwargs.get("num_labels", len(DIMENSIONS)) != len(DIMENSIONS):
            raise ValueError(
                f"num_labels is {kwargs['num_labels']!r:.200}; the outputs are {', '.join(DIMENSIONS)}: leave it out"
            )
        for dtype in (self.dtype, kwargs.get("torch_dtype")):
            check_dtype(dtype)
        for name in kwargs:
            if callable(getattr(type(self), name, None)):
                raise ValueError(f"{name!r} is no setting of {self.model_type}: leave it out")

    def _name_dimensions(self):
        if not isinstance(self.id2label or {}, dict):
            raise ValueError(
                f"id2label is {self.id2label!r:.200}; give a mapping of 0, 1, 2 to {', '.join(DIMENSIONS)}"
            )
        # PreTrainedConfig would fill in two LABEL_i
        if self.id2label is None:
            self.id2label = dict(enumerate(DIMENSIONS))
            self.label2id = {name: index for index, name in self.id2label.items()}
        self.problem_type = self.problem_type or "regression"

    def _check_head(self):
        if not are_numbers(self.label_range, 2) or not 0 < self.label_range[1] - self.label_range[0] < math.inf:
            raise ValueError(
                f"label_range is {self.label_range}; it must be (lowest, highest), lowest first, both finite"
            )
        if list((self.id2label or {}).values()) != list(DIMENSIONS):
            given = f"{self.id2label!s:.200}"
            raise ValueError(f"id2label is {given}; the outputs are {', '.join(DIMENSIONS)}, in this order")
        weights = self.ccc_weights
        if not are_numbers(weights, len(DIMENSIONS)) or min(weights) < 0 or not 0 < sum(weights) < math.inf:
            raise ValueError(f"ccc_weights is {self.ccc_weights}; give one weight >= 0 for each of {DIMENSIONS}")
        check_whole_numbers(self, HEAD_LIMITS)
        check_numbers(self, ("dropout", "mask_time_prob", "mask_feature_prob"), 0, 1, "in [0, 1)")
        self._check_second_tasks()

    def _check_second_tasks(self):
        for name in ("emotion_names", "gender_names"):
            names = getattr(self, name)
            if names is None:
                continue
            texts = isinstance(names, (list, tuple)) and all(isinstance(text, str) and text for text in names)
            if not texts or len(names) > MOST_CLASSES:
                raise ValueError(f"{name} is {names!s:.200}; give a list of up to {MOST_CLASSES} names")
            if len(set(names)) != len(names):
                raise ValueError(f"{name} repeat: {names}; give each class once")
        weights = ("emotion_loss_weight", "gender_loss_weight", "uncertainty_loss_weight")
        check_numbers(self, weights, 0, math.inf, "finite and at least 0")
        check_flags(self, ("predict_uncertainty",))
        if self.predict_uncertainty and not self.uncertainty_loss_weight:
            raise ValueError(
                "uncertainty_loss_weight is 0 with predict_uncertainty=True, which would leave the predicted standard "
                "deviations untrained; give a weight greater than 0, or predict_uncertainty=False"
            )

    def _check_branch(self, branch: AffectBranchConfig):
        if branch.is_acoustic:
            for name in ("window_s", "hop_s"):
                samples = getattr(branch, name) * self.sampling_rate
                if samples % 1 > 1e-6 or samples < 1:
                    raise ValueError(f"{name} of branch {branch.name!r} is no whole number of samples")

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
        if self.is_text_branch(branch):
            return None
        return encoder_hop(self.encoders[branch.source].backbone)

    def branch_width(self, branch: AffectBranchConfig) -> int:
        """Numbers in one raw frame of a branch; all hidden states side by side for a weighted sum."""
        if branch.is_acoustic:
            return branch.num_mel_bins + (3 if branch.source == "mfb_f0" else 0)
        backbone = self.encoders[branch.source].backbone
        states = backbone.num_hidden_layers + 1 if branch.hidden_state == "weighted_sum" else 1
        return backbone.hidden_size * states


def encoder_hop(backbone: PreTrainedConfig) -> int:
    """Samples (at 16 kHz) between two frames of an encoder: 320 for all families in use, read where it is stated."""
    hop = 1
    for stride in getattr(backbone, "conv_stride", None) or (320,):
        hop *= stride
    return hop


@strict
class AffectFusionConfig(_AffectConfigMixin, PreTrainedConfig):
    r"""
    A regressor over one or several branches. With the single branch `mfb` it is the acoustic baseline; with a single
    encoder branch a model over one representation; with several, a fusion.

    Args:
        branches (`list[dict | AffectBranchConfig]`, *optional*): Defaults to one `mfb` branch.
        encoders (`dict[str, dict | AffectEncoderConfig]`, *optional*):
            The encoders that branches name as their `source`; each runs once however many branches read it.
        fusion_level (`str`, *optional*, defaults to `"embedding"`):
            `"embedding"`: a TC-GRU per branch, joined after pooling. `"frame"`: frames are joined, one TC-GRU.
        emotion_names (`list[str]`, *optional*):
            Emotion classes, told beside the dimensions as a second task. Without them there is none.
        emotion_loss_weight (`float`, *optional*, defaults to 0.2): Weight of the classes' cross-entropy in `loss`.
        gender_names (`list[str]`, *optional*):
            Genders of speakers, told as a further task. Without them there is none.
        gender_loss_weight (`float`, *optional*, defaults to 0.1): Weight of their cross-entropy in `loss`.
        predict_uncertainty (`bool`, *optional*, defaults to `False`):
            Also predict a standard deviation for each dimension of each clip.
        uncertainty_loss_weight (`float`, *optional*, defaults to 0.1):
            Weight of its negative log-likelihood in `loss`; greater than 0 where it is predicted.
        label_range (`tuple[float, float]`, *optional*, defaults to (1.0, 7.0)): Lowest and highest label.
        ccc_weights (`tuple[float, float, float]`, *optional*, defaults to (1.0, 1.0, 1.0)):
            Weights of activation, valence and dominance in the loss; only their ratios matter.
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

    model_type = "speech_affect_fusion"
    attribute_map = {"hidden_size": "embedding_size"}  # noqa: RUF012
    keys_to_ignore_at_inference = [  # noqa: RUF012
        "embedding",
        "gender_logits",
        "uncertainty",
        "frame_logits",
        "frame_mask",
        "loss_parts",
    ]

    branches: list | tuple | None = None
    encoders: dict | None = None
    fusion_level: str = "embedding"
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
        self._check_parents(kwargs)
        self._name_dimensions()
        if not isinstance(self.encoders or {}, dict):
            raise ValueError(f"encoders is {self.encoders!r:.200}; give a mapping of names to encoders")
        if not isinstance(self.branches or [], (list, tuple)) or len(self.branches or []) > MOST_BRANCHES:
            raise ValueError(f"branches is {self.branches!s:.200}; give a list of up to {MOST_BRANCHES} branches")
        self.encoders = {key: _as_config(value, AffectEncoderConfig) for key, value in (self.encoders or {}).items()}
        self.branches = [_as_config(branch, AffectBranchConfig) for branch in self.branches or [{"source": "mfb"}]]
        super().__post_init__(**kwargs)
        self._check_head()
        self._check_fusion()

    def _check_fusion(self):
        if self.fusion_level not in ("embedding", "frame"):
            raise ValueError(f"fusion_level is {self.fusion_level!r}; allowed are 'embedding' and 'frame'")
        if self.sampling_rate != 16000:
            raise ValueError(f"sampling_rate is {self.sampling_rate}; the models hear 16000 Hz")
        for name in self.encoders:
            if not isinstance(name, str) or not name or "." in name or name in ACOUSTIC_SOURCES:
                raise ValueError(
                    f"an encoder is named {name!r}; its name is that of a module: give one without dots, other than "
                    f"{' and '.join(ACOUSTIC_SOURCES)}"
                )
        names = [branch.name for branch in self.branches]
        if len(set(names)) != len(names):
            raise ValueError(f"branches repeat: {names}; give each source and hidden state once")
        for branch in self.branches:
            self._check_branch(branch)
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
        self._check_text()

    def _check_text(self):
        texts = [name for name, encoder in self.encoders.items() if encoder.is_text]
        if len(texts) > 1:
            raise ValueError(f"text encoders are {texts}; give one at most: input_ids are tokens of one tokenizer")
        if self.reads_text and self.fusion_level == "frame":
            raise ValueError("fusion_level is 'frame', but tokens of a text branch have no time; choose 'embedding'")

    @property
    def _attn_implementation(self):
        return self._attn_implementation_internal

    @_attn_implementation.setter
    def _attn_implementation(self, value):
        PreTrainedConfig._attn_implementation.fset(self, value)
        for encoder in self.encoders.values():
            encoder._attn_implementation = value

    def to_dict(self) -> dict:
        output = super().to_dict()
        output["branches"] = [branch.to_dict() for branch in self.branches]
        output["encoders"] = {key: encoder.to_dict() for key, encoder in self.encoders.items()}
        for part in (*output["branches"], *output["encoders"].values()):
            del part["transformers_version"]  # once, at the top
        return output


@strict
class AffectStudentConfig(_AffectConfigMixin, PreTrainedConfig):
    r"""
    A regressor on low-level features alone: the head of [`AffectFusionConfig`] over one acoustic branch.

    Args:
        branch (`dict` or `AffectBranchConfig`, *optional*): `mfb` (default) or `mfb_f0`.

    The other arguments are those of [`AffectFusionConfig`].
    """

    model_type = "speech_affect_student"
    sub_configs_defaults = {"branch": SubConfigSpec(config_class=AffectBranchConfig)}  # noqa: RUF012
    attribute_map = {"hidden_size": "embedding_size"}  # noqa: RUF012
    keys_to_ignore_at_inference = [  # noqa: RUF012
        "embedding",
        "gender_logits",
        "uncertainty",
        "frame_logits",
        "frame_mask",
        "loss_parts",
    ]

    branch: dict | PreTrainedConfig | None = None
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
        self._check_parents(kwargs)
        self._name_dimensions()
        if not (self.branch is None or isinstance(self.branch, (dict, PreTrainedConfig))):
            raise ValueError(f"expected an AffectBranchConfig or a dict, got {self.branch!r:.200}")
        super().__post_init__(**kwargs)
        self._check_head()
        if self.sampling_rate != 16000:
            raise ValueError(f"sampling_rate is {self.sampling_rate}; the models hear 16000 Hz")
        if not self.branch.is_acoustic:
            raise ValueError(
                f"a student hears low-level features only: branch.source is {self.branch.source!r}, "
                f"allowed are {', '.join(ACOUSTIC_SOURCES)}"
            )
        self._check_branch(self.branch)

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
    if isinstance(value, PreTrainedConfig):
        if value.model_type != config_class.model_type:
            raise ValueError(f"expected an {config_class.__name__} or a dict, got {type(value).__name__}")
        return value
    if not isinstance(value, dict):
        raise ValueError(f"expected an {config_class.__name__} or a dict, got {value!r:.200}")
    return config_class(**{key: entry for key, entry in value.items() if key != "model_type"})
