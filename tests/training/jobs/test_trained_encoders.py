"""Encoders trained end to end: exactly the chosen weights, as fast as was said, on the same loss, kept as one."""

import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from speech_affect.audio import load_waveform
from speech_affect_training.frames.frame_dataset import collate_frames
from speech_affect_training.jobs.checkpoint import verify_checkpoint, write_checkpoint
from speech_affect_training.jobs.data_splits import DEVELOPMENT, TRAIN
from speech_affect_training.jobs.prediction import predict, read_predictions
from speech_affect_training.jobs.train_job import run_job
from speech_affect_training.jobs.trained_encoders import add_encoders, choose_weights, standardise_computed
from speech_affect_training.jobs.trainer import AffectTrainer


WHISPER = {"source": "whisper", "hidden_state": 2, "conv_kernel_size": 3, "conv_stride": 2}
FAST = {"whisper": {"learning_rate": 1e-2}}
FROZEN = {"role": "teacher", "branches": ["mfb", WHISPER]}
TUNED = {**FROZEN, "train_encoders": FAST}
LORA = {**FROZEN, "train_encoders": {"whisper": {"learning_rate": 1e-2, "lora": {"r": 2}}}}
WAV2VEC2 = {"role": "single", "branches": [{"source": "wav2vec2", "conv_kernel_size": 3, "conv_stride": 2}]}


ONE_EPOCH = ("--num_train_epochs", "1")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Encoders, audio and frames of all jobs."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def make_job(tuned_jobs, tmp_path, shared):
    """Makes the job of one system."""

    def make(system, *arguments, folder="a"):
        return tuned_jobs.make_jobs(tmp_path / folder, {"tuned": system}, *arguments, shared=shared)["tuned"]

    return make


def prepared(job):
    """The job's model as its training begins, the names of the encoders' weights that it trains, and their rates."""
    torch.manual_seed(0)
    model = job.new_model()
    add_encoders(job, model)
    rates, with_lora = choose_weights(job, model)
    trained = {name for name, weight in model.front_end.named_parameters() if weight.requires_grad}
    return model, trained, rates, with_lora


OUTSIDE = {"feature_projection", "encoder.pos_conv_embed", "encoder.layer_norm"}


@pytest.mark.parametrize(
    "system, settings, expected",
    [
        # whisper is read up to its second layer of three: what lies above has no gradient
        (TUNED, {"layers": "all"}, {"layers.0", "layers.1"}),
        (TUNED, {"layers": 1}, {"layers.1"}),
        (TUNED, {"convolutions": True}, {"conv1", "conv2", "layers.0", "layers.1"}),
        (WAV2VEC2, {"layers": "all"}, {*OUTSIDE, *(f"encoder.layers.{i}" for i in range(3))}),
        (WAV2VEC2, {"layers": 2}, {"encoder.layers.1", "encoder.layers.2"}),
        (
            WAV2VEC2,
            {"convolutions": True},
            {"feature_extractor", *OUTSIDE, *(f"encoder.layers.{i}" for i in range(3))},
        ),
    ],
)
def test_gradient_reaches_exactly_the_chosen_layers(make_job, system, settings, expected):
    (source,) = {branch["source"] for branch in system["branches"] if branch != "mfb"}
    model, trained, rates, _ = prepared(make_job({**system, "train_encoders": {source: settings}}))
    prefix = f"encoders.{source}.backbone."
    inside = {name for name, _ in model.front_end.named_parameters() if name.startswith(prefix)}
    chosen = {name for name in inside if name.removeprefix(prefix).startswith(tuple(f"{part}." for part in expected))}
    assert chosen and trained == chosen
    assert {name for name in rates if name.removeprefix("front_end.") in trained} == {f"front_end.{n}" for n in chosen}


