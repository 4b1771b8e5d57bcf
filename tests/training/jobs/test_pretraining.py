"""What a student learns before its own training: its loss by hand, where the student starts, and how it resumes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.jobs import pretraining
from speech_affect_training.jobs.pretraining import FramePredictor, PretrainingTrainer
from speech_affect_training.jobs.train_job import run_job
from speech_affect_training.jobs.trainer import AffectTrainer


TARGET = "whisper-2"


def predictor(stride: int = 2, per_output: int = 2, **config) -> FramePredictor:
    """Predicts two numbers per frame, with the mean (1, 0) and the deviation (2, 0), which does not vary."""
    torch.manual_seed(0)
    branch = {"source": "mfb", "conv_stride": stride, "conv_kernel_size": 3}
    sizes = {"conv_channels": 4, "gru_hidden_size": 3, "embedding_size": 4, "num_gru_layers": 1, "dropout": 0.0}
    student = AffectStudentModel(AffectStudentConfig(branch=branch, **sizes, **config), with_front_end=False)
    return FramePredictor(student, TARGET, per_output, torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))


def batch(own: list[int], target: list[int], longest: int | None = None) -> dict:
    """Frames and masks of clips of these lengths; what is padded would be noticed at once."""
    generator = torch.Generator().manual_seed(1)
    frames, masks = {}, {}
    for name, lengths, width in (("mfb", own, 40), (TARGET, target, 2)):
        size = longest or max(lengths)
        masks[name] = torch.arange(size) < torch.tensor(lengths).unsqueeze(1)
        values = torch.randn(len(lengths), size, width, generator=generator)
        frames[name] = torch.where(masks[name].unsqueeze(-1), values, 1e4)
    return {"frames": frames, "frames_mask": masks}


def test_output_j_predicts_block_j_minus_1():
    """7 frames at stride 2 give outputs 0 to 3, 7 encoder frames three whole blocks of 2."""
    model, given = predictor(), batch([7], [7])
    with torch.no_grad():
        own = {"frames": {"mfb": given["frames"]["mfb"]}, "frames_mask": {"mfb": given["frames_mask"]["mfb"]}}
        hidden = model.student(**own, output_hidden_states=True).hidden_states[0][0]
        predicted = model.output(hidden)
        target = given["frames"][TARGET][0]
    assert predicted.shape == (4, 2)
    errors = []
    for output, frames in ((1, (0, 1)), (2, (2, 3)), (3, (4, 5))):
        block = target[list(frames)].mean(dim=0)
        wanted = torch.stack([(block[0] - 1) / 2, block[1]])
        errors.append((predicted[output] - wanted).square().mean())
    torch.testing.assert_close(model(**given), torch.stack(errors).mean())


def test_what_an_output_predicts_lies_before_it():
    """Output j sees own frames up to j * 2, block j - 1 ends there: later frames of either change no earlier error."""
    model = predictor()
    given = batch([9], [8])
    short = {
        part: {name: values[:, : 5 if name == "mfb" else 4] for name, values in given[part].items()} for part in given
    }
    changed = {"frames": {k: v.clone() for k, v in given["frames"].items()}, "frames_mask": given["frames_mask"]}
    changed["frames"]["mfb"][:, 5:] += 5
    whole, other = model(**given), model(**changed)
    assert not torch.isclose(whole, other)
    changed["frames_mask"] = {
        name: mask & (torch.arange(mask.shape[1]) < (5 if name == "mfb" else 4))
        for name, mask in given["frames_mask"].items()
    }
    torch.testing.assert_close(model(**changed), model(**short))


@pytest.mark.parametrize(
    "own, target, pairs",
    [
        (7, 7, 3),  # the seventh encoder frame is half a block
        (7, 6, 3),
        (7, 5, 2),
        (6, 8, 2),  # outputs 0, 1 and 2
        (7, 12, 3),
        (2, 8, 0),  # output 0 alone
        (7, 1, 0),
    ],
)
def test_whole_blocks_alone_count(own, target, pairs):
    """The mean is over the clips' blocks together, so padding and clips without any change nothing."""
    model = predictor()
    alone, with_others = batch([own, 7], [target, 7]), batch([own, 7], [target, 7], longest=30)
    for given in (alone, with_others):
        first, second = (
            {part: {name: values[row : row + 1] for name, values in given[part].items()} for part in given}
            for row in (0, 1)
        )
        expected = (pairs * model(**first) + 3 * model(**second)) / (pairs + 3)
        torch.testing.assert_close(model(**given), expected)
        assert (model(**first) == 0) == (pairs == 0)


