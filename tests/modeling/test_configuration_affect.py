"""Configurations: round trips, derived sizes, errors."""

import pytest
from transformers import AutoConfig

from speech_affect import (
    AffectBranchConfig,
    AffectEncoderConfig,
    AffectFusionConfig,
    AffectStudentConfig,
    AffectStudentModel,
)

from .conftest import SIZES


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
            {"source": "mfb_f0", "normalization": "running"},
            {"source": "hubert"},
            {"source": "hubert", "hidden_state": "weighted_sum"},
        ],
    )
    assert [branch.name for branch in config.branches] == [
        "mfb",
        "mfb_f0-running",
        "hubert-last",
        "hubert-weighted_sum",
    ]
    assert [config.branch_width(b) for b in config.branches] == [40, 43, 32, 4 * 32]
    assert [config.branch_hop(b) for b in config.branches] == [160, 160, 320, 320]


WRONG_SETTINGS = [
    (AffectBranchConfig, {"hidden_state": "first"}, "allowed are 'last', 'weighted_sum' or the index"),
    (AffectFusionConfig, {"branches": [{"hop_s": 0.05}]}, "0 < hop_s <= window_s"),
    (AffectBranchConfig, {"num_mel_bins": 0}, "num_mel_bins is 0"),
    (AffectBranchConfig, {"normalization": "clip"}, "normalization is 'clip'; allowed are None and 'running'"),
    (AffectBranchConfig, {"normalization": True}, "normalization is True; allowed are None and 'running'"),
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
    (AffectStudentConfig, {"id2label": {0: "valence", 1: "valence"}}, "any of activation, valence, dominance, each"),
    (AffectStudentConfig, {"id2label": {0: "arousal"}}, "any of activation, valence, dominance"),
    (AffectStudentConfig, {"id2label": {1: "valence"}}, "a mapping of 0, 1, ..."),
    (
        AffectStudentConfig,
        {"label2id": {"valence": 0, "activation": 1, "dominance": 2}},
        "label2id is .* id2label says",
    ),
    (AffectStudentConfig, {"id2label": {0: "valence"}, "num_labels": 2}, "num_labels is 2; the outputs are valence"),
    (AffectStudentConfig, {"num_labels": 2}, "num_labels is 2; the outputs are activation, valence, dominance"),
    (AffectStudentConfig, {"label_range": 7}, "label_range is 7"),
    (AffectStudentConfig, {"emotion_names": "AH"}, "give a list of up to 1000 names"),
    (AffectStudentConfig, {"gender_names": ["F", "F"]}, "give each class once"),
    (AffectStudentConfig, {"predict_uncertainty": "no"}, "predict_uncertainty is 'no'; it must be True or False"),
    (AffectEncoderConfig, {"frozen": 1}, "frozen is 1; it must be True or False"),
    (AffectStudentConfig, {"branch": {"source": "hubert"}}, "source 'hubert' is unknown; allowed are mfb, mfb_f0"),
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


# each is allowed or refused by itself, whatever the other settings are
WRONG_BY_ITSELF = [row for row in WRONG_SETTINGS if row[0] is AffectStudentConfig and "is unknown" not in row[2]]


@pytest.mark.parametrize("_, settings, message", WRONG_BY_ITSELF, ids=[row[2][:40] for row in WRONG_BY_ITSELF])
def test_a_setting_is_checked_when_it_is_set(tmp_path, _, settings, message):
    AffectStudentConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        AutoConfig.from_pretrained(tmp_path, **settings)
    if "num_labels" in settings:
        return
    config = AutoConfig.from_pretrained(tmp_path)
    [(name, value)] = settings.items()
    with pytest.raises(ValueError, match=message):
        setattr(config, name, value)
    assert config.to_dict() == AutoConfig.from_pretrained(tmp_path).to_dict()  # it stays as it was


CHANGED_LATER = [
    (lambda config: setattr(config, "ccc_weights", [1, 2]), "ccc_weights .* one weight >= 0 for each of activation,"),
    (lambda config: config.emotion_names.append("A"), "emotion_names repeat"),
    (lambda config: config.label_range.reverse(), "lowest first"),
    (lambda config: config.id2label.pop(0), "id2label is"),
    (lambda config: setattr(config, "uncertainty_loss_weight", 0), "uncertainty_loss_weight is 0"),
    (lambda config: setattr(config.branch, "hop_s", 0.5), "0 < hop_s <= window_s"),
    (lambda config: setattr(config.branch, "source", "hubert"), "source 'hubert' is unknown; allowed are mfb, mfb_f0"),
]


@pytest.mark.parametrize("change, message", CHANGED_LATER, ids=[message[:20] for _, message in CHANGED_LATER])
def test_what_cannot_be_loaded_is_neither_saved_nor_built(tmp_path, change, message):
    settings = {"emotion_names": ["A", "H"], "label_range": [1, 5], "predict_uncertainty": True}
    config = AffectStudentConfig(**SIZES, **settings)
    model = AffectStudentModel(config)
    change(config)
    for use in (config.save_pretrained, model.save_pretrained, lambda _: AffectStudentModel(config)):
        with pytest.raises(ValueError, match=message):
            use(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_settings_that_allow_each_other_are_given_in_any_order(tmp_path):
    AffectStudentConfig(ccc_weights=(1, 2, 3)).save_pretrained(tmp_path)
    two = {0: "valence", 1: "dominance"}
    for names in (
        ["id2label", "ccc_weights", "num_labels", "label2id"],
        ["label2id", "num_labels", "ccc_weights", "id2label"],
    ):
        given = {"id2label": two, "ccc_weights": [1, 2], "num_labels": 2, "label2id": {"dominance": 1, "valence": 0}}
        config = AutoConfig.from_pretrained(tmp_path, **{name: given[name] for name in names})
        assert (config.id2label, config.ccc_weights, config.num_labels) == (two, [1, 2], 2)
    assert AutoConfig.from_pretrained(tmp_path, id2label=two, ccc_weights=None).label2id == {
        "valence": 0,
        "dominance": 1,
    }
    unordered = AffectStudentConfig(id2label={"2": "activation", "0": "valence", "1": "dominance"})
    assert list(unordered.id2label.items()) == [(0, "valence"), (1, "dominance"), (2, "activation")]


def test_parts_are_updated_by_what_is_given(tiny_backbone, tmp_path):
    encoder = {"backbone": tiny_backbone("hubert"), "do_normalize": True}
    AffectFusionConfig(encoders={"hubert": encoder}, branches=[{"source": "hubert"}]).save_pretrained(tmp_path)
    given = {"encoders": {"hubert": {"frozen": False}}, "hubert": {"attention_dropout": 0.3}}
    config = AutoConfig.from_pretrained(tmp_path, **given, branches=[{"source": "hubert", "hidden_state": 1}])
    encoder = config.encoders["hubert"]
    assert encoder.do_normalize and not encoder.frozen and encoder.backbone.hidden_size == 32
    assert encoder.backbone.attention_dropout == 0.3 and config.hubert is encoder.backbone
    assert "hubert" not in config.to_dict() and [branch.name for branch in config.branches] == ["hubert-1"]
    AffectStudentConfig(branch={"num_mel_bins": 64}).save_pretrained(tmp_path / "student")
    branch = AutoConfig.from_pretrained(tmp_path / "student", branch={"conv_stride": 4}).branch
    assert (branch.num_mel_bins, branch.conv_stride) == (64, 4)


def test_a_hidden_state_that_does_not_exist(tiny_backbone):
    encoders = {"hubert": {"backbone": tiny_backbone("hubert")}}
    with pytest.raises(ValueError, match="hidden_state 4 of 'hubert' does not exist: it has 0 to 3"):
        AffectFusionConfig(encoders=encoders, branches=[{"source": "hubert", "hidden_state": 4}])


def test_hidden_states_are_not_normalised(tiny_backbone):
    encoders = {"hubert": {"backbone": tiny_backbone("hubert")}}
    with pytest.raises(ValueError, match="of branch 'hubert-last' is 'running'; only acoustic branches have it"):
        AffectFusionConfig(encoders=encoders, branches=[{"source": "hubert", "normalization": "running"}])


def test_a_dict_that_is_no_configuration():
    with pytest.raises(ValueError, match="this is no configuration of speech_affect_student: "):
        AffectStudentConfig.from_dict({3: 3})
