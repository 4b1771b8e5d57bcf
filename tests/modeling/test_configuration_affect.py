"""Configurations: round trips, derived sizes, errors."""

import pytest
from transformers import AutoConfig

from speech_affect import AffectBranchConfig, AffectEncoderConfig, AffectFusionConfig, AffectStudentConfig


def test_fusion_round_trip(tiny_backbone, tmp_path):
    config = AffectFusionConfig(
        encoders={
            "hubert": {"backbone": tiny_backbone("hubert"), "do_normalize": True},
            "whisper": AffectEncoderConfig(backbone=tiny_backbone("whisper")),
        },
        branches=[
            {"source": "mfb_f0"},
            {"source": "hubert", "hidden_state": "weighted_sum"},
            {"source": "whisper"},
        ],
        fusion_level="frame",
        label_range=(1.0, 5.0),
        emotion_names=["A", "N"],
    )
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is AffectFusionConfig
    assert loaded.to_dict() | {"_name_or_path": ""} == config.to_dict() | {"_name_or_path": ""}
    assert loaded.encoders["hubert"].do_normalize and loaded.encoders["whisper"].backbone.model_type == "whisper"
    assert list(loaded.id2label.values()) == ["activation", "valence", "dominance"]
    assert [branch.name for branch in loaded.branches] == ["mfb_f0", "hubert-weighted_sum", "whisper-last"]


def test_widths_and_hops(tiny_backbone):
    config = AffectFusionConfig(
        encoders={"hubert": {"backbone": tiny_backbone("hubert")}},
        branches=[
            {"source": "mfb"},
            {"source": "mfb_f0"},
            {"source": "hubert"},
            {"source": "hubert", "hidden_state": "weighted_sum"},
        ],
    )
    assert [config.branch_width(b) for b in config.branches] == [40, 43, 32, 4 * 32]
    assert [config.branch_hop(b) for b in config.branches] == [160, 160, 320, 320]


WRONG_SETTINGS = [
    (AffectBranchConfig, {"hidden_state": "first"}, "allowed are 'last', 'weighted_sum' or the index"),
    (AffectFusionConfig, {"branches": [{"hop_s": 0.05}]}, "0 < hop_s <= window_s"),
    (AffectBranchConfig, {"num_mel_bins": 0}, "num_mel_bins is 0"),
    (AffectFusionConfig, {"branches": [{"source": "hubert"}]}, "source 'hubert' is unknown; allowed are mfb, mfb_f0"),
    (AffectFusionConfig, {"branches": [{"source": "mfb"}, {"source": "mfb"}]}, "branches repeat"),
    (AffectFusionConfig, {"branches": ["mfb"]}, "expected an AffectBranchConfig or a dict, got 'mfb'"),
    (AffectFusionConfig, {"branches": [AffectEncoderConfig()]}, "expected an AffectBranchConfig or a dict"),
    (AffectFusionConfig, {"fusion_level": "word"}, "allowed are 'embedding' and 'frame'"),
    (AffectFusionConfig, {"label_range": (7.0, 1.0)}, "lowest first"),
    (AffectFusionConfig, {"sampling_rate": 8000}, "the models take audio at 16000 Hz"),
    (AffectFusionConfig, {"ccc_weights": (1.0, 1.0)}, "one weight >= 0 for each"),
    (AffectFusionConfig, {"gru_hidden_size": 0}, "gru_hidden_size is 0"),
    (AffectFusionConfig, {"dropout": 1.0}, r"it must be in \[0, 1\)"),
    (AffectFusionConfig, {"branches": [{"hop_s": 0.00001, "window_s": 0.025}]}, "no whole number of samples"),
    (AffectFusionConfig, {"id2label": {0: "valence", 1: "activation", 2: "dominance"}}, "in this order"),
    (AffectStudentConfig, {"branch": {"source": "hubert"}}, "reads low-level features only"),
    (AffectStudentConfig, {"branch": "mfb"}, "expected an AffectBranchConfig or a dict, got 'mfb'"),
    (AffectStudentConfig, {"sampling_rate": 8000}, "the models take audio at 16000 Hz"),
    (AffectEncoderConfig, {"backbone": 3}, "backbone is 3; give the configuration of an encoder of transformers"),
]


@pytest.mark.parametrize(
    "config_class, settings, message", WRONG_SETTINGS, ids=[row[2][:40] for row in WRONG_SETTINGS]
)
def test_settings_that_do_not_fit(config_class, settings, message):
    with pytest.raises(ValueError, match=message):
        config_class(**settings)


def test_a_hidden_state_that_does_not_exist(tiny_backbone):
    encoders = {"hubert": {"backbone": tiny_backbone("hubert")}}
    with pytest.raises(ValueError, match="hidden_state 4 of 'hubert' does not exist: it has 0 to 3"):
        AffectFusionConfig(encoders=encoders, branches=[{"source": "hubert", "hidden_state": 4}])


def test_a_dict_that_is_no_configuration():
    with pytest.raises(ValueError, match="this is no configuration of speech_affect_student: "):
        AffectStudentConfig.from_dict({3: 3})
