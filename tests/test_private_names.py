"""Private names of libraries that this package uses, as listed in tests/README.md; one test of each."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
import transformers
from transformers import Pipeline, PreTrainedModel

from speech_affect import AffectStudentConfig, AffectStudentModel, SpeechEmotionRegressionPipeline


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
TABLE = README[README.index("## Private names") :]


def gone(name: str, where: str, library=transformers) -> str:
    return (
        f"{library.__name__} {library.__version__} has no {name} any more: replace it in {where}, see tests/README.md"
    )


@pytest.mark.parametrize("kind", ["processor", "image_processor", "video_processor", "tokenizer", "feature_extractor"])
def test_pipelines_declare_what_they_load(kind):
    assert hasattr(Pipeline, f"_load_{kind}"), gone(f"Pipeline._load_{kind}", "modeling/pipeline_affect.py")


def test_masks_are_drawn_by_wav2vec2():
    from transformers.models.wav2vec2 import modeling_wav2vec2

    name = "_compute_mask_indices"
    assert hasattr(modeling_wav2vec2, name), gone(f"modeling_wav2vec2.{name}", "modeling/regressor.py")


def test_a_graph_repeats_a_step_by_scan():
    found = importlib.util.find_spec("torch._higher_order_ops") and hasattr(torch._higher_order_ops, "scan")
    assert found, gone("torch._higher_order_ops.scan", "modeling/regressor.py", torch)


def test_pipelines_keep_the_options_they_are_made_with():
    pipe = SpeechEmotionRegressionPipeline(AffectStudentModel(AffectStudentConfig()), on_error="skip")
    name = "_preprocess_params"
    assert getattr(pipe, name, {}).get("on_error") == "skip", gone(f"Pipeline.{name}", "modeling/pipeline_affect.py")


def test_configurations_are_told_how_to_attend():
    name = "_attn_implementation"
    config = AffectStudentConfig(attn_implementation="eager")
    assert getattr(config, name, None) == "eager", gone(f"PreTrainedConfig.{name}", "modeling/configuration_affect.py")


def test_models_name_weights_that_are_ignored():
    name = "_keys_to_ignore_on_load_unexpected"
    assert hasattr(PreTrainedModel, name), gone(f"PreTrainedModel.{name}", "modeling/modeling_affect.py")


def test_every_listed_name_is_used_where_the_list_says():
    rows = re.findall(r"^\| (`.+?`.*?) \| `(.+?)` \| .+ \|$", TABLE, re.MULTILINE)
    assert rows
    for names, path in rows:
        source = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"\b(_\w+)`", names):
            assert name in source, f"{path} does not use {name} any more: take it from the list in tests/README.md"