def test_an_epoch_changes_the_chosen_weights_alone(make_job):
    job = make_job({**TUNED, "train_encoders": {"whisper": {"layers": 1, "learning_rate": 1e-2}}}, *ONE_EPOCH)
    run_job(job, 8)
    model, trained, _, _ = prepared(job)
    kept = load_file(job.folder / "encoders" / "whisper.safetensors")
    before = model.front_end.encoders["whisper"].backbone.state_dict()
    changed = {name for name, values in kept.items() if not torch.equal(values, before[name])}
    assert changed == {name.removeprefix("encoders.whisper.backbone.") for name in trained}
    assert set(load_file(job.folder / "model" / "model.safetensors")) == set(
        model.regressor.state_dict(prefix="regressor.")
    )


def test_each_layer_learns_slower_than_the_next(make_job, monkeypatch):
    """Of three layers, by hand: 0.8, 0.4, 0.2, and 0.1 before them; the head's own is 0.01, as its weight decay is."""
    system = {**WAV2VEC2, "train_encoders": {"wav2vec2": {"learning_rate": 0.8, "layer_decay": 0.5}}}
    arguments = ("--learning_rate", "0.01", "--lr_scheduler_type", "constant", "--weight_decay", "0.3")
    job, seen = make_job(system, *arguments, "--max_steps", "1"), {}

    def watched(self, *args, **kwargs):
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        for group in self.optimizer.param_groups:
            seen.update({names[parameter]: (group["lr"], group["weight_decay"]) for parameter in group["params"]})
        raise KeyboardInterrupt

    monkeypatch.setattr(AffectTrainer, "training_step", watched)
    with pytest.raises(KeyboardInterrupt):
        run_job(job, 8)
    prefix = "front_end.encoders.wav2vec2.backbone."
    rates = {index: seen[f"{prefix}encoder.layers.{index}.attention.q_proj.weight"] for index in range(3)}
    assert rates == {0: (0.2, 0.3), 1: (0.4, 0.3), 2: (0.8, 0.3)}
    assert seen[f"{prefix}feature_projection.projection.weight"] == (0.1, 0.3)
    assert seen["regressor.output.weight"] == (0.01, 0.3) and seen["regressor.output.bias"] == (0.01, 0.0)
    assert seen[f"{prefix}encoder.layers.2.attention.q_proj.bias"] == (0.8, 0.0)


def test_the_loss_is_that_of_the_whole_model(make_job):
    """Cached frames of mfb beside waveforms, against waveforms alone."""
    job = make_job(TUNED)
    model = prepared(job)[0].train()
    batch = collate_frames([job.dataset(job.tables[TRAIN])[row] for row in range(8)])
    assert set(batch["frames"]) == {"mfb"} and batch["input_values"].shape == (8, 4800 + 137 * 7)
    mixed = model(**batch)
    whole = job.new_model().train()
    whole.attach_front_end({"whisper": model.front_end.encoders["whisper"].backbone})
    whole.regressor.load_state_dict(model.regressor.state_dict())
    inputs = {name: batch[name] for name in ("input_values", "attention_mask", "labels")}
    torch.testing.assert_close(whole(**inputs).loss, mixed.loss, atol=1e-6, rtol=0)
    with pytest.raises(
        ValueError, match="give either input_values .a waveform. or frames .cached, per branch., not both"
    ):
        frames, masks = whole.front_end(inputs["input_values"], inputs["attention_mask"])
        whole(**inputs, frames=frames, frames_mask=masks)


def test_merged_lora_is_the_same_encoder_without_peft(make_job):
    """At first it changes nothing; with other numbers the merged weights give what the added matrices gave."""
    job = make_job(LORA)
    batch = collate_frames([job.dataset(job.tables[TRAIN])[row] for row in range(4)])
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    plain, adapted = prepared(make_job(TUNED))[0].eval(), prepared(job)
    model, trained, rates, with_lora = adapted
    assert trained and all("lora_" in name and ("q_proj" in name or "v_proj" in name) for name in trained)
    assert len(trained) == 8 and set(rates) == {f"front_end.{name}" for name in trained}  # two layers, A and B
    plain.regressor.load_state_dict(model.regressor.state_dict())
    first = model.eval()(**inputs).logits
    torch.testing.assert_close(first, plain(**inputs).logits, atol=1e-6, rtol=0)
    with torch.no_grad():
        for name, weight in model.front_end.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    expected = model(**inputs).logits
    assert (expected - first).abs().max() > 0.01
    for lora in with_lora:
        lora.merge_and_unload()
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=0)
    assert set(model.state_dict()) == set(plain.state_dict())


