"""An interrupted training continues from a complete checkpoint, stops where it would have stopped, and ends the same;
and neither loading in other processes nor rounding to bf16 changes what it should not.
"""

import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from speech_affect import losses
from speech_affect.regressor import TimeConvGRU
from speech_affect_training.jobs import train_job
from speech_affect_training.jobs.data_splits import TRAIN
from speech_affect_training.jobs.resuming import delete_incomplete_checkpoints
from speech_affect_training.jobs.train_job import run_job
from speech_affect_training.jobs.trainer import AffectTrainer


IN_STEPS = ("--eval_strategy", "steps", "--save_strategy", "steps", "--eval_steps", "2", "--save_steps", "2")
EVEN = {"big": 0.5, "small": 0.5}
BUCKETS = ("--train_sampling_strategy", "group_by_length")


@pytest.fixture
def make_teacher(trained_jobs, tmp_path):
    """Makes the job of a teacher in a folder of this name."""

    def make(name: str = "a", *arguments: str, patience: int | None = None):
        return trained_jobs.make_jobs(tmp_path / name, *arguments, patience=patience)["teacher"]

    return make


def weights(job) -> dict[str, torch.Tensor]:
    return load_file(job.folder / "model" / "model.safetensors")


@pytest.fixture
def make_checkpoint(tmp_path):
    """Makes what Trainer leaves, of one or several processes."""

    def make(step: int, processes: int = 1, optimizer: str = "optimizer.pt"):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in ("config.json", "model.safetensors", "scheduler.pt", optimizer):
            (folder / name).write_bytes(b"content")
        names = [f"rng_state_{index}.pth" for index in range(processes)] if processes > 1 else ["rng_state.pth"]
        for name in names:
            with zipfile.ZipFile(folder / name, "w") as file:
                file.writestr("random", "numbers")
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}, indent=2))
        return folder

    return make


@pytest.mark.parametrize("processes, optimizer", [(1, "optimizer.pt"), (2, "optimizer.bin")])
def test_complete_checkpoints_are_kept(make_checkpoint, tmp_path, processes, optimizer):
    folders = [make_checkpoint(step, processes, optimizer) for step in (3, 6)]
    delete_incomplete_checkpoints(tmp_path, processes)
    assert all(len(list(folder.iterdir())) == 5 + processes for folder in folders)


