"""Both models: padding and batching, cached frames, label scale, losses, saving, refusals."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)


# weights that are mapped from a file lie at other addresses, where kernels may round otherwise
LOADED_ATOL = 1e-6
KINDS = ["student", "student_f0", "mfb", "weighted_sum", "fusion_embedding", "fusion_frame"]


@pytest.fixture
def make_model(tiny_backbone):
    """Makes a small model of a kind."""

    def make(kind: str, **settings):
        if kind.startswith("student"):
            source = "mfb_f0" if kind == "student_f0" else "mfb"
            return AffectStudentModel(AffectStudentConfig(branch={"source": source}, **settings)).eval()
        encoders = {
            "hubert": {"backbone": tiny_backbone("hubert"), "do_normalize": True},
            "whisper": {"backbone": tiny_backbone("whisper")},
        }
        branches = {
            "mfb": [{"source": "mfb"}],
            "weighted_sum": [{"source": "hubert", "hidden_state": "weighted_sum", "conv_stride": 2}],
        }.get(kind, [{"source": "mfb"}, {"source": "hubert"}, {"source": "whisper", "hidden_state": 1}])
        used = {branch["source"] for branch in branches}
        config = AffectFusionConfig(
            branches=branches,
            encoders={name: encoder for name, encoder in encoders.items() if name in used},
            fusion_level="frame" if kind == "fusion_frame" else "embedding",
            **settings,
        )
        return AffectFusionModel(config).eval()

    return make


@pytest.fixture(params=KINDS)
def model(request, make_model):
    return make_model(request.param)


def padded(clips) -> dict:
    lengths = torch.tensor([len(clip) for clip in clips])
    return {
        "input_values": pad_sequence(clips, batch_first=True),
        "attention_mask": (torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).long(),
    }


@torch.no_grad()
def test_padding_and_batching_never_change_a_prediction(model, clips):
    together = model(**padded(clips), output_frame_logits=True)
    for row, clip in enumerate(clips):
        alone = model(clip[None], output_frame_logits=True)
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.embedding[row], alone.embedding[0], atol=1e-5, rtol=0)
        frames = together.frame_logits[row][together.frame_mask[row]]
        torch.testing.assert_close(frames, alone.frame_logits[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_lies_behind_the_mask_does_not_count(model, clips):
    batch = padded(clips)
    expected, masks = model.front_end(**batch)
    other_voice = torch.sin(2 * torch.pi * 180 * torch.arange(batch["input_values"].shape[1]) / 16000)
    batch["input_values"] = batch["input_values"] + other_voice * (1 - batch["attention_mask"])
    frames, _ = model.front_end(**batch)
    for name, mask in masks.items():
        torch.testing.assert_close(frames[name][mask], expected[name][mask], atol=1e-6, rtol=0)


@torch.no_grad()
def test_cached_frames_give_the_same_output_as_the_waveform(model, clips):
    batch = padded(clips)
    frames, masks = model.front_end(**batch)
    from_frames = model(frames=frames, frames_mask=masks)
    torch.testing.assert_close(from_frames.logits, model(**batch).logits, atol=0, rtol=0)


@torch.no_grad()
def test_saved_and_loaded_through_auto_model(model, clips, tmp_path):
    for name, part in model.regressor.inputs.items():  # as training leaves them
        model.regressor.set_frame_statistics(name, torch.randn_like(part.frame_mean), torch.rand_like(part.frame_std))
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"model.safetensors", "config.json"}
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is type(model)
    batch = padded(clips)
    torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits, atol=LOADED_ATOL, rtol=0)


def test_a_checkpoint_needs_no_second_download(make_model, clips, tmp_path, monkeypatch):
    model = make_model("fusion_embedding")
    model.save_pretrained(tmp_path)

    def refuse(*args, **kwargs):
        raise AssertionError(f"asked the Hub for {args} {kwargs}")

    monkeypatch.setattr("huggingface_hub.file_download.hf_hub_download", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(clips[0][None]).logits, model(clips[0][None]).logits, atol=LOADED_ATOL, rtol=0)


def test_only_safetensors_are_loaded(make_model, tmp_path):
    model = make_model("student")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        AutoModel.from_pretrained(tmp_path)


def test_a_model_loaded_with_weights_missing_is_still_initialised(make_model, tmp_path):
    model = make_model("student", num_gru_layers=1)
    model.save_pretrained(tmp_path)
    loaded = AffectStudentModel.from_pretrained(tmp_path, num_gru_layers=2, emotion_names=["A", "N"])
    new = loaded.regressor.tc_grus[0].gru.weight_hh_l1
    torch.testing.assert_close(new.T @ new, torch.eye(128), atol=1e-4, rtol=0)  # orthogonal, as chosen
    assert not loaded.regressor.tc_grus[0].gru.bias_hh_l1.any()


def test_an_argument_that_does_not_exist(make_model, tmp_path):
    make_model("student").save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_argument'"):
        AffectStudentModel.from_pretrained(tmp_path, no_such_argument=1)


def test_logits_are_on_the_label_scale(make_model, clips):
    unit, wide = make_model("student", label_range=(-1.0, 1.0)), make_model("student", label_range=(1.0, 7.0))
    wide.load_state_dict(unit.state_dict())
    with torch.no_grad():
        expected = 4 + 3 * unit(clips[0][None]).logits
        torch.testing.assert_close(wide(clips[0][None]).logits, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_in_evaluation_no_value_leaves_the_label_range(make_model, clips):
    model = make_model("student", dropout=0.0, label_range=(1.0, 5.0))
    model.regressor.output.bias.copy_(torch.tensor([4.0, -4.0, 0.0]))
    output = model(**padded(clips), output_frame_logits=True)
    assert (output.logits[:, 0] == 5).all() and (output.logits[:, 1] == 1).all()
    assert (output.logits[:, 2] > 1).all() and (output.logits[:, 2] < 5).all()
    assert output.frame_logits.min() >= 1 and output.frame_logits.max() <= 5
    in_training = model.train()(**padded(clips)).logits
    assert (in_training[:, 0] > 5).all() and (in_training[:, 1] < 1).all()


def test_loss_is_the_weighted_mean_of_one_minus_ccc(make_model, clips):
    model = make_model("student", ccc_weights=(1.0, 2.0, 1.0))
    labels = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 1.0, 2.0], [2.0, 3.0, 3.5]])
    output = model(**padded(clips), labels=labels)
    x, y = output.logits.detach().double(), labels.double()
    covariance = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    ccc = 2 * covariance / (x.var(0, unbiased=False) + y.var(0, unbiased=False) + (x.mean(0) - y.mean(0)) ** 2)
    expected = ((1 - ccc) * torch.tensor([0.25, 0.5, 0.25])).sum().float()
    torch.testing.assert_close(output.loss.detach(), expected, atol=1e-5, rtol=0)
    assert list(output.loss_parts) == ["activation", "valence", "dominance"]


def test_emotion_classes_as_a_second_task(make_model, clips):
    model = make_model("student", emotion_names=["A", "H", "N"], emotion_loss_weight=0.5)
    emotions = torch.tensor([0, 2, -100, 1])
    labels = torch.rand(4, 3) * 6 + 1
    output = model(**padded(clips), labels=labels, emotion_labels=emotions)
    assert output.emotion_logits.shape == (4, 3)
    kept = [0, 1, 3]
    cross_entropy = torch.nn.functional.cross_entropy(output.emotion_logits[kept], emotions[kept])
    torch.testing.assert_close(output.loss_parts["emotion"], cross_entropy)
    alone = model(**padded(clips), labels=labels).loss
    torch.testing.assert_close(output.loss, alone + 0.5 * cross_entropy)


def test_every_trained_parameter_gets_a_gradient(model, clips):
    model.train()
    model(**padded(clips), labels=torch.rand(4, 3) * 6 + 1).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.requires_grad:
            assert torch.isfinite(parameter.grad).all(), name


def test_weighted_sum_starts_as_the_mean_of_hidden_states(make_model):
    part = make_model("weighted_sum").regressor.inputs["hubert-weighted_sum"]
    frames = torch.randn(2, 5, 4 * 32)
    torch.testing.assert_close(part(frames), frames.view(2, 5, 4, 32).mean(dim=2), atol=1e-6, rtol=0)


def test_frame_logits_follow_the_stated_hop(make_model, clips):
    model = make_model("student")
    output = model(clips[0][None], output_frame_logits=True)
    assert model.frame_hop_s == pytest.approx(0.08)
    assert output.frame_logits.shape[1] == -(-((len(clips[0]) - 400) // 160 + 1) // 8)


def test_the_student_is_small(make_model):
    assert make_model("student").num_parameters() <= 300_000


def test_tuple_output(make_model, clips):
    model = make_model("student")
    logits, embedding = model(clips[0][None], return_dict=False)
    torch.testing.assert_close(logits, model(clips[0][None]).logits)
    assert embedding.shape == (1, 128)


def test_a_model_without_front_end_can_be_given_one(make_model, clips, tmp_path):
    model = make_model("fusion_embedding")
    model.save_pretrained(tmp_path)
    head = AffectFusionModel.from_pretrained(tmp_path, with_front_end=False).eval()
    with pytest.raises(ValueError, match="takes frames only; attach_front_end first"):
        head(clips[0][None])
    with pytest.raises(ValueError, match=r"encoders given: \[\]; this model has \['hubert', 'whisper'\]"):
        head.attach_front_end({})
    head.attach_front_end({name: encoder.backbone for name, encoder in model.front_end.encoders.items()})
    torch.testing.assert_close(head(clips[0][None]).logits, model(clips[0][None]).logits, atol=LOADED_ATOL, rtol=0)


REFUSED = [
    ({}, "either input_values .* or frames"),
    ({"input_values": torch.zeros(16000)}, r"input_values has shape \(16000,\); it must be \(batch, samples\)"),
    ({"input_values": torch.zeros(1, 399)}, "a clip has 399 samples; 400 at 16 kHz are one frame of mfb"),
    (
        {"input_values": torch.zeros(1, 800), "attention_mask": torch.ones(1, 700)},
        r"attention_mask has shape \(1, 700\); it must be that of input_values, \(1, 800\)",
    ),
    ({"frames": {"other": torch.zeros(1, 4, 40)}}, "frames or frames_mask of branch 'mfb' are missing"),
    (
        {"frames": {"mfb": torch.zeros(1, 4, 39)}, "frames_mask": {"mfb": torch.ones(1, 4)}},
        r"frames of branch 'mfb' have shape \(1, 4, 39\); they must be \(batch, frames, 40\)",
    ),
    (
        {"frames": {"mfb": torch.zeros(1, 4, 40)}, "frames_mask": {"mfb": torch.zeros(1, 4)}},
        "valid frames first and at least one per clip",
    ),
    ({"input_values": torch.zeros(1, 800), "labels": torch.zeros(1, 2)}, r"labels have shape \(1, 2\)"),
    ({"input_values": torch.zeros(1, 800), "emotion_labels": torch.zeros(1).long()}, "this model has no classes"),
]


@pytest.mark.parametrize("inputs, message", REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_refusals(make_model, inputs, message):
    with pytest.raises(ValueError, match=message):
        make_model("student")(**inputs)


@torch.no_grad()
def test_lengths_from_a_tenth_of_a_second_up(model):
    extractor = AffectFeatureExtractor()
    for seconds in (0.1, 0.5, 31.0):
        generator = torch.Generator().manual_seed(1)
        clip = 0.1 * torch.randn(round(seconds * 16000), generator=generator)
        logits = model(**extractor(clip, return_tensors="pt")).logits
        assert logits.shape == (1, 3) and torch.isfinite(logits).all()