def test_a_checkpoint_of_lora_loads_without_peft_and_gives_the_predictions(make_job, tmp_path, monkeypatch):
    job = make_job(LORA, *ONE_EPOCH)
    run_job(job, 8)
    folder = write_checkpoint([job], job.audio.library, tmp_path / "out", {}, ())
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError):
        import peft  # noqa: F401
    files = job.tables[DEVELOPMENT].files[:6]
    audio = [job.audio.clips[fingerprint] for fingerprint in job.tables[DEVELOPMENT].fingerprints[:6]]
    verify_checkpoint(folder, job, {"file": files, "audio": audio, "transcript": [None] * 6})
    model = AutoModel.from_pretrained(folder)
    wave = torch.from_numpy(load_waveform(audio[0]))[None]
    with torch.no_grad():
        logits = model.eval()(input_values=wave).logits[0].numpy()
    np.testing.assert_allclose(logits, read_predictions(job.predictions_path(DEVELOPMENT)).logits[0], atol=1e-4)
    assert not model.config.encoders["whisper"].frozen
    original = prepared(make_job(TUNED))[0].front_end.encoders["whisper"].backbone.state_dict()
    kept = model.front_end.encoders["whisper"].backbone.state_dict()
    assert {name for name in kept if not torch.equal(kept[name], original[name])} == {
        f"layers.{layer}.self_attn.{target}.weight" for layer in (0, 1) for target in ("q_proj", "v_proj")
    }


def test_an_interrupted_training_ends_the_same(make_job, monkeypatch, interrupt):
    """LoRA on copies drawn in each epoch; interrupted in the second of two."""
    system = {**LORA, "augmented": True, "uncertainty": True}
    more = ("--augmentation_copies", "2", "--train_sampling_strategy", "group_by_length", "--num_train_epochs", "2")
    expected, job = (make_job(system, *more, folder=name) for name in "ab")
    run_job(expected, 8)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, AffectTrainer, "training_step", 5)
        run_job(job, 8)
    run_job(job, 8)
    for name in ("model/model.safetensors", "encoders/whisper.safetensors"):
        torch.testing.assert_close(load_file(job.folder / name), load_file(expected.folder / name), atol=0, rtol=0)
    assert job.predictions_path(DEVELOPMENT).read_text() == expected.predictions_path(DEVELOPMENT).read_text()


def test_copies_are_drawn_anew_in_each_epoch(make_job, monkeypatch):
    """One of three clips is unchanged. Frozen branches beside a trained one hear the copy too."""
    system = {**TUNED, "augmented": True}
    job = make_job(system, "--augmentation_copies", "2")
    assert job.computed_branches == ["mfb", "whisper-2"] and job.trained_branches == ["whisper-2"]
    dataset = job.training_dataset()
    plain = [load_waveform(job.audio.clips[fingerprint]) for fingerprint in dataset.table.fingerprints]
    epochs = [[dataset[epoch * 24 + row]["input_values"] for row in range(24)] for epoch in range(3)]
    same = [sum(np.array_equal(a, b) for a, b in zip(epoch, plain, strict=True)) for epoch in epochs]
    assert 12 <= sum(same) <= 36  # 24 expected of 72, four standard deviations
    moved = [not np.array_equal(a, b) for a, b in zip(epochs[0], epochs[1], strict=True)]
    assert sum(moved) > 12
    assert collate_frames([dataset[0]])["frames"] == {}
    assert all(len(wave) < 2 * 4800 * 1.7 for epoch in epochs for wave in epoch)  # none is joined to another


