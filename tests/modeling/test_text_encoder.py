"""Text encoders: frames as transformers gives them, the same in any batch; fused with audio, saved and loaded."""

import copy

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    HubertConfig,
    ModernBertConfig,
    MusicgenConfig,
    PreTrainedConfig,
    RegNetConfig,
    RobertaConfig,
    T5Config,
    Wav2Vec2BertConfig,
    WhisperConfig,
    XLMRobertaConfig,
)

from speech_affect import (
    AffectEncoderConfig,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)
from speech_affect.encoder import TextEncoder, truncate_layers

from .conftest import assert_loads_as_it_was_saved


SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
    "initializer_range": 0.2,
}
PAD_1 = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}

BACKBONES = {
    "bert": lambda: BertConfig(**SMALL),
    "roberta": lambda: RobertaConfig(**SMALL, **PAD_1),
    "xlm-roberta": lambda: XLMRobertaConfig(**SMALL, **PAD_1),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=60, dim=32, n_layers=3, n_heads=2, hidden_dim=64, max_position_embeddings=24, initializer_range=0.2
    ),
    "electra": lambda: ElectraConfig(**SMALL, embedding_size=16),
    "deberta-v2": lambda: DebertaV2Config(
        **SMALL,
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_buckets=8,
    ),
    "modernbert": lambda: ModernBertConfig(
        **SMALL, pad_token_id=0, bos_token_id=1, cls_token_id=1, eos_token_id=2, sep_token_id=2
    ),
    "gpt2": lambda: GPT2Config(
        vocab_size=60, n_embd=32, n_layer=3, n_head=2, n_positions=24, initializer_range=0.2, bos_token_id=0
    ),
}
# tokens that fit all, special tokens of none among them
TEXTS = [torch.arange(5, 19), torch.arange(20, 23), torch.tensor([57, 58, 57, 58, 59, 40, 41])]
TEXT_BRANCH = {"source": "text", "conv_kernel_size": 3, "conv_stride": 1}


@pytest.fixture(params=sorted(BACKBONES))
def backbone_config(request):
    return BACKBONES[request.param]()


def _encoder(backbone_config, **settings) -> TextEncoder:
    return TextEncoder(AffectEncoderConfig(backbone=backbone_config, **settings)).eval()


