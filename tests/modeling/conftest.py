"""Tiny encoders of every family, small models of every kind, and clips of mixed lengths."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    BertConfig,
    Data2VecAudioConfig,
    HubertConfig,
    PreTrainedTokenizerFast,
    Wav2Vec2BertConfig,
    Wav2Vec2Config,
    WavLMConfig,
    WhisperConfig,
)

from speech_affect import AffectFusionConfig, AffectFusionModel, AffectStudentConfig, AffectStudentModel
from speech_affect.log_mel import MelTransform


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

SIZES = {"conv_channels": 16, "gru_hidden_size": 16, "embedding_size": 16}
TASKS = {"emotion_names": ["A", "H", "N"], "gender_names": ["Female", "Male"], "predict_uncertainty": True}
HUBERT, WHISPER = {"source": "hubert"}, {"source": "whisper", "hidden_state": 1}
BRANCHES = {
    "mfb": [{"source": "mfb"}],
    "weighted_sum": [{**HUBERT, "hidden_state": "weighted_sum", "conv_stride": 2}],
    "fusion": [{"source": "mfb"}, {**HUBERT, "hidden_state": "weighted_sum"}, WHISPER],
    "fusion_mtl": [{"source": "mfb"}, HUBERT, WHISPER],
    "fusion_frame": [{"source": "mfb"}, HUBERT, WHISPER],
}
# of a text encoder and its tokenizer
WORDS = ["[PAD]", "[UNK]", "they", "left", "all", "of", "them"]
WORDS_BRANCH = {"source": "words", "conv_kernel_size": 3, "conv_stride": 1}
# weights that are mapped from a file lie at other addresses, where kernels may round otherwise
LOADED_ATOL = 1e-6


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


@pytest.fixture
def tokenizer():
    """Of WORDS, which pads on the left, as those of generating models do."""
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", padding_side="left")


@pytest.fixture
def words_encoder():
    """Settings of a tiny text encoder that reads WORDS."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return {"backbone": BertConfig(vocab_size=len(WORDS), max_position_embeddings=8, **sizes)}


@pytest.fixture
def make_model():
    """Makes a small model of a kind, in evaluation mode, its frame statistics as training leaves them."""

    def make(kind: str, **settings):
        settings = {**SIZES, **(TASKS if kind == "fusion_mtl" else {}), **settings}
        if kind.startswith("student"):
            branch = {"source": "mfb_f0" if "f0" in kind else "mfb"}
            branch["normalization"] = "running" if "running" in kind else None
            model = AffectStudentModel(AffectStudentConfig(branch=branch, **settings))
        else:
            encoders = {
                "hubert": {"backbone": BACKBONES["hubert"](), "do_normalize": True},
                "whisper": {"backbone": BACKBONES["whisper"](), "pad_to_window": kind == "fusion_frame"},
            }
            used = {branch["source"] for branch in BRANCHES[kind]}
            settings["encoders"] = {name: encoder for name, encoder in encoders.items() if name in used}
            level = "frame" if kind == "fusion_frame" else "embedding"
            config = AffectFusionConfig(branches=BRANCHES[kind], fusion_level=level, **settings)
            model = AffectFusionModel(config)
        for name, part in model.regressor.inputs.items():
            mean = torch.full_like(part.frame_mean, -6.0 if name.startswith("mfb") else 0.1)
            model.regressor.set_frame_statistics(name, mean, torch.full_like(mean, 3.0))
        return model.eval()

    return make


def talk(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Syllables of a changing voice, with pauses."""
    generator = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 60 * np.sin(2 * np.pi * (0.3 + 0.1 * seed) * times)
    voice = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / rate) / k for k in range(1, 9))
    loudness = np.clip(np.sin(2 * np.pi * 1.7 * times + seed), 0, None) ** 2
    return (0.15 * voice * loudness + 0.001 * generator.standard_normal(len(times))).astype(np.float32)


def assert_loads_as_it_was_saved(model, inputs: dict, folder):
    """A fusion's outputs and configuration, of any encoder."""
    model.save_pretrained(folder)
    loaded, info = AffectFusionModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert_same_output(loaded.eval(), model, inputs, LOADED_ATOL)
    for encoder in model.config.encoders.values():  # loading sets the dtype, of encoders too
        encoder.backbone.dtype = torch.float32
    assert loaded.config.to_dict() | {"_name_or_path": ""} == model.config.to_dict() | {"_name_or_path": ""}


def padded(clips: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    lengths = torch.tensor([[len(clip)] for clip in clips])
    return {
        "input_values": pad_sequence(clips, batch_first=True),
        "attention_mask": (torch.arange(int(lengths.max())) < lengths).long(),
    }


@pytest.fixture
def batch(clips) -> dict[str, torch.Tensor]:
    return padded(clips)


def backbones(model) -> list[torch.nn.Module]:
    return [encoder.backbone for encoder in model.front_end.encoders.values()]


def assert_same_state(model, expected):
    state, expected = model.state_dict(), expected.state_dict()
    assert list(state) == list(expected)
    for name, values in expected.items():
        assert torch.equal(state[name], values), name


@torch.no_grad()
def assert_same_output(model, expected, batch, atol=0.0):
    output, expected = model(**batch), expected(**batch)
    assert list(output) == list(expected)
    for name in expected:
        torch.testing.assert_close(output[name].float(), expected[name].float(), atol=atol, rtol=0, msg=name)


def mel_transforms(model) -> dict[str, torch.Tensor]:
    """Windows and mel filters of a model, by name."""
    modules = {name: module for name, module in model.named_modules() if isinstance(module, MelTransform)}
    return {
        f"{name}.{part}": getattr(module, part) for name, module in modules.items() for part in ("window", "filters")
    }


def assert_same_filterbanks(model, expected):
    constants, expected = mel_transforms(model), mel_transforms(expected)
    assert list(constants) == list(expected) and len(expected) in (2, 4)
    for name, values in expected.items():
        assert constants[name].dtype == torch.float32 and torch.equal(constants[name], values), name