def test_statistics_of_a_trained_branch_are_those_of_its_first_frames(make_job):
    job = make_job(TUNED)
    model = prepared(job)[0]
    standardise_computed(job, model, ["whisper-2"])
    frozen = make_job(FROZEN, folder="b")
    mean, std = frozen.caches["whisper-2"].statistics(frozen.tables[TRAIN].fingerprints)  # rounded to half precision
    found = model.regressor.inputs["whisper-2"]
    np.testing.assert_allclose(found.frame_mean.numpy(), mean, atol=2e-3)
    np.testing.assert_allclose(found.frame_std.numpy(), std, rtol=1e-2)


def test_it_starts_from_the_frozen_head_and_goes_on_from_the_trained_encoder(tuned_jobs, tmp_path, shared):
    """With learning rates of (nearly) 0 it predicts what it starts from does, from a job and from a folder."""
    still = {**FROZEN, "train_encoders": {"whisper": {"learning_rate": 1e-30}}, "training": {"learning_rate": 0.0}}
    systems = {
        "frozen": FROZEN,
        "still": {**still, "init_from": "frozen"},
        "tuned": {**TUNED, "init_from": "frozen"},
        "again": {**still, "init_from": "tuned"},
    }
    jobs = tuned_jobs.make_jobs(tmp_path / "a", systems, *ONE_EPOCH, shared=shared)
    assert list(jobs) == ["frozen", "still", "tuned", "again"]
    found = {}
    for name, job in jobs.items():
        run_job(job, 8)
        found[name] = read_predictions(job.predictions_path(tuned_jobs.TEST)).logits
    whole, dataset = jobs["frozen"].model(), jobs["still"].dataset(jobs["still"].tables[tuned_jobs.TEST])
    whole.attach_front_end({"whisper": jobs["still"].audio.library.backbone("whisper")})
    np.testing.assert_allclose(found["still"], predict(whole, dataset, 8).logits, atol=1e-5)
    np.testing.assert_allclose(found["again"], found["tuned"], atol=1e-5)
    assert np.abs(found["tuned"] - found["still"]).max() > 0.05
    folder = str(write_checkpoint([jobs["tuned"]], jobs["tuned"].audio.library, tmp_path / "out", {}, ()))
    systems = {"again": {**still, "init_from": folder}, "refused": {**FROZEN, "init_from": folder}}
    jobs = tuned_jobs.make_jobs(tmp_path / "b", systems, *ONE_EPOCH, shared=shared)
    run_job(jobs["again"], 8)
    again = read_predictions(jobs["again"].predictions_path(tuned_jobs.TEST)).logits
    np.testing.assert_allclose(again, found["tuned"], atol=1e-5)
    with pytest.raises(ValueError, match="which has trained its encoder 'whisper'; this system reads it frozen"):
        run_job(jobs["refused"], 8)


@pytest.mark.parametrize(
    "system, message",
    [
        ({**TUNED, "train_encoders": {"whisper": {"layers": 3}}}, "has layers: 3; its branches read 2 layers"),
        (
            {**TUNED, "train_encoders": {"whisper": {"lora": {"targets": ["query"]}}}},
            "target 'query'; its layers have",
        ),
        (
            {"role": "single", "branches": [{"source": "wavlm"}], "train_encoders": {"wavlm": {"lora": {}}}},
            "lora does not reach encoders.wavlm.backbone.encoder.layers.0.attention.[qv]_proj, whose encoder",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(make_job, system, message):
    with pytest.raises(ValueError, match=message):
        prepared(make_job(system))


def test_sharding_is_refused(make_job, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="trains encoders, which FSDP does not shard: give training/launch/ddp.yaml"):
        run_job(make_job(TUNED), 8)