def _batch(texts, padding_value: int = 0):
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=padding_value)
    lengths = torch.tensor([len(text) for text in texts])
    return ids, (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()


def _model(*branches, family="roberta", **settings) -> AffectFusionModel:
    config = AffectFusionConfig(
        branches=list(branches), encoders={"text": {"backbone": BACKBONES[family]()}}, **settings
    )
    return AffectFusionModel(config).eval()


@torch.no_grad()
def test_frames_equal_the_hidden_states_of_transformers(backbone_config):
    encoder = _encoder(backbone_config)
    reference_model = AutoModel.from_config(backbone_config).eval()
    reference_model.load_state_dict(encoder.backbone.state_dict(), strict=False)  # it has a pooler besides
    for text in TEXTS:
        frames, mask = encoder(*_batch([text]), ["last", 0, 2, "weighted_sum"])
        reference = reference_model(input_ids=text[None], output_hidden_states=True)
        assert mask.shape == (1, len(text)) and mask.all() and len(reference.hidden_states) == 4
        torch.testing.assert_close(frames["last"], reference.last_hidden_state, atol=1e-5, rtol=0)
        for state in (0, 2):
            torch.testing.assert_close(frames[state], reference.hidden_states[state], atol=1e-5, rtol=0)
        side_by_side = torch.cat(reference.hidden_states, dim=-1)
        torch.testing.assert_close(frames["weighted_sum"], side_by_side, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("padding_value", [0, 1, 33, -100])
def test_a_batch_of_mixed_lengths_equals_one_text_at_a_time(backbone_config, padding_value):
    encoder = _encoder(backbone_config)
    ids, given = _batch(TEXTS, padding_value)
    ids, given = (torch.nn.functional.pad(part, (0, 20)) for part in (ids, given))  # beyond all positions
    frames, mask = encoder(ids, given, ["last", 1])
    assert torch.equal(mask, given[:, :14].bool())
    for row, text in enumerate(TEXTS):
        alone, _ = encoder(*_batch([text]), ["last", 1])
        for state in ("last", 1):
            assert (frames[state][row][mask[row]] - alone[state][0]).abs().max() <= 1e-5
            assert not frames[state][row][~mask[row]].any()


@torch.no_grad()
def test_without_a_mask_the_padding_token_is_padding():
    encoder = _encoder(BACKBONES["roberta"]())
    ids, given = _batch(TEXTS, padding_value=1)
    (frames, mask), (expected, _) = encoder(ids, None, ["last"]), encoder(ids, given, ["last"])
    assert torch.equal(mask, given.bool())
    torch.testing.assert_close(frames["last"], expected["last"], atol=0, rtol=0)
    _, mask = _encoder(BACKBONES["gpt2"]())(ids, None, ["last"])  # which has no padding token
    assert mask.all()


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_poolers_are_left_out(family):
    assert AutoModel.from_config(BACKBONES[family]()).pooler is not None
    assert not [name for name in _encoder(BACKBONES[family]()).state_dict() if "pooler" in name]


def test_text_is_distinguished_from_speech(backbone_config, tiny_backbone):
    assert AffectEncoderConfig(backbone=backbone_config).is_text
    speech = [tiny_backbone("whisper"), tiny_backbone("wav2vec2"), tiny_backbone("wav2vec2-bert")]
    for backbone in (*speech, HubertConfig(), WhisperConfig(), Wav2Vec2BertConfig()):
        assert hasattr(backbone, "vocab_size") or backbone.model_type == "wav2vec2-bert"
        assert not AffectEncoderConfig(backbone=backbone).is_text
    assert not AffectEncoderConfig().is_text


def test_models_that_transformers_lists_as_text_though_they_read_other_things():
    pieces = {name: {"model_type": kind} for name, kind in (("text_encoder", "t5"), ("audio_encoder", "encodec"))}
    music = MusicgenConfig(**pieces, decoder={"model_type": "musicgen_decoder"})
    for backbone in (music, RegNetConfig(), PreTrainedConfig()):
        assert not AffectEncoderConfig(backbone=backbone).is_text


@torch.no_grad()
@pytest.mark.parametrize("with_mask", [True, False])
def test_texts_padded_on_the_left(backbone_config, with_mask):
    encoder, padding = _encoder(backbone_config), getattr(backbone_config, "pad_token_id", None)
    if padding is None and not with_mask:
        pytest.skip("this family has no padding token to tell")
    ids, mask = _batch(TEXTS, padding or 0)
    expected, expected_mask = encoder(ids, mask, ["last"])
    left = torch.stack([row.roll(int((valid == 0).sum())) for row, valid in zip(ids, mask, strict=True)])
    frames, frames_mask = encoder(left, mask.flip(1) if with_mask else None, ["last"])
    assert torch.equal(frames_mask, expected_mask)
    torch.testing.assert_close(frames["last"], expected["last"], atol=1e-6, rtol=0)


@torch.no_grad()
def test_layers_that_no_branch_reads_can_be_left_out(backbone_config):
    whole = _encoder(backbone_config)
    smaller = copy.deepcopy(backbone_config)
    truncate_layers(smaller, 1)
    smaller = type(smaller)(**smaller.to_dict())  # as it is read from a checkpoint
    assert smaller.num_hidden_layers == 2
    encoder = _encoder(smaller)
    encoder.backbone.load_state_dict(whole.backbone.state_dict(), strict=False)
    expected, _ = whole(*_batch(TEXTS), [1])
    got, _ = encoder(*_batch(TEXTS), [1])
    torch.testing.assert_close(got[1], expected[1], atol=1e-6, rtol=0)


WRONG_TOKENS = [
    (torch.tensor([5, 6]), None, r"shape \(2,\), torch.int64; give integers \(batch, tokens\)"),
    (torch.tensor([[5.0, 6.0]]), None, "torch.float32; give integers"),
    (
        torch.tensor([[5, 6]]),
        torch.ones(1, 3),
        r"mask of the tokens has shape \(1, 3\); it must be that of input_ids, \(1, 2\)",
    ),
    (torch.tensor([[5, 6, 7]]), torch.tensor([[1, 0, 1]]), "there is padding between valid samples, frames or tokens"),
    (torch.tensor([[5, 1, 7]]), None, "there is padding between valid samples"),
    (torch.tensor([[5, 6]]), torch.tensor([[0, 0]]), "a text has no token; give a tokenizer that adds special tokens"),
    (torch.tensor([[5, 60]]), None, "input_ids reach 60, but roberta has tokens 0 to 59: they come from another"),
    (torch.tensor([[-1, 5]]), None, "roberta has tokens 0 to 59"),
]


@pytest.mark.parametrize("ids, mask, message", WRONG_TOKENS, ids=[message[:30] for *_, message in WRONG_TOKENS])
def test_tokens_that_do_not_fit(ids, mask, message):
    with pytest.raises(ValueError, match=message):
        _encoder(BACKBONES["roberta"]())(ids, mask, ["last"])


@pytest.mark.parametrize(
    "family, limit", [("bert", 24), ("distilbert", 24), ("roberta", 22), ("deberta-v2", 24), ("gpt2", 24)]
)
@torch.no_grad()
def test_the_longest_text(family, limit):
    encoder = _encoder(BACKBONES[family]())
    frames, _ = encoder(*_batch([torch.arange(5, 5 + limit)]), ["last"])
    assert frames["last"].shape == (1, limit, 32)
    with pytest.raises(ValueError, match=f"has {limit + 1} tokens; {family} takes {limit} at most: .*truncation=True"):
        encoder(*_batch([torch.arange(5, 6 + limit)]), ["last"])


def test_saved_and_loaded_gives_the_same_output(backbone_config, clips, tmp_path):
    config = AffectFusionConfig(
        encoders={"text": {"backbone": backbone_config}},
        branches=[{"source": "mfb"}, {**TEXT_BRANCH, "hidden_state": "weighted_sum"}, {**TEXT_BRANCH}],
    )
    assert_loads_as_it_was_saved(
        AffectFusionModel(config).eval(), {"input_values": clips[0][None], "input_ids": TEXTS[0][None]}, tmp_path
    )


@torch.no_grad()
def test_fusion_with_text_does_not_depend_on_the_batch(clips):
    model = _model({"source": "mfb"}, TEXT_BRANCH, {**TEXT_BRANCH, "hidden_state": 1})
    lengths = torch.tensor([len(clip) for clip in clips[:3]])
    audio = torch.nn.utils.rnn.pad_sequence(clips[:3], batch_first=True)
    audio_mask = (torch.arange(audio.shape[1]) < lengths.unsqueeze(1)).long()
    ids, text_mask = _batch(TEXTS)
    inputs = {"input_values": audio, "attention_mask": audio_mask, "input_ids": ids, "text_attention_mask": text_mask}
    logits = model(**inputs).logits
    for row in range(3):
        alone = model(input_values=clips[row][None], input_ids=TEXTS[row][None]).logits
        assert (logits[row] - alone[0]).abs().max() <= 1e-5
    exchanged = model(**{**inputs, "input_ids": ids.where(ids != 20, 50)}).logits  # the second text alone
    assert (exchanged[1] - logits[1]).abs().max() > 1e-4
    torch.testing.assert_close(exchanged[[0, 2]], logits[[0, 2]], atol=1e-6, rtol=0)


@torch.no_grad()
def test_text_alone_needs_no_waveform(clips):
    model = _model(TEXT_BRANCH)
    ids, mask = _batch(TEXTS)
    assert model(input_ids=ids, text_attention_mask=mask).logits.shape == (3, 3)
    with pytest.raises(ValueError, match="this model reads no audio: leave input_values out"):
        model(input_values=clips[0][None], input_ids=ids[:1])
    with pytest.raises(ValueError, match="attention_mask belongs to input_values, .* pass a tokenizer's as text_att"):
        model(input_ids=ids, attention_mask=mask)


def test_inputs_that_are_missing_or_not_read(clips):
    model, student = _model({"source": "mfb"}, TEXT_BRANCH), AffectStudentModel(AffectStudentConfig()).eval()
    ids, mask = _batch(TEXTS[:1])
    audio = clips[0][None]
    with pytest.raises(ValueError, match="needs the transcript: pass input_ids and text_attention_mask"):
        model(input_values=audio)
    with pytest.raises(ValueError, match="needs the waveform: pass input_values"):
        model(input_ids=ids)
    with pytest.raises(ValueError, match="text_attention_mask belongs to input_ids, which are missing"):
        model(input_values=audio, text_attention_mask=mask)
    with pytest.raises(ValueError, match="input_ids are 2 texts for 1 clips; give one for each"):
        model(input_values=audio, input_ids=ids.expand(2, -1))
    with pytest.raises(ValueError, match="either input_values .a waveform. with input_ids .a transcript. or frames"):
        model()
    frames, masks = model.front_end(audio, None, ids, mask)
    with pytest.raises(ValueError, match="or frames .cached, per branch., not both"):
        model(frames=frames, frames_mask=masks, input_ids=ids)
    for without in (student, AffectFusionModel(AffectFusionConfig()).eval()):
        with pytest.raises(ValueError, match="this model reads no text: leave input_ids out"):
            without(input_values=audio, input_ids=ids)


def test_tokens_have_no_time(clips):
    model = _model({"source": "mfb"}, TEXT_BRANCH)
    assert [model.config.branch_hop(branch) for branch in model.config.branches] == [160, None]
    assert model.regressor.hidden_hops == [1280, None]
    with pytest.raises(ValueError, match="tokens have no time: a model with a text branch has no estimates at each"):
        model(input_values=clips[0][None], input_ids=TEXTS[0][None], output_frame_logits=True)
    with pytest.raises(ValueError, match="tokens have no time"):
        _ = model.frame_hop_s
    with pytest.raises(ValueError, match="fusion_level is 'frame', but tokens of a text branch have no time"):
        _model({"source": "mfb"}, TEXT_BRANCH, fusion_level="frame")


def test_encoders_that_a_model_cannot_have():
    encoders = {name: {"backbone": BACKBONES[name]()} for name in ("bert", "roberta")}
    with pytest.raises(ValueError, match=r"text encoders are \['bert', 'roberta'\]; give one at most"):
        AffectFusionConfig(encoders=encoders, branches=[{"source": "bert"}])
    t5 = {"t5": {"backbone": T5Config(vocab_size=60, d_model=32, num_layers=2)}}
    with pytest.raises(ValueError, match="the text encoder t5 has a decoder too, .* give an encoder, such as RoBERTa"):
        AffectFusionConfig(encoders=t5, branches=[{"source": "t5"}])
    with pytest.raises(ValueError, match="allowed are mfb, mfb_f0"):
        AffectStudentConfig(branch={"source": "roberta"})
