"""What may be said of how an encoder is trained."""

import pytest

from speech_affect import AffectEncoderConfig
from speech_affect_training.settings.encoder_training import EncoderTraining, Lora
from speech_affect_training.settings.systems import build_config, system_specs


ENCODERS = {"whisper": {"id": "x"}, "other": {"id": "y"}}
SYSTEM = {"role": "teacher", "branches": ["mfb", {"source": "whisper", "hidden_state": 2}]}


def make_spec(**system):
    return system_specs({"a": {**SYSTEM, **system}}, ENCODERS, None)["a"]


def test_settings_and_their_defaults():
    lora = {"r": 4, "alpha": 8, "targets": ["fc1"]}
    spec = make_spec(train_encoders={"whisper": {"layers": 2, "learning_rate": 1e-4, "lora": lora}})
    assert spec.train_encoders == {"whisper": EncoderTraining(layers=2, learning_rate=1e-4, lora=Lora(4, 8, ("fc1",)))}
    assert make_spec(train_encoders={"whisper": {}}).train_encoders == {"whisper": EncoderTraining()}
    assert [branch["source"] for branch in spec.frozen_branches] == ["mfb"]
    assert make_spec().train_encoders == {}


def test_a_trained_encoder_has_float32_weights_and_no_specaugment_of_its_own():
    whisper = AffectEncoderConfig(backbone={"model_type": "wav2vec2", "dtype": "float16", "num_hidden_layers": 3})
    spec = make_spec(train_encoders={"whisper": {}})
    for trained, dtype in ((True, "torch.float32"), (False, "torch.float16")):
        config = build_config(spec if trained else make_spec(), {"whisper": whisper}, {}, (1.0, 7.0), [], [])
        encoder = config.encoders["whisper"]
        assert str(encoder.backbone.dtype) == dtype
        assert encoder.frozen == encoder.backbone.apply_spec_augment == (not trained)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"other": {}}, "train_encoders of system 'a' names 'other'; encoders of its branches are whisper"),
        ({"whisper": {"layer": 2}}, "has an unknown key 'layer'; did you mean 'layers'"),
        ({"whisper": {"layers": "last"}}, "'whisper' in train_encoders of system 'a' has layers: 'last'; give"),
        (
            {"whisper": {"layers": 0}},
            "'whisper' in train_encoders of system 'a': layers is 0; give all, or",
        ),
        ({"whisper": {"layers": 1, "convolutions": True}}, "convolutions are trained with all layers alone"),
        ({"whisper": {"lora": {}, "convolutions": True}}, "convolutions are trained with all layers alone"),
        ({"whisper": {"learning_rate": 0.0}}, "learning_rate is 0.0; give a finite number above 0"),
        ({"whisper": {"layer_decay": 1.5}}, "layer_decay is 1.5; give a number above 0, up to 1"),
        ({"whisper": {"lora": {"r": 0}}}, "give r of 1 or more, alpha above 0 and targets"),
        ({"whisper": {"lora": {"targets": []}}}, "give r of 1 or more, alpha above 0 and targets"),
        (
            {"whisper": {"lora": {"rank": 8}}},
            "lora of 'whisper' in train_encoders of system 'a' has an unknown key",
        ),
    ],
)
def test_settings_that_are_not_allowed(settings, message):
    with pytest.raises(ValueError) as error:
        make_spec(train_encoders=settings)
    assert message in str(error.value)


def test_a_student_has_no_encoder_to_train():
    with pytest.raises(ValueError, match="encoders of its branches are none"):
        system_specs({"a": {"role": "student", "train_encoders": {"whisper": {}}}}, ENCODERS, None)
