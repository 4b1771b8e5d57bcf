"""Activation, valence and dominance from speech, as models of Hugging Face transformers."""

if __name__ != "speech_affect":  # a second copy of every class would break isinstance and the Auto classes
    raise ImportError(f"import speech_affect, not {__name__}")

from pathlib import Path

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .affect_result import DIMENSIONS
from .configuration_affect import (
    AffectBranchConfig,
    AffectConfig,
    AffectEncoderConfig,
    AffectFusionConfig,
    AffectStudentConfig,
)
from .feature_extraction_affect import AffectFeatureExtractor
from .modeling_affect import CUSTOM_PIPELINES, AffectFusionModel, AffectOutput, AffectStudentModel
from .pipeline_affect import SpeechEmotionRegressionPipeline
from .processing_affect import AffectProcessor
from .streaming import AffectStream


for _config, _model in ((AffectFusionConfig, AffectFusionModel), (AffectStudentConfig, AffectStudentModel)):
    AutoConfig.register(_config.model_type, _config)
    AutoModel.register(_config, _model)
    AutoModelForAudioClassification.register(_config, _model)
    AutoFeatureExtractor.register(_config, AffectFeatureExtractor)
    AutoProcessor.register(_config, AffectProcessor)
    _config.register_for_auto_class()
    _model.register_for_auto_class("AutoModel")
AffectFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
AffectProcessor.register_for_auto_class("AutoProcessor")
PIPELINE_REGISTRY.register_pipeline(
    "speech-emotion-regression",
    pipeline_class=SpeechEmotionRegressionPipeline,
    pt_model=AutoModelForAudioClassification,
    type="audio",
)


class _RegisteredPipelines(dict):
    """Names the task of `pipeline(model=folder)`; nothing is "in" it, so that the class comes from the registry."""

    def __contains__(self, task) -> bool:
        return False


def released(name: str) -> Path:
    """Return the folder of a trained model that comes with this package.

    Args:
        name: such as `"student"`.

    Returns:
        The folder, for `from_pretrained` and pipelines.

    Raises:
        ValueError: no model of this name comes with this installation.
    """
    here = Path(__file__).resolve().parent
    # a checkout keeps them beside the cards of other models; the wheel has them in the package
    folder = here.parent / "model_cards" if here.name == "modeling" else here / "checkpoints"
    names = sorted(weights.parent.name for weights in folder.glob("*/model.safetensors"))
    if name not in names:
        raise ValueError(
            f"there is no released model {name!r:.200}; those that are installed: {', '.join(names) or 'none'}"
        )
    return folder / name


AffectConfig.custom_pipelines = _RegisteredPipelines(CUSTOM_PIPELINES)

__all__ = [
    "DIMENSIONS",
    "AffectBranchConfig",
    "AffectEncoderConfig",
    "AffectFeatureExtractor",
    "AffectFusionConfig",
    "AffectFusionModel",
    "AffectOutput",
    "AffectProcessor",
    "AffectStream",
    "AffectStudentConfig",
    "AffectStudentModel",
    "SpeechEmotionRegressionPipeline",
    "released",
]
