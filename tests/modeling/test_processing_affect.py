"""The processor gives what extractor and tokenizer give, under the names that models take, and is found again."""

import builtins
import copy
import json
import pickle

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer

from speech_affect import AffectFeatureExtractor, AffectFusionConfig, AffectFusionModel, AffectProcessor

from .conftest import SIZES, WORDS_BRANCH, talk


@pytest.fixture
def text_model(words_encoder):
    branches, encoders = [{"source": "mfb"}, WORDS_BRANCH], {"words": words_encoder}
    return AffectFusionModel(AffectFusionConfig(branches=branches, encoders=encoders, **SIZES)).eval()


@pytest.fixture
def no_prompt(monkeypatch):
    def ask(*_):
        raise AssertionError("transformers asks whether to run the code in the folder")

    monkeypatch.setattr(builtins, "input", ask)


@torch.no_grad()
def test_audio_and_text(tokenizer, text_model):
    clips = [talk(0.5, 8000), talk(0.3, 8000)]
    processor = AffectProcessor(AffectFeatureExtractor(), tokenizer)
    inputs = processor(clips, ["they left", "all of them left"], sampling_rate=8000, return_tensors="pt")
    assert list(inputs) == processor.model_input_names
    assert inputs["input_ids"].tolist() == [[2, 3, 0, 0], [4, 5, 6, 3]]  # on the right, whatever the tokenizer's side
    assert inputs["text_attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert inputs["attention_mask"].sum(dim=1).tolist() == [8000, 4800]
    expected = AffectFeatureExtractor()(clips, sampling_rate=8000, return_tensors="pt")
    assert torch.equal(inputs["input_values"], expected["input_values"])
    logits = text_model(**inputs).logits
    alone = processor(audio=clips[1], text="all of them left", sampling_rate=8000, return_tensors="pt")
    torch.testing.assert_close(text_model(**alone).logits[0], logits[1], atol=1e-5, rtol=0)


def test_one_of_the_two(tokenizer):
    processor = AffectProcessor(AffectFeatureExtractor(), tokenizer)
    assert list(processor(audio=talk(0.5))) == ["input_values", "attention_mask"]
    cut = processor(text="all of them left", text_kwargs={"truncation": True, "max_length": 2})
    assert dict(cut) == {"input_ids": [[4, 5]], "text_attention_mask": [[1, 1]]}
    padded = processor(audio=[talk(0.5), talk(0.3)], padding=False, audio_kwargs={"return_attention_mask": False})
    assert [len(values) for values in padded["input_values"]] == [8000, 4800] and len(padded) == 1


@pytest.mark.parametrize(
    "given, message",
    [
        ({}, "neither audio nor text is given; give what the model reads"),
        ({"audio": np.zeros(1600), "text": ["a", "b"]}, "1 clips and 2 texts are given; give one text for each clip"),
        ({"text": []}, r"text is \[\]; give a transcript or a list"),
        ({"text": ["a", None]}, r"text is \['a', None\]; give a transcript or a list"),
        ({"audio": np.zeros(9)}, "a clip lasts 0.001 s"),
    ],
)
def test_wrong_calls(tokenizer, given, message):
    with pytest.raises(ValueError, match=message):
        AffectProcessor(AffectFeatureExtractor(), tokenizer)(**given)


def test_without_a_tokenizer():
    processor = AffectProcessor(AffectFeatureExtractor())
    assert processor.model_input_names == ["input_values", "attention_mask"]
    with pytest.raises(ValueError, match="no tokenizer, since its model reads audio alone: leave text out"):
        processor(audio=talk(0.5), text="they left")


@pytest.mark.parametrize("reads_text", [False, True])
@pytest.mark.parametrize("how", ["as one", "in parts"])
def test_saved_and_loaded(how, reads_text, tokenizer, text_model, make_model, no_prompt, tmp_path):
    parts = [AffectFeatureExtractor(padding_value=0.25), *([tokenizer] if reads_text else [])]
    for part in [AffectProcessor(*parts)] if how == "as one" else parts:
        part.save_pretrained(tmp_path)
    (text_model if reads_text else make_model("student")).save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is AffectProcessor and (loaded.tokenizer is not None) == reads_text
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(extractor) is AffectFeatureExtractor and extractor.padding_value == 0.25
    assert loaded.feature_extractor.padding_value == 0.25
    if reads_text:
        assert loaded(text="they left")["input_ids"] == [[2, 3]]
        assert AutoTokenizer.from_pretrained(tmp_path)("they left")["input_ids"] == [2, 3]
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert auto_map["AutoProcessor"] == "processing_affect.AffectProcessor"
    assert (tmp_path / "processing_affect.py").is_file()
    loaded.save_pretrained(tmp_path / "again")
    again = AutoProcessor.from_pretrained(tmp_path / "again")  # no configuration of a model is there
    assert again.model_input_names == loaded.model_input_names and again.feature_extractor.padding_value == 0.25


def test_it_is_copied_printed_and_pickled(tokenizer):
    for processor in (AffectProcessor(AffectFeatureExtractor()), AffectProcessor(AffectFeatureExtractor(), tokenizer)):
        for other in (copy.deepcopy(processor), pickle.loads(pickle.dumps(processor))):
            assert str(other) == str(processor) and other.model_input_names == processor.model_input_names
