"""Outputs of a model for clips, in batches, from audio and transcripts."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoProcessor, PreTrainedTokenizerFast, RobertaConfig

from speech_affect import AffectFeatureExtractor, AffectFusionConfig, AffectFusionModel, AffectProcessor
from speech_affect_training.adapting.embeddings import run_model


WORDS = ["<s>", "<pad>", "</s>", "<unk>", "i", "am", "happy", "today"]
TEXTS = ["i am happy today", "today", "am i happy"]


@pytest.fixture
def source(tmp_path):
    """A small model that reads audio and the transcript."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    backbone = RobertaConfig(vocab_size=len(WORDS), max_position_embeddings=18, initializer_range=0.5, **sizes, **ids)
    branches = [{"source": "mfb"}, {"source": "text", "conv_kernel_size": 3, "conv_stride": 1}]
    head = {"conv_channels": 4, "gru_hidden_size": 4, "embedding_size": 4}
    AffectFusionModel(
        AffectFusionConfig(branches=branches, encoders={"text": {"backbone": backbone}}, **head)
    ).save_pretrained(tmp_path / "model")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    AffectProcessor(AffectFeatureExtractor(), tokenizer).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_batches_give_what_clips_give_one_by_one_in_their_order(source, write_clip):
    model = AffectFusionModel.from_pretrained(source).eval()
    audio = [write_clip(name, seconds) for name, seconds in (("a", 0.5), ("b", 0.3), ("c", 0.4))]
    found = run_model(model, source, audio, TEXTS, batch_size=2)
    processor = AutoProcessor.from_pretrained(source)
    for row, (clip, text) in enumerate(zip(audio, TEXTS, strict=True)):
        with torch.no_grad():
            expected = model(**processor(audio=[clip], text=[text], return_tensors="pt"))
        assert found.embeddings[row] == pytest.approx(expected.embedding[0].numpy(), abs=1e-5)
        assert found.values[row] == pytest.approx(expected.logits[0].numpy(), abs=1e-4)
    assert found.deviations is None and found.embeddings.dtype == "float64"


def test_a_model_that_reads_the_transcript_needs_all(source, write_clip):
    model = AffectFusionModel.from_pretrained(source).eval()
    with pytest.raises(
        ValueError, match="reads the transcript, and some clips have none: name the column that has it"
    ):
        run_model(model, source, [write_clip("a"), write_clip("b")], ["i am", None], batch_size=2)
