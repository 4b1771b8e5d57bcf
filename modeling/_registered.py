"""The public classes, registered with transformers: what `import speech_affect` brings."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .affect_result import DIMENSIONS as DIMENSIONS
from .configuration_affect import AffectBranchConfig as AffectBranchConfig
from .configuration_affect import AffectConfig, AffectFusionConfig, AffectStudentConfig
from .configuration_affect import AffectEncoderConfig as AffectEncoderConfig
from .feature_extraction_affect import AffectFeatureExtractor
from .modeling_affect import CUSTOM_PIPELINES, AffectFusionModel, AffectStudentModel
from .modeling_affect import AffectOutput as AffectOutput
from .pipeline_affect import SpeechEmotionRegressionPipeline
from .processing_affect import AffectProcessor
from .streaming import AffectStream as AffectStream


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


AffectConfig.custom_pipelines = _RegisteredPipelines(CUSTOM_PIPELINES)
