"""The files that accelerate launches a run by."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file


TRAINING = Path(__file__).resolve().parents[2] / "training"
CONFIGS = TRAINING / "accelerate"


@pytest.mark.parametrize("name, processes", [("ddp_cpu", 2), ("ddp", 8)])
def test_accelerate_takes_the_file(name, processes):
    config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
    assert config.num_processes == processes and config.num_machines == 1
    assert str(getattr(config.distributed_type, "value", config.distributed_type)) == "MULTI_GPU"


def test_every_file_is_tried():
    assert {path.stem for path in CONFIGS.iterdir()} == {"ddp_cpu", "ddp"}


def test_two_processes_by_the_file(tiny_recipe, tiny_corpus, tmp_path):
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "ddp_cpu.yaml")]
    run = [str(TRAINING / "run.py"), "--recipe", str(tiny_recipe), "--data_dir", str(tiny_corpus)]
    run += ["--output_dir", str(tmp_path / "out"), "--cache_dir", str(tmp_path / "cache")]
    run += ["--only", "mfb", "--seeds", "0", "--num_train_epochs", "1", "--bf16", "true"]
    command = [sys.executable, *launch, "--main_process_port", "29517", *run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 process(es)" in done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["environment"]["processes"] == 2 and results["systems"][0]["steps"] == [2]
