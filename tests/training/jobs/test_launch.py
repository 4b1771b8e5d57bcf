"""The files that accelerate launches a run by, and sharded training. (test_run.py launches a run by ddp_cpu.yaml.)"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file

import speech_affect_training
from speech_affect import AffectFusionModel
from speech_affect_training.jobs.prediction import read_predictions


CONFIGS = Path(speech_affect_training.__file__).resolve().parent / "launch"
KINDS = {"ddp_cpu": (2, "MULTI_GPU"), "ddp": (8, "MULTI_GPU"), "fsdp": (8, "FSDP")}


def test_accelerate_takes_every_file():
    assert {path.stem for path in CONFIGS.iterdir()} == set(KINDS)
    for name, (processes, kind) in KINDS.items():
        config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
        assert config.num_processes == processes and config.num_machines == 1
        assert str(getattr(config.distributed_type, "value", config.distributed_type)) == kind


def test_sharded_training_is_the_same(tiny_recipe, tiny_corpus, tmp_path):
    """FSDP in two processes, a teacher and its student, the teacher interrupted and resumed, against DDP."""
    recipe = yaml.safe_load(tiny_recipe.read_text())
    recipe["systems"]["fusion"]["uncertainty"] = True  # is calibrated by predictions of the main process alone
    tiny_recipe.write_text(yaml.safe_dump(recipe, sort_keys=False))
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "fsdp.yaml"), "--num_processes", "2"]
    run = [str(Path(__file__).with_name("sharded_processes.py")), str(tmp_path), "--recipe", str(tiny_recipe)]
    run += ["--data_dir", str(tiny_corpus), "--cache_dir", str(tmp_path / "cache"), "--only", "student_kd"]
    # development has 12 clips: three batches for two processes
    run += ["--seeds", "0", "--per_device_eval_batch_size", "5"]
    command = [sys.executable, *launch, "--main_process_port", "29519", *run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    whole, resumed, sharded = "False False none", "True True checkpoint-2", "True True none"
    assert (tmp_path / "trained.txt").read_text().splitlines() == [whole, whole, resumed, sharded, sharded]
    assert (tmp_path / "precision.txt").read_text() == "torch.bfloat16 torch.float32 torch.float32 False\n"
    for name in ("fusion", "student_kd"):
        folders = [tmp_path / kind / "jobs" / name / "seed0" for kind in ("whole", "sharded")]
        _assert_same_history(*(json.loads((folder / "history.json").read_text()) for folder in folders))
        weights = [load_file(folder / "model" / "model.safetensors") for folder in folders]
        torch.testing.assert_close(*weights, atol=1e-4, rtol=0)
        assert {value.dtype for value in weights[1].values()} == {torch.float32}
        configs = [json.loads((folder / "model" / "config.json").read_text()) for folder in folders]
        assert configs[0] == configs[1]
        for split in ("development", "test1"):
            one, other = (read_predictions(folder / f"predictions_{split}.csv") for folder in folders)
            np.testing.assert_allclose(one.logits, other.logits, atol=1e-3)
    AffectFusionModel.from_pretrained(tmp_path / "sharded/jobs/fusion/seed0/model", with_front_end=False)


def _assert_same_history(one: list[dict], other: list[dict]) -> None:
    """Every loss and CCC to 1e-5; but not the mean over a training, which begins anew when it is resumed."""
    assert len(one) == len(other) and any("loss" in entry for entry in one)
    for entry, again in zip(one, other, strict=True):
        assert entry.keys() == again.keys()
        names = [n for n in entry if not n.endswith(("runtime", "per_second")) and n != "train_loss"]
        assert {n: again[n] for n in names} == pytest.approx({n: entry[n] for n in names}, abs=1e-5)
