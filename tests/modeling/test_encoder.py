"""Every encoder family: frames as transformers itself gives them, and the same ones in any batch."""

import copy

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from speech_affect import AffectEncoderConfig, AffectFusionConfig, AffectFusionModel
from speech_affect.encoder import SpeechEncoder, is_paddable, truncate_layers

from .conftest import assert_loads_as_it_was_saved


def _encoder(backbone_config, **settings) -> SpeechEncoder:
    return SpeechEncoder(AffectEncoderConfig(backbone=backbone_config, **settings), 16000).eval()


def _run(encoder, clips, states):
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    with torch.no_grad():
        return encoder(padded, lengths, states)


def _reference_hidden_states(encoder: SpeechEncoder, clip: torch.Tensor, do_normalize: bool):
    """Hidden states by transformers' own feature extractor and model, one clip at a time."""
    if encoder.family == "whisper":
        inputs = WhisperFeatureExtractor()(clip.numpy(), sampling_rate=16000, return_tensors="pt")
    elif encoder.family == "wav2vec2-bert":
        inputs = SeamlessM4TFeatureExtractor()(clip.numpy(), sampling_rate=16000, return_tensors="pt")
    else:
        extractor = Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
        inputs = extractor(clip.numpy(), sampling_rate=16000, return_tensors="pt")
    inputs = {k: v.to(encoder.backbone.dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    with torch.no_grad():
        return encoder.backbone(**inputs, output_hidden_states=True)


@pytest.mark.parametrize("do_normalize", [False, True])
def test_frames_equal_the_hidden_states_of_transformers(backbone_config, clips, do_normalize):
    encoder = _encoder(backbone_config, do_normalize=do_normalize)
    if encoder.family in ("whisper", "wav2vec2-bert") and do_normalize:
        pytest.skip("this family's own input has its normalisation built in")
    encoder.backbone.double()  # so that only a different computation shows, not its rounding
    for clip in clips[:2]:
        frames, mask = _run(encoder, [clip], ["last", 0, 2, "weighted_sum"])
        reference = _reference_hidden_states(encoder, clip, do_normalize)
        frames = {state: values.double() for state, values in frames.items()}
        count = mask.shape[1]
        assert mask.all() and count >= len(clip) // 320 - 1
        torch.testing.assert_close(frames["last"], reference.last_hidden_state[:, :count], atol=1e-5, rtol=0)
        for state in (0, 2):
            torch.testing.assert_close(frames[state], reference.hidden_states[state][:, :count], atol=1e-5, rtol=0)
        side_by_side = torch.cat(reference.hidden_states, dim=-1)[:, :count]
        torch.testing.assert_close(frames["weighted_sum"], side_by_side, atol=1e-5, rtol=0)


def test_a_batch_of_mixed_lengths_equals_one_clip_at_a_time(backbone_config, clips):
    encoder = _encoder(backbone_config, do_normalize=True)
    frames, mask = _run(encoder, clips, ["last", 1])
    for row, clip in enumerate(clips):
        alone, alone_mask = _run(encoder, [clip], ["last", 1])
        assert int(mask[row].sum()) == alone_mask.shape[1]
        for state in ("last", 1):
            difference = (frames[state][row][mask[row]] - alone[state][0]).abs().max()
            assert difference <= 1e-5


@pytest.mark.parametrize("family", ["hubert-group", "wav2vec2-group", "data2vec-audio"])
def test_families_that_padding_would_change_are_run_one_clip_at_a_time(tiny_backbone, clips, family):
    encoder = _encoder(tiny_backbone(family))
    assert not is_paddable(encoder.backbone.config)
    encoder.paddable = True  # the fault that this avoids
    frames, mask = _run(encoder, clips, ["last"])
    alone, _ = _run(encoder, [clips[1]], ["last"])
    assert (frames["last"][1][mask[1]] - alone["last"][0]).abs().max() > 1e-3


def test_saved_and_loaded_gives_the_same_output(backbone_config, clips, tmp_path):
    config = AffectFusionConfig(
        encoders={"encoder": {"backbone": backbone_config}},
        branches=[{"source": "encoder", "hidden_state": "weighted_sum"}, {"source": "encoder", "hidden_state": 1}],
    )
    assert_loads_as_it_was_saved(AffectFusionModel(config).eval(), {"input_values": clips[0][None]}, tmp_path)


def test_layers_that_no_branch_reads_can_be_left_out(backbone_config, clips):
    whole = _encoder(backbone_config)
    smaller = copy.deepcopy(backbone_config)
    truncate_layers(smaller, 1)
    assert smaller.num_hidden_layers == 2
    encoder = _encoder(smaller)
    encoder.backbone.load_state_dict(whole.backbone.state_dict(), strict=False)
    expected, _ = _run(whole, clips, [1])
    got, _ = _run(encoder, clips, [1])
    torch.testing.assert_close(got[1], expected[1], atol=1e-6, rtol=0)


def test_longer_audio_goes_in_windows(tiny_backbone):
    encoder = _encoder(tiny_backbone("whisper"))
    generator = torch.Generator().manual_seed(1)
    clip = 0.1 * torch.randn(32 * 16000, generator=generator)
    frames, mask = _run(encoder, [clip], ["last"])
    assert mask.shape == (1, 1500 + 100)
    first, _ = _run(encoder, [clip[: 30 * 16000]], ["last"])
    rest, _ = _run(encoder, [clip[30 * 16000 :]], ["last"])
    torch.testing.assert_close(frames["last"][0], torch.cat([first["last"][0], rest["last"][0]]), atol=1e-5, rtol=0)


def test_each_window_is_normalised_by_itself(tiny_backbone):
    encoder = _encoder(tiny_backbone("hubert"), do_normalize=True)
    encoder.window_size = 8000
    clip = torch.randn(20000) * torch.linspace(0.01, 1, 20000) + 0.1
    windows, owners = encoder._cut_windows(torch.stack([clip, clip]), [20000, 8000])
    assert [len(window) for window in windows] == [8000, 8000, 4000, 8000] and owners == [0, 0, 0, 1]
    for window, raw in zip(windows, [*clip.split(8000), clip[:8000]], strict=True):
        assert abs(window.mean()) < 1e-5 and abs(window.std(unbiased=False) - 1) < 1e-4
        torch.testing.assert_close(window, (raw - raw.mean()) / raw.std(unbiased=False), atol=1e-4, rtol=0)


def test_frames_of_long_audio_stay_on_their_grid(backbone_config):
    if backbone_config.model_type == "whisper":
        pytest.skip("a whole window of Whisper has all its frames, and is 30 s long")
    encoder = _encoder(backbone_config)
    encoder.window_size = 8000
    clip = torch.randn(20000)
    frames, mask = _run(encoder, [clip, clip[:16050]], ["last"])
    assert mask.sum(dim=1).tolist() == [25 + 25 + encoder.num_frames(4000), 25 + 24]  # 50 samples are no frame
    for start, window in ((0, clip[:8000]), (25, clip[8000:16000]), (50, clip[16000:])):
        alone, _ = _run(encoder, [window], ["last"])
        count = alone["last"].shape[1]
        torch.testing.assert_close(frames["last"][0, start : start + count], alone["last"][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(frames["last"][0, 24], frames["last"][0, 23], atol=0, rtol=0)


def test_a_remainder_too_short_for_unpadded_whisper_is_left_out(tiny_backbone):
    encoder = _encoder(tiny_backbone("whisper"), pad_to_window=False)
    encoder.window_size = 8000
    for remainder, count in ((200, 25), (201, 26)):
        frames, mask = _run(encoder, [torch.randn(8000 + remainder)], ["last"])
        assert mask.shape[1] == count and torch.isfinite(frames["last"]).all()


def test_too_short_a_clip(tiny_backbone):
    encoder = _encoder(tiny_backbone("hubert"))
    with pytest.raises(ValueError, match="300 samples are too few for one frame of hubert; give 0.1 s"):
        _run(encoder, [torch.randn(300)], ["last"])


def test_a_frozen_encoder_neither_trains_nor_drops_out(tiny_backbone, clips):
    encoder = _encoder(tiny_backbone("wav2vec2")).train()
    assert not encoder.backbone.training
    first, _ = _run(encoder, clips, ["last"])
    second, _ = _run(encoder, clips, ["last"])
    torch.testing.assert_close(first["last"], second["last"], atol=0, rtol=0)


def _trained(model) -> dict[str, int]:
    """Trained numbers of each part of a model."""
    parts = {"head": model.regressor, **model.front_end.encoders}
    return {
        name: sum(weight.numel() for weight in part.parameters() if weight.requires_grad)
        for name, part in parts.items()
    }


@pytest.mark.parametrize("frozen", [True, False])
def test_encoders_are_frozen_or_trained_however_a_model_is_made(make_model, tmp_path, frozen):
    model = make_model("fusion")
    if not frozen:
        model.unfreeze_encoders()
    model.save_pretrained(tmp_path)
    head = AffectFusionModel.from_pretrained(tmp_path, with_front_end=False)
    head.attach_front_end({name: encoder.backbone for name, encoder in model.front_end.encoders.items()})
    sizes = {name: encoder.backbone.num_parameters() for name, encoder in model.front_end.encoders.items()}
    sizes["whisper"] -= 1500 * 32  # its sinusoidal positions are never trained
    expected = dict.fromkeys(sizes, 0) if frozen else sizes
    for made in (
        model,
        head,
        AffectFusionModel(AffectFusionConfig.from_pretrained(tmp_path)),
        AutoModel.from_config(AutoConfig.from_pretrained(tmp_path)),
        AutoModel.from_pretrained(tmp_path),
        AffectFusionModel.from_pretrained(tmp_path, output_loading_info=True)[0],
    ):
        trained = _trained(made)
        assert trained.pop("head") == sum(weight.numel() for weight in model.regressor.parameters())
        assert trained == expected
        assert made.num_parameters(only_trainable=True) == sum(_trained(made).values())
        backbones = [encoder.backbone for encoder in made.train().front_end.encoders.values()]
        assert [backbone.training for backbone in backbones] == [not frozen] * 2


def test_one_encoder_is_trained_after_loading_and_saved_so(make_model, clips, tmp_path):
    make_model("fusion").save_pretrained(tmp_path / "frozen")
    model = AutoModel.from_pretrained(tmp_path / "frozen").train()
    model.unfreeze_encoders("hubert")
    assert [encoder.backbone.training for encoder in model.front_end.encoders.values()] == [True, False]
    model(clips[0][None]).logits.sum().backward()
    hubert, whisper = (encoder.backbone for encoder in model.front_end.encoders.values())
    assert hubert.encoder.layers[0].attention.q_proj.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in whisper.parameters())
    model.save_pretrained(tmp_path / "one")
    again = AutoModel.from_pretrained(tmp_path / "one")
    assert _trained(again) == _trained(model) and _trained(again)["whisper"] == 0
    assert [encoder.frozen for encoder in again.config.encoders.values()] == [False, True]
    again.train().freeze_encoders()
    assert not _trained(again)["hubert"] and not again.front_end.encoders["hubert"].backbone.training
    with pytest.raises(ValueError, match=r"no encoder 'wavlm'; this model's encoders are \['hubert', 'whisper'\]"):
        model.unfreeze_encoders("hubert", "wavlm")


@pytest.mark.parametrize("family", ["hubert", "wav2vec2-group", "whisper"])
def test_hidden_states_keep_their_places_in_training(tiny_backbone, clips, family):
    backbone = tiny_backbone(family)
    for name in ("layerdrop", "encoder_layerdrop"):
        setattr(backbone, name, 0.9)
    for name in ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "dropout"):
        setattr(backbone, name, 0.0)
    backbone.apply_spec_augment = False
    encoder = _encoder(backbone, frozen=False)
    states = [0, 1, 2, "last"]
    expected, _ = _run(encoder, clips[:1], states)
    trained, _ = _run(encoder.train(), clips[:1], states)
    torch.testing.assert_close(trained, expected, atol=1e-6, rtol=0)


def test_unpadded_whisper_is_the_same_encoder(tiny_backbone, clips):
    backbone = tiny_backbone("whisper")
    padded, unpadded = _encoder(backbone), _encoder(backbone, pad_to_window=False)
    unpadded.load_state_dict(padded.state_dict())
    generator = torch.Generator().manual_seed(1)
    full = 0.1 * torch.randn(30 * 16000, generator=generator)
    expected, _ = _run(padded, [full], ["last", 0, 2])
    got, _ = _run(unpadded, [full], ["last", 0, 2])
    for state in expected:  # nothing to pad: the very same frames
        torch.testing.assert_close(got[state], expected[state], atol=1e-5, rtol=0)
    frames, mask = _run(unpadded, clips, ["last"])
    for row, clip in enumerate(clips):
        alone, _ = _run(unpadded, [clip], ["last"])
        assert len(alone["last"][0]) == -(-len(clip) // 320)
        torch.testing.assert_close(frames["last"][row][mask[row]], alone["last"][0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family, whole", [("hubert", 8), ("wav2vec2-group", 1), ("whisper", 8)])
def test_a_gpu_takes_short_windows_together(family, whole, tiny_backbone):
    encoder = _encoder(tiny_backbone(family))
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    # as many as have, padded to 1.5 s, the audio of eight of 30 s
    assert encoder._windows_at_once(24000, gpu) == (8 * 20 if family == "hubert" else whole)
    assert encoder._windows_at_once(480000, gpu) == encoder._windows_at_once(24000, cpu) == whole


def test_more_windows_at_once_have_the_same_frames(clips, tiny_backbone, monkeypatch):
    encoder = _encoder(tiny_backbone("hubert"))
    expected, mask = _run(encoder, clips, ["last"])
    monkeypatch.setattr(encoder, "_windows_at_once", lambda longest, device: 2)
    frames, same = _run(encoder, clips, ["last"])
    assert torch.equal(mask, same)
    torch.testing.assert_close(frames["last"], expected["last"], atol=1e-5, rtol=0)
