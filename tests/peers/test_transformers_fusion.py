"""Common tests of transformers over fusion models: wav2vec 2.0 frozen and fine-tuned, Whisper cut and padded."""

from unittest import TestCase

from transformers import Wav2Vec2Config, WhisperConfig

from speech_affect import AffectFusionConfig, AffectFusionModel

from .common_model_tests import CommonModelTests


def wav2vec2(**settings) -> dict:
    backbone = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    branches = [{"source": "mfb"}, {"source": "wav2vec2"}]
    return {"branches": branches, "encoders": {"wav2vec2": {"backbone": backbone, "do_normalize": True, **settings}}}


def whisper(**settings) -> dict:
    backbone = WhisperConfig(
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        vocab_size=50,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    branches = [{"source": "mfb"}, {"source": "whisper"}]
    return {"branches": branches, "encoders": {"whisper": {"backbone": backbone, **settings}}}


class Fusion:
    config_class = AffectFusionConfig
    all_model_classes = (AffectFusionModel,)

    def setUp(self):
        super().setUp()
        # encoders attend, though their attentions are not among the outputs
        self.has_attentions = "eager_matches_sdpa" in self._testMethodName


class FusionWav2Vec2Test(Fusion, CommonModelTests, TestCase):
    settings = wav2vec2(frozen=True)


class FusionWav2Vec2TunedTest(Fusion, CommonModelTests, TestCase):
    settings = wav2vec2(frozen=False)
    repeated = ("eager_matches_sdpa", "bc_torch_dtype")  # without gradients a frozen encoder is no other


class FusionWhisperTest(Fusion, CommonModelTests, TestCase):
    settings = whisper(pad_to_window=False, frozen=False)


class FusionWhisperPaddedTest(Fusion, CommonModelTests, TestCase):
    settings = whisper(pad_to_window=True, frozen=True)
    repeated = ("eager_matches_sdpa", "bc_torch_dtype")  # with 30 s of each clip they would take a minute