def test_one_encoder_frame_per_output():
    model, given = predictor(per_output=1), batch([7], [3])
    own = {part: {"mfb": given[part]["mfb"]} for part in given}
    predicted = model.output(model.student(**own, output_hidden_states=True).hidden_states[0][0])[1:]
    wanted = (given["frames"][TARGET][0] - torch.tensor([1.0, 0.0])) / torch.tensor([2.0, 1.0])
    torch.testing.assert_close(model(**given), (predicted - wanted).square().mean())


def test_frames_are_masked_as_the_student_says():
    model, given = predictor(mask_time_prob=0.5, mask_time_length=2), batch([40], [40])
    np.random.seed(0)
    with torch.no_grad():
        assert len({float(model.train()(**given)) for _ in range(3)}) == 3
        assert len({float(model.eval()(**given)) for _ in range(3)}) == 1


def test_only_the_tc_gru_and_the_linear_layer_are_trained():
    model = predictor()
    model(**batch([7], [7])).backward()
    learnt = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learnt == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[2] if name.startswith("student") else name for name in learnt} == {
        "tc_grus",
        "output.weight",
        "output.bias",
    }


# --- as a part of a job


IN_STEPS = ("--eval_strategy", "steps", "--save_strategy", "steps", "--eval_steps", "2", "--save_steps", "2")
# with dropout and masks
HEAD = {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8, "mask_time_prob": 0.3, "mask_time_length": 2}


@pytest.fixture(scope="module")
def make_student(trained_jobs):
    """Makes the job of a student without a teacher in a folder, with so many updates before its own three."""

    def make(folder: Path, *arguments: str, steps: int | None = 6):
        before = {"source": "whisper", "hidden_state": 2, "max_steps": steps, "learning_rate": 0.02}
        system = {"role": "student", "pretraining": before} if steps else {"role": "student"}
        settings = ("--systems", json.dumps({"student": system}), "--head", json.dumps(HEAD), *IN_STEPS)
        return trained_jobs.make_jobs(folder, *settings, "--num_train_epochs", "1", *arguments)["student"]

    return make


@pytest.fixture(scope="module")
def undisturbed(make_student, tmp_path_factory):
    """A finished job."""
    job = make_student(tmp_path_factory.mktemp("undisturbed"))
    run_job(job, 8)
    return job


def losses(job) -> list[float]:
    """The loss at each update of the pre-training."""
    entries = json.loads((job.folder / "pretraining_history.json").read_text())
    return [entry["loss"] for entry in entries if "loss" in entry]


def assert_same(job, expected) -> None:
    assert losses(job) == losses(expected) and len(losses(job)) == 6
    assert job.result()["development"] == expected.result()["development"]
    own, other = (load_file(each.folder / "model" / "model.safetensors") for each in (job, expected))
    torch.testing.assert_close(own, other, atol=0, rtol=0)
    assert not job.pretraining_folder.exists()


