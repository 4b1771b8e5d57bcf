"""A system that starts from a checkpoint gives its values; what starts anew is named."""

import copy
from dataclasses import replace

import pytest
import torch
from transformers import HubertConfig

from speech_affect import AffectFusionConfig, AffectFusionModel, AffectStudentConfig, AffectStudentModel
from speech_affect_training.encoders.encoder_sources import resolve_encoder
from speech_affect_training.jobs.initial_weights import resolve_checkpoints, take_weights
from speech_affect_training.jobs.train_job import run_job
from speech_affect_training.settings.systems import system_specs


SIZES = {"conv_channels": 4, "gru_hidden_size": 6, "embedding_size": 5, "num_gru_layers": 1}
TASKS = {"emotion_names": ["anger", "happiness"], "predict_uncertainty": True}
BACKBONE = HubertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)


def make_model(seed: int, branches: list, encoders: dict | None = None, **settings):
    """A model without a front end, all of whose numbers are random."""
    torch.manual_seed(seed)
    settings = {"label_range": (1.0, 7.0), **SIZES, **settings}
    model = AffectFusionModel(
        AffectFusionConfig(branches=branches, encoders=encoders, **settings), with_front_end=False
    )
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.uniform_(0.5, 1.5) if name.endswith(("std", "scale")) else value.uniform_(-0.5, 0.5)
    return model.eval()


def outputs_of(model, names: list[str]):
    """Of two clips, whose frames depend on their width alone."""
    generator, frames = torch.Generator().manual_seed(0), {}
    for name in ("mfb", "mfb_f0", "whisper-1", "other-1", "hubert"):
        width = {"mfb": 40, "mfb_f0": 43}.get(name, 8)
        values = torch.randn((2, 12, width), generator=generator)
        frames |= {name: values} if name in names else {}
    masks = {name: torch.ones(values.shape[:2], dtype=torch.bool) for name, values in frames.items()}
    with torch.no_grad():
        return model(frames=frames, frames_mask=masks)


@pytest.mark.parametrize("level", ["embedding", "frame"])
def test_on_another_range_it_starts_with_the_same_values_moved_to_it(level):
    """1..7 -> 0..1 and -2..2, by hand: (value - 1) / 6, and * 4 - 2."""
    branches = ["mfb", "mfb_f0"]
    settings = {**TASKS, "branches": [{"source": name} for name in branches], "fusion_level": level}
    source = make_model(1, **settings)
    expected = outputs_of(source, branches)
    for low, high in ((0.0, 1.0), (-2.0, 2.0)):
        model = make_model(2, **settings, label_range=(low, high))
        assert take_weights("here", model, source) == []
        found = outputs_of(model, branches)
        moved = low + (expected.logits - 1) / 6 * (high - low)
        torch.testing.assert_close(found.logits, moved, atol=1e-6, rtol=0)
        torch.testing.assert_close(found.uncertainty, expected.uncertainty / 6 * (high - low))
        torch.testing.assert_close(found.emotion_logits, expected.emotion_logits)


def test_outputs_and_classes_are_told_by_their_names():
    """Those that the source does not have keep their own numbers, and are named."""
    branches = [{"source": "mfb"}]
    source = make_model(1, branches, **TASKS, id2label={0: "valence", 1: "activation"})
    model = make_model(2, branches, emotion_names=["neutral", "happiness"], gender_names=["Female", "Male"])
    before = copy.deepcopy(model.regressor.state_dict())
    new = take_weights("here", model, source)
    assert new == ["output dominance", "emotion_output neutral", "gender_output Female", "gender_output Male"]
    expected, found = outputs_of(source, ["mfb"]), outputs_of(model, ["mfb"])
    torch.testing.assert_close(found.logits[:, [1, 0]], expected.logits)
    torch.testing.assert_close(found.emotion_logits[:, 1], expected.emotion_logits[:, 1])
    for name in ("output.weight", "emotion_output.weight", "gender_output.weight"):
        row = {"output.weight": 2, "emotion_output.weight": 0, "gender_output.weight": 1}[name]
        torch.testing.assert_close(model.regressor.state_dict()[name][row], before[name][row], atol=0, rtol=0)


def test_a_further_branch_starts_anew_and_the_others_keep_their_part():
    """In another place too: with the new branch's part of the embedding at 0, the values are the source's."""
    source = make_model(1, [{"source": "mfb"}, {"source": "mfb_f0"}])
    model = make_model(2, [{"source": "mfb_f0"}, {"source": "mfb", "normalization": "running"}, {"source": "mfb"}])
    assert take_weights("here", model, source) == ["branch mfb-running"]
    with torch.no_grad():
        model.regressor.embedding.weight[:, 6:12] = 0.0
    masks = {"mfb-running": torch.ones((2, 12), dtype=torch.bool)}
    generator, frames = torch.Generator().manual_seed(0), {}
    for name, width in (("mfb", 40), ("mfb_f0", 43)):
        frames[name] = torch.randn((2, 12, width), generator=generator)
        masks[name] = masks["mfb-running"]
    found = model(frames={**frames, "mfb-running": frames["mfb"]}, frames_mask=masks).logits
    torch.testing.assert_close(found, outputs_of(source, ["mfb", "mfb_f0"]).logits)


def encoder(name: str, **settings) -> dict:
    backbone = copy.deepcopy(BACKBONE)
    backbone.name_or_path = name
    return {"backbone": backbone, **settings}


