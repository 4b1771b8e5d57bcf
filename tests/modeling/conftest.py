"""Tiny encoders of every family, and clips of mixed lengths."""

import pytest
import torch
from transformers import (
    Data2VecAudioConfig,
    HubertConfig,
    Wav2Vec2BertConfig,
    Wav2Vec2Config,
    WavLMConfig,
    WhisperConfig,
)


# an initializer_range near that of a trained encoder: with 0.02 layer norms blow up rounding errors
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.2,
}
CONVOLUTIONS = {
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}

BACKBONES = {
    "hubert": lambda: HubertConfig(**SMALL, **CONVOLUTIONS, **STABLE),
    "hubert-group": lambda: HubertConfig(**SMALL, **CONVOLUTIONS),
    "wav2vec2": lambda: Wav2Vec2Config(**SMALL, **CONVOLUTIONS, **STABLE),
    "wav2vec2-group": lambda: Wav2Vec2Config(**SMALL, **CONVOLUTIONS),
    "wavlm": lambda: WavLMConfig(**SMALL, **CONVOLUTIONS, **STABLE),
    "data2vec-audio": lambda: Data2VecAudioConfig(**SMALL, **CONVOLUTIONS, conv_pos_kernel_size=5),
    "whisper": lambda: WhisperConfig(
        d_model=32,
        encoder_layers=3,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        vocab_size=50,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    ),
    "wav2vec2-bert": lambda: Wav2Vec2BertConfig(**SMALL, add_adapter=False),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def clips() -> list[torch.Tensor]:
    """Noise of 0.3 to 1.1 s with a tone each, at 16 kHz."""
    generator = torch.Generator().manual_seed(7)
    clips = []
    for index, seconds in enumerate((1.1, 0.3, 0.7, 0.7)):
        times = torch.arange(round(seconds * 16000)) / 16000
        tone = 0.3 * torch.sin(2 * torch.pi * (110 + 50 * index) * times)
        clips.append(tone + 0.05 * torch.randn(len(times), generator=generator))
    return clips


@pytest.fixture(params=sorted(BACKBONES))
def backbone_config(request):
    """The configuration of a tiny encoder, of each family in turn."""
    return BACKBONES[request.param]()


@pytest.fixture
def tiny_backbone():
    """Makes the configuration of a tiny encoder by its family's name."""
    return lambda family: BACKBONES[family]()
