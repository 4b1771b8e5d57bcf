"""Activation, valence and dominance from speech, as models of Hugging Face transformers."""

if __name__ != "speech_affect":  # a second copy of every class would break isinstance and the Auto classes
    raise ImportError(f"import speech_affect, not {__name__}")

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_affect import (
    DIMENSIONS,
    AffectBranchConfig,
    AffectEncoderConfig,
    AffectFusionConfig,
    AffectStudentConfig,
)
from .feature_extraction_affect import AffectFeatureExtractor
from .modeling_affect import AffectFusionModel, AffectOutput, AffectStudentModel
from .pipeline_affect import SpeechEmotionRegressionPipeline
from .streaming import AffectStream


for _config, _model in ((AffectFusionConfig, AffectFusionModel), (AffectStudentConfig, AffectStudentModel)):
    AutoConfig.register(_config.model_type, _config)
    AutoModel.register(_config, _model)
    AutoModelForAudioClassification.register(_config, _model)
    AutoFeatureExtractor.register(_config, AffectFeatureExtractor)
    _config.register_for_auto_class()
    _model.register_for_auto_class("AutoModel")
AffectFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
PIPELINE_REGISTRY.register_pipeline(
    "speech-emotion-regression",
    pipeline_class=SpeechEmotionRegressionPipeline,
    pt_model=AutoModelForAudioClassification,
    type="audio",
)

__all__ = [
    "DIMENSIONS",
    "AffectBranchConfig",
    "AffectEncoderConfig",
    "AffectFeatureExtractor",
    "AffectFusionConfig",
    "AffectFusionModel",
    "AffectOutput",
    "AffectStream",
    "AffectStudentConfig",
    "AffectStudentModel",
    "SpeechEmotionRegressionPipeline",
]