def test_a_branch_fits_with_the_same_encoder_under_another_name():
    branches = [{"source": "whisper", "hidden_state": 1}]
    source = make_model(1, branches, {"whisper": encoder("hub/a")})
    model = make_model(2, [{"source": "other", "hidden_state": 1}], {"other": encoder("hub/a")})
    assert take_weights("here", model, source) == []
    assert set(model.regressor.inputs) == {"other-1"}
    found = outputs_of(model, ["other-1"]).logits
    generator = torch.Generator().manual_seed(0)
    for width in (40, 43):
        torch.randn((2, 12, width), generator=generator)
    torch.randn((2, 12, 8), generator=generator)
    frames = torch.randn((2, 12, 8), generator=generator)
    mask = {"whisper-1": torch.ones((2, 12), dtype=torch.bool)}
    torch.testing.assert_close(found, source(frames={"whisper-1": frames}, frames_mask=mask).logits)


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"encoders": {"whisper": encoder("hub/b")}},
            "here, of which no branch fits: it has whisper-1, this",
        ),
        ({"encoders": {"whisper": encoder("hub/a", do_normalize=True)}}, "no branch fits"),
        ({"gru_hidden_size": 5}, "a head of the same sizes"),
        ({"embedding_size": 4}, "a head of the same sizes"),
        ({"branches": [{"source": "whisper", "hidden_state": 1, "conv_stride": 4}]}, "no branch fits"),
    ],
)
def test_what_fits_nowhere_is_refused(settings, message):
    source = make_model(1, [{"source": "whisper", "hidden_state": 1}], {"whisper": encoder("hub/a")})
    whole = {"branches": [{"source": "whisper", "hidden_state": 1}], "encoders": {"whisper": encoder("hub/a")}}
    with pytest.raises(ValueError, match=message):
        take_weights("here", make_model(2, **{**whole, **settings}), source)


def test_a_trained_encoder_is_not_taken_for_the_frozen_one():
    branches = [{"source": "whisper", "hidden_state": 1}]
    source = make_model(1, branches, {"whisper": encoder("hub/a", frozen=False)})
    with pytest.raises(ValueError, match="here, which has trained its encoder 'whisper'; this system reads it frozen"):
        take_weights("here", make_model(2, branches, {"whisper": encoder("hub/a")}), source)


def test_a_student_takes_the_branch_of_a_fusion():
    source = make_model(1, [{"source": "mfb"}, {"source": "mfb_f0"}])
    model = AffectStudentModel(AffectStudentConfig(branch={"source": "mfb"}, **SIZES), with_front_end=False)
    assert take_weights("here", model, source) == []
    torch.testing.assert_close(model.regressor.embedding.weight, source.regressor.embedding.weight[:, :6])


RECIPE = {
    "continued": {"role": "student", "init_from": "student", "teacher": "fusion"},
    "student": {"role": "student", "teacher": "fusion"},
    "fusion": {"role": "teacher", "init_from": "first"},
    "first": {"role": "teacher"},
    "other": {"role": "baseline"},
}


def test_systems_come_after_those_they_start_from():
    assert list(system_specs(RECIPE, {}, None)) == ["first", "other", "fusion", "student", "continued"]
    assert list(system_specs(RECIPE, {}, ["student"])) == ["first", "fusion", "student"]
    circle = {**RECIPE, "first": {"role": "teacher", "init_from": "fusion"}}
    with pytest.raises(ValueError, match="wait for each other by init_from; let one start anew"):
        system_specs(circle, {}, None)
    both = {"role": "student", "init_from": "x", "pretraining": {"source": "whisper"}}
    with pytest.raises(ValueError, match="has pretraining and init_from, which both give its first weights"):
        system_specs({"a": both}, {"whisper": {"id": "x"}}, None)


def test_only_checkpoints_of_this_package_are_taken(tiny_encoder, tmp_path):
    make_model(1, [{"source": "mfb"}]).save_pretrained(tmp_path / "model")
    specs = system_specs({"a": {"role": "teacher", "init_from": str(tmp_path / "model")}}, {}, None)
    found = resolve_checkpoints(specs, tmp_path)["a"]
    assert found.name == "model" and found.revision.startswith("sha256-")
    specs = {"a": replace(specs["a"], init_from=str(tiny_encoder))}
    with pytest.raises(ValueError, match="a model of type 'whisper'; give a checkpoint that this package has written"):
        resolve_checkpoints(specs, tmp_path)


def test_a_job_starts_from_a_checkpoint_and_from_another_job(trained_jobs, tmp_path, caplog):
    """With a learning rate of 0 it predicts what the other does; the weights are part of the job's identity."""
    still = ("--learning_rate", "0", "--num_train_epochs", "1", "--only", "teacher")
    first = trained_jobs.make_jobs(tmp_path / "a", "--only", "teacher")["teacher"]
    run_job(first, 8)
    expected = first.predictions_path(list(first.tables)[-1]).read_text()
    plain = trained_jobs.make_jobs(tmp_path / "b", *still)["teacher"]
    source = resolve_encoder(str(first.folder / "model"))
    spec = replace(plain.spec, init_from="somewhere")
    identities = {plain.fingerprint}
    for initial in (first, source):
        job = replace(plain, initial=initial, spec=spec, folder=tmp_path / "b" / "jobs" / type(initial).__name__)
        identities.add(job.fingerprint)
        with caplog.at_level("INFO"):
            run_job(job, 8)
        assert job.predictions_path(list(job.tables)[-1]).read_text() == expected
    assert len(identities) == 3
    assert "starts from model; anew: nothing" in caplog.text