@pytest.mark.parametrize(
    "name, half",
    [
        *((name, False) for name in ("model.safetensors", "scheduler.pt", "optimizer.pt", "rng_state_0.pth")),
        *((name, half) for name in ("rng_state_1.pth", "trainer_state.json") for half in (False, True)),
    ],
)
def test_a_checkpoint_with_a_missing_or_half_written_file_is_deleted(make_checkpoint, tmp_path, name, half):
    complete, last = make_checkpoint(3, 2), make_checkpoint(6, 2)
    content = (last / name).read_bytes()
    (last / name).write_bytes(content[: len(content) // 2]) if half else (last / name).unlink()
    delete_incomplete_checkpoints(tmp_path, 2)
    assert list(tmp_path.iterdir()) == [complete]


def assert_same(job, expected) -> None:
    for kept in ("best_step", "steps", "epochs", "development"):
        assert job.result()[kept] == expected.result()[kept]
    torch.testing.assert_close(weights(job), weights(expected), atol=0, rtol=0)


def finish_twice(monkeypatch, interrupt, job) -> None:
    """Interrupt a training at its end, before Trainer deletes all checkpoints but the best; then make no step."""
    log = AffectTrainer.log

    def interrupted(self, logs, *args):
        if "train_loss" in logs:
            raise KeyboardInterrupt
        log(self, logs, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AffectTrainer, "log", interrupted)
        run_job(job, 8)
    with monkeypatch.context() as patch:
        interrupt(patch, AffectTrainer, "training_step", 1)
        run_job(job, 8)


@pytest.mark.parametrize("strategy", [BUCKETS, IN_STEPS], ids=["epochs", "steps"])
def test_early_stopping_counts_on(make_teacher, monkeypatch, strategy, interrupt):
    """Wherever it is interrupted, it stops at the same step: without the count it would train for longer."""
    more = ("--num_train_epochs", "9", "--learning_rate", "0.02", *strategy)
    expected, job, ended = (make_teacher(name, *more, patience=2) for name in "abc")
    run_job(expected, 8)
    steps = expected.result()["steps"]
    assert expected.result()["best_step"] < steps < 9 * 3  # it stopped early
    evaluations = steps // (2 if strategy == IN_STEPS else 3)
    for number in (evaluations - 1, 2):  # before the one that stops it, and that one itself
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt(patch, AffectTrainer, "evaluate", number)
            run_job(job, 8)
    run_job(job, 8)
    finish_twice(monkeypatch, interrupt, ended)
    for each in (job, ended):
        assert_same(each, expected)


def test_results_are_written_before_checkpoints_are_deleted(make_teacher, monkeypatch, interrupt):
    """Killed while it deletes them: they are incomplete then, and nothing is trained again. Damaged results are."""
    job = make_teacher("a", "--num_train_epochs", "1")

    def killed(path, **options):
        next(path.rglob("trainer_state.json")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train_job.shutil, "rmtree", killed)
        run_job(job, 8)
    assert train_job.shutil.rmtree is shutil.rmtree
    with monkeypatch.context() as patch:
        interrupt(patch, AffectTrainer, "train", 1)
        run_job(job, 8)
    assert not (job.folder / "checkpoints").exists() and not job.unpredicted()
    expected = (job.folder / "model" / "model.safetensors").read_bytes()
    for name in ("settings.json", "job.json"):
        (job.folder / name).write_bytes(b"\xff{")
    run_job(job, 8)
    assert (job.folder / "model" / "model.safetensors").read_bytes() == expected


def test_loading_in_other_processes_changes_nothing(make_teacher):
    one = ("--num_train_epochs", "1")
    here, there = make_teacher("a", *one), make_teacher("b", *one, "--dataloader_num_workers", "2")
    assert here.fingerprint == there.fingerprint
    for job in (here, there):
        run_job(job, 8)
    torch.testing.assert_close(weights(there), weights(here), atol=0, rtol=0)


def test_batches_of_similar_length(make_teacher, monkeypatch):
    """The longest and the shortest clips never meet."""
    job = make_teacher("a", *BUCKETS)
    assert job.fingerprint != make_teacher("a").fingerprint
    widths, compute_loss = [], AffectTrainer.compute_loss

    def watched(self, model, inputs, **kwargs):
        if model.training:
            widths.append(inputs["frames_mask"]["mfb"].sum(1).tolist())
        return compute_loss(self, model, inputs, **kwargs)

    monkeypatch.setattr(AffectTrainer, "compute_loss", watched)
    run_job(job, 8)
    assert [len(batch) for batch in widths] == [8] * 9
    for epoch in (widths[:3], widths[3:6], widths[6:]):
        first, second, third = sorted(epoch)
        assert max(first) < min(second) and max(second) < min(third)
    assert len({str(epoch) for epoch in (widths[:3], widths[3:6], widths[6:])}) > 1


@pytest.mark.parametrize("more", [(), BUCKETS], ids=["random", "by_length"])
def test_batches_have_the_shares_of_the_corpora(make_teacher, monkeypatch, more, interrupt):
    """Scales in batches show the corpora; an interrupted training ends the same."""
    names = ["big"] * 18 + ["small"] * 6
    jobs = [make_teacher(name, *more) for name in "ab"]
    table = replace(jobs[0].tables[TRAIN], corpora=names, rating_scales=names)
    tables = {**jobs[0].tables, TRAIN: table}
    assert replace(jobs[0], tables=tables).settings() != replace(jobs[0], tables=tables, shares=EVEN).settings()
    jobs = [replace(job, tables=tables, shares=EVEN) for job in jobs]
    batches, compute_loss = [], AffectTrainer.compute_loss

    def watched(self, model, inputs, **kwargs):
        if model.training:
            batches.append(inputs["rating_scales"].tolist())
        return compute_loss(self, model, inputs, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(AffectTrainer, "compute_loss", watched)
        run_job(jobs[0], 8)
    assert [len(batch) for batch in batches] == [8] * 9 and sum(map(sum, batches)) == 36
    if not more:
        assert {sum(batch) for batch in batches} <= {3, 4, 5}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, AffectTrainer, "training_step", 8)
        run_job(jobs[1], 8)
    run_job(jobs[1], 8)
    assert_same(jobs[1], jobs[0])


def test_bf16_leaves_loss_and_checkpoint_in_float32(make_teacher, monkeypatch):
    """Operations are in bf16; labels, the outputs they are compared with, the loss and the weights are not."""
    job, seen = make_teacher("a", "--bf16", "true", "--num_train_epochs", "1"), []
    ccc_losses, hidden = losses.ccc_losses, []

    def watched_losses(predictions, targets, *args):
        seen.append((predictions, targets, ccc_losses(predictions, targets, *args)))
        return seen[-1][-1]

    monkeypatch.setattr(losses, "ccc_losses", watched_losses)
    with torch.nn.modules.module.register_module_forward_hook(
        lambda module, given, made: hidden.append(made[0].dtype) if isinstance(module, TimeConvGRU) else None
    ):
        result = run_job(job, 8)
    assert hidden[0] == torch.bfloat16
    assert {value.dtype for values in seen for value in values} == {torch.float32}
    targets = torch.cat([targets for _, targets, _ in seen[:3]])  # an epoch
    labels = torch.from_numpy(job.tables[TRAIN].labels).float()
    torch.testing.assert_close(targets.sort(dim=0).values, ((labels - 4) / 3).sort(dim=0).values, atol=1e-6, rtol=0)
    assert {value.dtype for value in weights(job).values()} == {torch.float32}
    assert np.isfinite(result["development"]["ccc_mean"])


def test_sharding_without_a_gpu_is_an_error(make_teacher, monkeypatch):
    """accelerate would train whole copies and say nothing; and a sharded job is another than a whole one."""
    if torch.accelerator.is_available():
        pytest.skip("there is a GPU")
    whole = make_teacher("a").fingerprint
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert make_teacher("a").fingerprint != whole
    message = "FSDP is requested, but accelerate shards on GPUs only and the device is cpu; .*ddp_cpu.yaml"
    with pytest.raises(ValueError, match=message):
        run_job(make_teacher("a"), 8)
