"""The same numbers every time: in another process, and to rounding on two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file


SCRIPT = Path(__file__).with_name("trained_jobs.py")
RANDOM = ("--head", '{"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8, "mask_time_prob": 0.2}')
STILL = ("--head", '{"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8, "dropout": 0.0}')


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def losses(folder: Path) -> list[dict[str, float]]:
    """Of each step, with its parts."""
    history = json.loads((folder / "history.json").read_text())
    return [{k: v for k, v in entry.items() if k.startswith("loss")} for entry in history if "loss" in entry]


def elsewhere(folder: Path, *arguments: str, launch: tuple[str, ...] = ()) -> dict[str, Path]:
    """What the script makes in processes of its own."""
    command = [sys.executable, *launch, str(SCRIPT), str(folder), *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: folder / "jobs" / name for name in ("teacher", "student")}


def test_the_same_seed_gives_the_same_weights(trained_jobs, tmp_path):
    """With dropout and masks; in another process, where sets have another order; and another seed gives others."""
    more = (*RANDOM, "--num_train_epochs", "2")
    here = trained_jobs.train(tmp_path / "a", *more)
    there = elsewhere(tmp_path / "b", *more)
    other = trained_jobs.train(tmp_path / "c", *more, "--seeds", "1")
    for name in here:
        torch.testing.assert_close(weights(there[name]), weights(here[name]), atol=0, rtol=0)
        assert losses(there[name]) == losses(here[name])
        assert not torch.equal(
            weights(other[name])["regressor.output.weight"], weights(here[name])["regressor.output.weight"]
        )


def test_two_processes_train_as_one(trained_jobs, tmp_path):
    """On batches of eight in one process, or twice four; without dropout, which each process draws for itself."""
    more = (*STILL, "--num_train_epochs", "2", "--per_device_train_batch_size")
    one = trained_jobs.train(tmp_path / "one", *more, "8")
    launch = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29523")
    two = elsewhere(tmp_path / "two", *more, "4", launch=launch)
    for name in one:
        settings = [json.loads((folder / "settings.json").read_text()) for folder in (one[name], two[name])]
        assert [setting["processes"] for setting in settings] == [1, 2]
        alone, together = losses(one[name]), losses(two[name])
        assert len(alone) == len(together) == 6
        for step, (first, second) in enumerate(zip(alone, together, strict=True)):
            assert second == pytest.approx(first, abs=1e-5), f"{name}, step {step}"
        torch.testing.assert_close(weights(two[name]), weights(one[name]), atol=1e-4, rtol=0)