def test_the_loss_falls_and_the_students_training_starts_there(make_student, monkeypatch, tmp_path):
    """Heads and input are those of the same seed without pre-training."""
    more = ("--head", json.dumps({**HEAD, "dropout": 0.0, "mask_time_prob": 0.0}))
    job, plain = make_student(tmp_path / "a", *more, steps=60), make_student(tmp_path / "b", *more, steps=None)
    own, targets = job.caches["mfb"], job.frame_targets
    learnable = FrameCache(own.root, "whisper-2", {"of": "mfb"}, "float16")
    learnable.write_batch({clip: own.read(clip)[::2, :6] * 10 + 3 for clip in targets.table.fingerprints})
    learnable.close()
    job.frame_targets = replace(targets, cache=learnable)
    started, pretrained = [], {}

    def noted(trainer, *args, **kwargs):
        started.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        for path in Path(trainer.args.output_dir).parent.glob("pretraining/tc_gru.safetensors"):
            pretrained.update(load_file(path))
        raise KeyboardInterrupt

    monkeypatch.setattr(AffectTrainer, "train", noted)
    for each in (job, plain):
        with pytest.raises(KeyboardInterrupt):
            run_job(each, 8)
    fallen = losses(job)
    assert len(fallen) == 60 and np.mean(fallen[-6:]) < 0.7 * np.mean(fallen[:6])
    assert 0.5 < np.mean(fallen[:6]) < 3  # of standardised means
    before, without = started
    for name, value in before.items():
        in_tc_gru = name.startswith("regressor.tc_grus.")
        expected = pretrained[name.removeprefix("regressor.tc_grus.")] if in_tc_gru else without[name]
        torch.testing.assert_close(value, expected, atol=0, rtol=0)
        assert not (in_tc_gru and torch.equal(value, without[name]))


@pytest.mark.parametrize(
    "owner, name, number, steps_left",
    [
        (PretrainingTrainer, "training_step", 2, 6),  # before there is a checkpoint
        (PretrainingTrainer, "training_step", 6, 2),
        (pretraining, "save_file", 1, 0),
        (AffectTrainer, "training_step", 3, 0),
    ],
    ids=["start", "pre-training", "its end", "training"],
)
def test_an_interrupted_job_ends_the_same(
    make_student, undisturbed, tmp_path, monkeypatch, owner, name, number, steps_left, interrupt
):
    """What was learnt is not learnt again."""
    job = make_student(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, owner, name, number)
        run_job(job, 8)
    with monkeypatch.context() as patch:
        steps = interrupt(patch, PretrainingTrainer, "training_step", 0)
        run_job(job, 8)
    assert len(steps) == steps_left
    assert_same(job, undisturbed)


def test_damaged_weights_are_learnt_again(make_student, undisturbed, tmp_path, monkeypatch, interrupt):
    job = make_student(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, AffectTrainer, "training_step", 1)
        run_job(job, 8)
    (job.pretraining_folder / "tc_gru.safetensors").write_bytes(b"damaged")
    run_job(job, 8)
    assert_same(job, undisturbed)


def test_identity(make_student, tmp_path):
    """Other clips, frames or updates make another job."""
    job, *others = (make_student(tmp_path, steps=steps) for steps in (6, None, 7, 6, 6))
    others[2].frame_targets = replace(job.frame_targets, table=job.frame_targets.table.take([1, 0]))
    others[3].frame_targets = replace(job.frame_targets, cache=job.caches["mfb"])
    assert len({each.fingerprint for each in [job, *others]}) == 5
    assert make_student(tmp_path).fingerprint == job.fingerprint


def test_batches_of_similar_length(make_student, tmp_path, monkeypatch, interrupt):
    """The longest and the shortest clips never meet."""
    job, lengths, forward = (
        make_student(tmp_path, "--train_sampling_strategy", "group_by_length"),
        [],
        FramePredictor.forward,
    )

    def watched(self, frames, frames_mask):
        lengths.append(frames_mask[TARGET].sum(1).tolist())
        return forward(self, frames, frames_mask)

    monkeypatch.setattr(FramePredictor, "forward", watched)
    interrupt(monkeypatch, AffectTrainer, "training_step", 1)
    with pytest.raises(KeyboardInterrupt):
        run_job(job, 8)
    assert [len(batch) for batch in lengths] == [8] * 6
    first, second, third = sorted(lengths[:3])
    assert max(first) <= min(second) and max(second) <= min(third)
