"""What may be said of an encoder that a run makes."""

import json

import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speech_affect_training.settings.distilled_encoder import DistilledEncoder, fetched
from speech_affect_training.settings.recipe import parse_arguments
from speech_affect_training.settings.systems import check_encoders


SMALL = {"distilled_from": "whisper", "hidden_states": [1, "last"], "training": {"max_steps": 5}}
ENCODERS = {"whisper": {"id": "x"}, "small": SMALL}
BASE = {"d_model": 512, "encoder_layers": 3, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048}


def test_what_has_to_be_fetched_is_the_source():
    check_encoders(ENCODERS)
    assert fetched("small", ENCODERS) == fetched("whisper", ENCODERS) == {"id": "x"}
    assert [branch["hidden_state"] for branch in DistilledEncoder(**SMALL).branches] == [1, "last"]


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"distilled_from": "wisper"},
            "has distilled_from: 'wisper'; name .*: whisper; did you mean 'whisper'",
        ),
        ({"distilled_from": "small"}, "has distilled_from: 'small'; name an encoder that has an id: whisper"),
        ({"id": "y"}, "encoder 'small' has an unknown key 'id'.*distilled_from"),
        ({"hidden_states": []}, r"has hidden_states: \[\]; give those of the source to predict, each once"),
        ({"hidden_states": [1, 1]}, r"has hidden_states: \[1, 1\]; give those"),
        ({"hidden_states": ["weighted_sum"]}, "has hidden_states: .*; give a list of whole numbers or one of last"),
        ({"cosine_weight": -1.0}, "has cosine_weight: -1.0; give a finite number of 0 or more"),
        ({"training": {}}, "training of encoder 'small' needs max_steps, the number of updates; give 0 or more"),
        ({"training": {"max_steps": -1}}, "training of encoder 'small' needs max_steps"),
        (
            {"training": {"max_steps": 2, "seed": 1}},
            "of encoder 'small' has seed, which is set for the whole run",
        ),
        ({"training": {"max_step": 2}}, "unknown key 'max_step'; did you mean 'max_steps'"),
    ],
)
def test_settings_that_are_not_allowed(settings, message):
    with pytest.raises(ValueError, match=message):
        check_encoders({**ENCODERS, "small": {**SMALL, **settings}})


def test_it_needs_unlabelled_speech_if_it_is_read_and_learns():
    systems = {name: {"role": "single", "branches": [{"source": name}]} for name in ("whisper", "small", "new")}
    encoders = {**ENCODERS, "new": {**SMALL, "training": {"max_steps": 0}}}
    given = ["--systems", json.dumps(systems), "--encoders", json.dumps(encoders)]
    with pytest.raises(ValueError, match="encoder 'small' learns from unlabelled audio; give --unlabelled_dir"):
        parse_arguments(given)
    assert list(parse_arguments([*given, "--only", "whisper", "new"])[0].encoders_read) == ["whisper", "new"]
    parse_arguments([*given, "--unlabelled_dir", "demo"])


def test_the_recipes_encoder_has_a_quarter_of_the_parameters_that_the_teacher_reads():
    run, _ = parse_arguments(["--recipe", "encoder_kd", "--unlabelled_dir", "demo"])
    assert run.encoders["small"]["config"] == run.encoders["new"]["config"]
    with torch.device("meta"):
        small, base = (WhisperEncoder(WhisperConfig(**sizes)) for sizes in (run.encoders["small"]["config"], BASE))
    counts = [sum(weight.numel() for weight in encoder.parameters()) for encoder in (small, base)]
    # two convolutions, 1500 positions, and per layer four projections, two of the feed-forward and two norms
    layer = 4 * 512**2 + 3 * 512 + 2 * 512 * 2048 + 2048 + 512 + 4 * 512
    assert counts[1] == 3 * 512 * (80 + 512) + 2 * 512 + 1500 * 512 + 3 * layer + 2 * 512
    assert counts[0] <= 0.25 * counts[1]
