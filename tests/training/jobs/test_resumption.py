"""An interrupted training goes on from what is whole, stops where it would have stopped, and ends the same."""

import json
import shutil
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from speech_affect_training.jobs import job as stage_module
from speech_affect_training.jobs import resumption
from speech_affect_training.jobs import trainer as trainer_module
from speech_affect_training.jobs.job import run_job
from speech_affect_training.jobs.resumption import drop_torn_checkpoints


IN_STEPS = ("--eval_strategy", "steps", "--save_strategy", "steps", "--eval_steps", "2", "--save_steps", "2")


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


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("optimizer", ["optimizer.pt", "optimizer.bin"])
def test_whole_checkpoints_are_kept(make_checkpoint, tmp_path, processes, optimizer):
    folders = [make_checkpoint(step, processes, optimizer) for step in (3, 6)]
    drop_torn_checkpoints(tmp_path, processes)
    assert all(len(list(folder.iterdir())) == 5 + processes for folder in folders)


@pytest.mark.parametrize(
    "torn",
    ["model.safetensors", "scheduler.pt", "optimizer.pt", "rng_state_0.pth", "rng_state_1.pth", "trainer_state"],
)
def test_a_checkpoint_that_lacks_anything_is_deleted(make_checkpoint, tmp_path, torn):
    whole, last = make_checkpoint(3, 2), make_checkpoint(6, 2)
    next(last.glob(f"{torn}*")).unlink()
    drop_torn_checkpoints(tmp_path, 2)
    assert list(tmp_path.iterdir()) == [whole]


@pytest.mark.parametrize("name", ["trainer_state.json", "rng_state_1.pth"])
def test_a_file_that_was_being_written_is_found_out(make_checkpoint, tmp_path, name):
    whole, last = make_checkpoint(3, 2), make_checkpoint(6, 2)
    content = (last / name).read_bytes()
    (last / name).write_bytes(content[: len(content) // 2])
    drop_torn_checkpoints(tmp_path, 2)
    assert list(tmp_path.iterdir()) == [whole]


def interrupt(monkeypatch, owner, name: str, number: int) -> None:
    """The call of this number raises instead."""
    function, calls = getattr(owner, name), []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, interrupted)


def assert_same(job, expected) -> None:
    for kept in ("best_step", "steps", "epochs", "development"):
        assert job.result()[kept] == expected.result()[kept]
    weights = [load_file(one.folder / "model" / "model.safetensors") for one in (job, expected)]
    torch.testing.assert_close(*weights, atol=0, rtol=0)


@pytest.mark.parametrize("strategy", [(), IN_STEPS], ids=["epochs", "steps"])
def test_early_stopping_counts_on(trained_jobs, tmp_path, monkeypatch, strategy):
    """Wherever it is interrupted, it stops at the same step: without the count it would go on for longer."""
    more = ("--num_train_epochs", "9", "--learning_rate", "0.02", *strategy)
    expected = trained_jobs.make_jobs(tmp_path / "a", *more, patience=2)["teacher"]
    run_job(expected, 8)
    steps = expected.result()["steps"]
    assert expected.result()["best_step"] < steps < 9 * 3  # it stopped early
    evaluations = steps // (2 if strategy else 3)
    job = trained_jobs.make_jobs(tmp_path / "b", *more, patience=2)["teacher"]
    for number in (evaluations - 1, 2):  # before the one that stops it, and that one itself
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt(patch, trainer_module.AffectTrainer, "evaluate", number)
            run_job(job, 8)
    run_job(job, 8)
    assert_same(job, expected)


@pytest.mark.parametrize("strategy", [(), IN_STEPS], ids=["epochs", "steps"])
@pytest.mark.parametrize("patience", [None, 2])
def test_a_training_that_had_ended_makes_no_further_step(trained_jobs, tmp_path, monkeypatch, strategy, patience):
    more = ("--num_train_epochs", "9" if patience else "2", "--learning_rate", "0.02", *strategy)
    expected = trained_jobs.make_jobs(tmp_path / "a", *more, patience=patience)["teacher"]
    run_job(expected, 8)
    job = trained_jobs.make_jobs(tmp_path / "b", *more, patience=patience)["teacher"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, trainer_module.AffectTrainer, "_finalize_training", 1)  # before Trainer tidies up
        run_job(job, 8)
    with monkeypatch.context() as patch:
        interrupt(patch, trainer_module.AffectTrainer, "training_step", 1)
        run_job(job, 8)
    assert_same(job, expected)


def test_results_are_noted_before_checkpoints_are_deleted(trained_jobs, tmp_path, monkeypatch):
    """Killed while it deletes them: what is left of them is nothing to go on from, and nothing is trained again."""
    job = trained_jobs.make_jobs(tmp_path, "--num_train_epochs", "1")["teacher"]
    rmtree = shutil.rmtree

    def killed(path, **options):
        next(path.rglob("trainer_state.json")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage_module.shutil, "rmtree", killed)
        run_job(job, 8)
    assert stage_module.shutil.rmtree is rmtree
    with monkeypatch.context() as patch:
        interrupt(patch, resumption.Trainer, "train", 1)
        run_job(job, 8)
    assert not (job.folder / "checkpoints").exists() and not job.unpredicted()


def test_damaged_notes_of_a_stage_begin_it_anew(trained_jobs, tmp_path):
    job = trained_jobs.make_jobs(tmp_path, "--num_train_epochs", "1")["teacher"]
    run_job(job, 8)
    expected = (job.folder / "model" / "model.safetensors").read_bytes()
    for name in ("settings.json", "job.json"):
        (job.folder / name).write_bytes(b"\xff{")
    run_job(job, 8)
    assert (job.folder / "model" / "model.safetensors").read_bytes() == expected
