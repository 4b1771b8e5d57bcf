"""Common tests of transformers over one kind of model, put together as in the test file of one of its own models."""

import copy
import functools
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import torch
from transformers import AudioClassificationPipeline

import speech_affect
from speech_affect import DIMENSIONS, AffectFeatureExtractor, SpeechEmotionRegressionPipeline

from .not_applicable import leave_out
from .transformers_suite import import_suite


modeling = import_suite("test_modeling_common")
configuration = import_suite("test_configuration_common")
pipelines = import_suite("test_pipeline_mixin")

HEAD = {"conv_channels": 8, "gru_hidden_size": 8, "num_gru_layers": 2, "embedding_size": 8}
SECOND_TASKS = {"emotion_names": ["A", "H", "N"], "gender_names": ["Female", "Male"], "predict_uncertainty": True}
LABELS = {"labels": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 1.0, 2.0], [2.0, 3.0, 3.5]])}
SECOND_LABELS = {"emotion_targets": torch.tensor([0, 1, 2, 0]), "gender_targets": torch.tensor([0, 1, 1, 0])}
# what only accelerators do differently, and tasks of other models: they would be skipped, and the log long
OTHERS = ("sdpa_kernels", "flash_attn", "deepspeed", "_features_", "_rope_", "resize_")


class AffectModelTester:
    """A configuration and inputs for it, as the tests ask for them."""

    batch_size = 4
    seq_length = 8000
    is_training = True
    encoder_seq_length = 6  # frames of a TC-GRU: 48 of 25 ms every 10 ms, and every eighth of them
    hidden_size = HEAD["gru_hidden_size"]

    def __init__(self, config_class: type, settings: dict):
        self.config_class, self.settings = config_class, settings
        self.num_hidden_layers = len(settings.get("branches", ["mfb"])) - 1  # that many hidden states and one more

    def get_config(self):
        return self.config_class(**copy.deepcopy(self.settings))

    def prepare_config_and_inputs_for_common(self):
        noise = torch.randn(self.batch_size, self.seq_length, generator=torch.Generator().manual_seed(0))
        mask = torch.ones(self.batch_size, self.seq_length, dtype=torch.long)
        return self.get_config(), {"input_values": 0.1 * noise, "attention_mask": mask}


class CommonModelTests(modeling.ModelTesterMixin, pipelines.PipelineTesterMixin):
    """Runs them; a subclass gives `settings` of the configuration, `config_class` and `all_model_classes`."""

    repeated: tuple[str, ...] = ()  # parts of names of tests that another class runs just so
    test_resize_embeddings = False
    has_attentions = False  # TC-GRUs have none
    test_can_init_all_missing_weights_before_2023 = True  # of models of any age

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.settings = {**HEAD, **cls.settings}
        cls.pipeline_model_mapping = dict.fromkeys(PIPELINES, cls.all_model_classes)
        for name in dir(cls):
            other_task = name.startswith("test_pipeline_") and "audio_classification" not in name
            if other_task or "zero_shot" in name or any(part in name for part in OTHERS + cls.repeated):
                setattr(cls, name, None)
        for name in dir(configuration.ConfigTester):
            if name.startswith(("create_and_test_config", "check_config")):
                setattr(cls, f"test_{name}", functools.partialmethod(cls.run_config_test, name))
        cls.test_pipeline_speech_emotion_regression = lambda self: self.run_task_tests("speech-emotion-regression")
        leave_out(cls)

    def setUp(self):
        self.model_tester = AffectModelTester(self.config_class, self.settings)

    def run_config_test(self, name):
        """One by one: a test of all of them would end with the first that does not apply."""
        common = {"has_text_modality": False, "common_properties": ["hidden_size"]}
        getattr(configuration.ConfigTester(self, config_class=self.config_class, **common, **HEAD), name)()

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class)
        if return_labels:
            inputs |= LABELS | (SECOND_LABELS if "emotion_names" in self.settings else {})
        return inputs

    def run_task_tests(self, task, dtype="float32"):
        """Those of one pipeline, with a checkpoint of ours where transformers has one of its own on the Hub."""
        (model_class,) = self.all_model_classes
        processors = {"tokenizer_classes": [], "processor_classes": ["AffectFeatureExtractor"]}
        with TemporaryDirectory() as models:
            folder = Path(models) / self.config_class.model_type / model_class.__name__
            model_class(self.model_tester.get_config()).save_pretrained(folder)
            AffectFeatureExtractor().save_pretrained(folder)
            with mock.patch.multiple(
                pipelines,
                TRANSFORMERS_TINY_MODEL_PATH=models,
                transformers_module=speech_affect,
                tiny_model_summary={model_class.__name__: processors},
                pipeline_test_mapping={task: {"test": f"{__name__}.{PIPELINES[task].__name__}"}},
            ):
                super().run_task_tests(task, dtype)


class AudioClassificationTests:
    """Of transformers' own pipeline; the module that has them is not in the source distribution."""

    pipeline_class = AudioClassificationPipeline

    def get_test_pipeline(self, model, tokenizer, feature_extractor, dtype):
        pipeline = self.pipeline_class(model=model, feature_extractor=feature_extractor, dtype=dtype)
        generator = np.random.default_rng(0)
        return pipeline, [generator.uniform(0, np.linspace(0, 0.1, samples)) for samples in (14000, 34000)]

    def run_pipeline_test(self, pipeline, examples):
        for audio in examples:
            scores = pipeline(audio)
            assert {score["label"] for score in scores} == set(DIMENSIONS)
            assert all(type(score["score"]) is float for score in scores)
            assert pipeline(audio, top_k=1) == scores[:1]


class SpeechEmotionRegressionTests(AudioClassificationTests):
    pipeline_class = SpeechEmotionRegressionPipeline

    def run_pipeline_test(self, pipeline, examples):
        for audio in examples:
            values = pipeline(audio)
            assert all(1 <= values[name] <= 7 for name in DIMENSIONS)


PIPELINES = {
    "audio-classification": AudioClassificationTests,
    "speech-emotion-regression": SpeechEmotionRegressionTests,
}
