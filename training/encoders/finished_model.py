"""A finished model from raw audio: a checkpoint of this package, or a peer's, loaded as its repository has it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    AutoProcessor,
    PreTrainedModel,
)
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Model, Wav2Vec2PreTrainedModel

from speech_affect import AffectFeatureExtractor, AffectFusionConfig, AffectStudentConfig
from speech_affect.audio import SAMPLING_RATE, load_waveform

from ..audio.clip_loading import LoadableClip, loadable
from ..files import read_json
from ..settings.finished import CheckpointSpec, dimensions_of
from .encoder_sources import EncoderSource, resolve_encoder


OURS = (AffectFusionConfig.model_type, AffectStudentConfig.model_type)
NORMALISED = 1e-6  # is added to a standard deviation that samples are divided by
# clips and their transcripts -> (clips, 1 or 2, outputs): values, and standard deviations where the model has them
Estimate = Callable[[Sequence[dict | LoadableClip], Sequence[str | None]], np.ndarray]


@dataclass(frozen=True)
class FinishedModel:
    """A model that is only evaluated.

    Args:
        source: Where it was found.
        outputs: The dimension of each output.
        output_range: Lowest and highest value of its outputs.
        parameters: Number of its parameters, encoders included.
        reads_text: Whether it reads the transcript.
        run: What its `run.json` tells of its training; empty where there is none.
        warnings: What the reader of its results should know.
        estimate: Returns its values.
    """

    source: EncoderSource
    outputs: list[str]
    output_range: tuple[float, float]
    parameters: int
    reads_text: bool
    run: dict
    warnings: list[str]
    estimate: Estimate


class Wav2Vec2ForSpeechClassification(Wav2Vec2PreTrainedModel):
    """wav2vec 2.0 with the regression head of Wagner et al. 2023, which transformers has no class of.

    The mean of the last hidden states over time goes through a dense layer, tanh, and a layer with the outputs.
    """

    def __init__(self, config):
        super().__init__(config)
        self.wav2vec2 = Wav2Vec2Model(config)
        self.classifier = torch.nn.ModuleDict(
            {
                "dense": torch.nn.Linear(config.hidden_size, config.hidden_size),
                "out_proj": torch.nn.Linear(config.hidden_size, config.num_labels),
            }
        )
        self.post_init()

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        """Return (1, outputs) for the samples (1, samples) of one clip."""
        pooled = self.wav2vec2(input_values).last_hidden_state.mean(dim=1)
        return self.classifier["out_proj"](self.classifier["dense"](pooled).tanh())


def load_finished(spec: CheckpointSpec, cache_dir: Path | None) -> FinishedModel:
    """Load a finished model onto the device of this process, in float32.

    Raises:
        ValueError: Its outputs or their range are not known, differ from what its configuration says, or it is not
            loaded as a whole.
        OSError: It cannot be found.
    """
    source = resolve_encoder(spec.id, revision=spec.revision, cache_dir=cache_dir, code=spec.trust_remote_code)
    raw = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    return (_load_own if raw.get("model_type") in OURS else _load_peer)(spec, source, raw)


def _load_own(spec: CheckpointSpec, source: EncoderSource, raw: dict) -> FinishedModel:
    place = f"system {spec.name!r}"
    for name in ("outputs", "output_range"):
        if getattr(spec, name) is not None:
            raise ValueError(f"{place} has {name}, which {source.name} has in its own configuration; leave it out")
    device = PartialState().device
    model = AutoModel.from_pretrained(source.folder, dtype=torch.float32).eval().to(device)
    config = model.config
    processor = AutoProcessor.from_pretrained(source.folder) if config.reads_text else None

    def estimate(clips: Sequence[dict | LoadableClip], texts: Sequence[str | None]) -> np.ndarray:
        audio = [loadable(clip) for clip in clips] if config.reads_audio else None
        if processor is None:
            inputs = AffectFeatureExtractor()(audio, return_tensors="pt")
        else:  # transcripts are truncated as in training
            options = {"return_tensors": "pt", "text_kwargs": {"truncation": True}}
            inputs = processor(audio=audio, text=list(texts), **options)
        with torch.no_grad():
            outputs = model(**inputs.to(device))
        values = [outputs.logits] + ([outputs.uncertainty] if config.predict_uncertainty else [])
        return torch.stack(values, dim=1).float().cpu().numpy()

    return FinishedModel(
        source=source,
        outputs=list(config.id2label.values()),
        output_range=tuple(config.label_range),
        parameters=model.num_parameters(),
        reads_text=config.reads_text,
        run=read_json(source.folder / "run.json"),
        warnings=[],
        estimate=estimate,
    )


def _load_peer(spec: CheckpointSpec, source: EncoderSource, raw: dict) -> FinishedModel:
    is_audeering = _has_regression_head(raw)
    output_range = spec.output_range or ([0.0, 1.0] if is_audeering else None)
    if output_range is None:
        raise ValueError(
            f"system {spec.name!r} has no output_range; give the lowest and highest value of {source.name}'s outputs "
            "(see its card), such as output_range: [0, 1]"
        )
    _check_code(spec, source, raw)
    config = AutoConfig.from_pretrained(source.folder, trust_remote_code=spec.trust_remote_code)
    outputs = _outputs(spec, source, config)
    model_class = Wav2Vec2ForSpeechClassification if is_audeering else _own_class(source, raw)
    model, warnings = _whole_model(spec, source, config, model_class or AutoModelForAudioClassification)
    forward = _forward_of(spec, source, model, is_audeering)

    def estimate(clips: Sequence[dict | LoadableClip], texts: Sequence[str | None]) -> np.ndarray:
        values = np.stack([forward(loadable(clip)) for clip in clips])  # one by one: nothing is padded
        if values.shape[1:] != (1, len(outputs)):
            raise ValueError(
                f"system {spec.name!r}: {source.name} has {values.shape[-1]} outputs, and {len(outputs)} are named "
                f"({', '.join(outputs)}); give the dimension of each in outputs"
            )
        return values

    return FinishedModel(source, outputs, tuple(output_range), model.num_parameters(), False, {}, warnings, estimate)


def _has_regression_head(raw: dict) -> bool:
    """Return whether a configuration is one of audeering's; others of this name pool otherwise than by the mean."""
    named = raw.get("model_type") == "wav2vec2" and raw.get("architectures") == ["Wav2Vec2ForSpeechClassification"]
    return named and raw.get("pooling_mode", "mean") == "mean"


def _own_class(source: EncoderSource, raw: dict) -> type[PreTrainedModel] | None:
    """Return the model's class out of the code of its repository; None where transformers has it."""
    code = raw.get("auto_map") or {}
    name = code.get("AutoModelForAudioClassification") or code.get("AutoModel")
    found = get_class_from_dynamic_module(name, source.folder) if name else None
    if found is not None and not hasattr(found, "all_tied_weights_keys"):
        found.all_tied_weights_keys = {}  # what `post_init` sets, which code for transformers 4 could do without
    return found


def _check_code(spec: CheckpointSpec, source: EncoderSource, raw: dict) -> None:
    """Refuse code that nobody has allowed, or that lies elsewhere than what was allowed."""
    code = raw.get("auto_map") or {}
    if code and not spec.trust_remote_code:
        raise ValueError(
            f"system {spec.name!r}: {source.name} is loaded by code of its repository; read it, and give "
            "trust_remote_code: true, for a Hub id with the commit hash as its revision"
        )
    if elsewhere := [name for name in map(str, code.values()) if "--" in name]:
        raise ValueError(
            f"system {spec.name!r}: the code of {source.name} is of another repository, {elsewhere[0]:.80}, which its "
            "revision does not fix; download it, put the code beside the weights, and give the folder"
        )


def _outputs(spec: CheckpointSpec, source: EncoderSource, config) -> list[str]:
    """Return the dimension of each output, as the settings say, or the model's own configuration."""
    labels = [config.id2label[index] for index in sorted(config.id2label)]
    own = dimensions_of(labels)
    given = spec.outputs and dimensions_of(spec.outputs)
    if given and own and given != own:
        raise ValueError(
            f"system {spec.name!r} has outputs: {spec.outputs}, but the configuration of {source.name} says {labels}; "
            "leave outputs out, or correct the configuration"
        )
    if not (given or own):
        raise ValueError(
            f"system {spec.name!r}: the outputs of {source.name} are named {labels!s:.80}; give the dimension of "
            "each in its order, such as outputs: [activation, dominance, valence]"
        )
    return given or own


def _whole_model(
    spec: CheckpointSpec, source: EncoderSource, config, model_class
) -> tuple[PreTrainedModel, list[str]]:
    """Load a model, none of whose weights start anew; what its class does not read is a warning."""
    options = {"config": config, "dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
    model, info = model_class.from_pretrained(source.folder, **options)
    if missing := sorted(info["missing_keys"]):
        raise ValueError(
            f"system {spec.name!r}: the weights of {source.name} lack {len(missing)} that {type(model).__name__} has, "
            f"such as {missing[0]}, and would start at random; it is a model of another kind"
        )
    notes = []
    if unread := sorted(info["unexpected_keys"]):
        notes = [f"has {len(unread)} weights that {type(model).__name__} does not read, such as {unread[0]}"]
    return model.eval().to(PartialState().device), notes


def _forward_of(spec, source: EncoderSource, model: PreTrainedModel, samples_alone: bool) -> Callable:
    """Return what makes of a clip, as a feature extractor takes it, the model's outputs."""
    config, device = model.config, model.device
    mean, std = getattr(config, "mean", None), getattr(config, "std", None)
    extractor = None
    if not all(isinstance(value, (int, float)) for value in (mean, std)):  # else these two standardise the samples
        try:
            extractor = AutoFeatureExtractor.from_pretrained(source.folder, trust_remote_code=spec.trust_remote_code)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"system {spec.name!r}: {source.name} has no feature extractor (preprocessor_config.json), and no "
                "mean and std in its configuration: nothing says how audio is prepared"
            ) from error
    rate = getattr(extractor or config, "sampling_rate", SAMPLING_RATE)

    @torch.no_grad()
    def forward(clip):
        samples = load_waveform(clip, target_rate=rate)
        if extractor is None:
            values = torch.from_numpy((samples - mean) / (std + NORMALISED)).float()[None].to(device)
            return model(values, torch.ones_like(values))
        inputs = extractor(samples, sampling_rate=rate, return_tensors="pt").to(device)
        return model(inputs["input_values"]) if samples_alone else model(**inputs)

    def values_of(clip) -> np.ndarray:
        given = forward(clip)
        logits = given if isinstance(given, torch.Tensor) else getattr(given, "logits", None)
        if logits is None or logits.ndim != 2:
            raise ValueError(f"system {spec.name!r}: {type(model).__name__} returns no logits (clips, outputs)")
        return logits.float().cpu().numpy()

    return values_of
