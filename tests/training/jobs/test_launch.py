"""The files that accelerate launches a run by, and training in two processes, whole and sharded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file

import speech_affect_training
from speech_affect import AffectFusionModel


CONFIGS = Path(speech_affect_training.__file__).resolve().parent / "launch"
KINDS = {"ddp_cpu": (2, "MULTI_GPU"), "ddp": (8, "MULTI_GPU"), "fsdp": (8, "FSDP")}


def test_accelerate_takes_every_file():
    assert {path.stem for path in CONFIGS.iterdir()} == set(KINDS)
    for name, (processes, kind) in KINDS.items():
        config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
        assert config.num_processes == processes and config.num_machines == 1
        assert str(getattr(config.distributed_type, "value", config.distributed_type)) == kind


def measured(folder: Path) -> list[dict[str, float]]:
    """Return each loss with its parts, that of the pre-training too, and each CCC on development."""
    paths = sorted(folder.glob("*history.json"))
    assert len(paths) == 1 + (folder.name == "student")
    history = [entry for path in paths for entry in json.loads(path.read_text())]
    return [{k: v for k, v in entry.items() if k.startswith(("loss", "eval_ccc"))} for entry in history]


def test_two_processes_train_as_one(trained_jobs, tuned_jobs, tmp_path):
    """Two encoders; a teacher whole and sharded, that interrupted and resumed; on twice four clips against eight.

    Without dropout, which each process draws for itself. Development has 24 clips: five batches for two processes.
    """
    head = ["--head", json.dumps({**trained_jobs.SIZES, "dropout": 0.0}), "--num_train_epochs", "2"]
    one = trained_jobs.train(tmp_path / "one", *head)
    heard = tuned_jobs.train_heard(tmp_path / "heard", *head)
    streamed = tuned_jobs.train_streamed(tmp_path / "streamed", *head)
    alone = tuned_jobs.make_encoder(tmp_path / "alone", *head)
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "fsdp.yaml"), "--num_processes", "2"]
    script = [str(Path(__file__).with_name("sharded_processes.py")), str(tmp_path), *head]
    script += ["--per_device_train_batch_size", "4", "--per_device_eval_batch_size", "5"]
    command = [sys.executable, *launch, "--main_process_port", "29519", *script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    whole, resumed, sharded = "False False none", "True True checkpoint-3", "True True none"
    assert (tmp_path / "trained.txt").read_text().splitlines() == [whole, whole, resumed, sharded, sharded]
    assert (tmp_path / "precision.txt").read_text() == "torch.bfloat16 torch.float32 torch.float32 False\n"
    other = tmp_path / "tuned" / heard.folder.relative_to(tmp_path / "heard")
    for step, again in zip(measured(heard.folder), measured(other), strict=True):
        assert again == pytest.approx(step, abs=1e-5)
    _check_streamed(streamed.folder, tmp_path)
    encoders = [load_file(folder / "encoders" / "whisper.safetensors") for folder in (heard.folder, other)]
    torch.testing.assert_close(*encoders, atol=1e-4, rtol=0)
    (together,) = (tmp_path / "made" / "cache" / "encoders").iterdir()
    for step, again in zip(measured(alone), measured(together), strict=True):
        assert again == pytest.approx(step, abs=1e-5)
    learnt = [load_file(folder / "model.safetensors") for folder in (alone, together)]
    torch.testing.assert_close(*learnt, atol=1e-4, rtol=0)
    for name, folder in one.items():
        expected = load_file(folder / "model" / "model.safetensors")
        config = (folder / "model" / "config.json").read_text()
        for kind in ("whole", "sharded"):
            other = tmp_path / kind / "jobs" / name
            assert json.loads((other / "settings.json").read_text())["processes"] == 2
            for step, again in zip(measured(folder), measured(other), strict=True):
                assert again == pytest.approx(step, abs=1e-5), (kind, name)
            weights = load_file(other / "model" / "model.safetensors")
            torch.testing.assert_close(weights, expected, atol=1e-4, rtol=0)
            assert (other / "model" / "config.json").read_text() == config
            assert (other / "predictions_test1.csv").is_file()
    AffectFusionModel.from_pretrained(tmp_path / "sharded/jobs/teacher/model", with_front_end=False)


def _check_streamed(folder: Path, tmp_path: Path) -> None:
    """Each process heard its half of what one heard, each piece once in the first three steps of twelve pieces."""
    other = tmp_path / "streamed_by_two" / folder.relative_to(tmp_path / "streamed")
    one = json.loads((tmp_path / "streamed/heard_0.json").read_text())
    two = [json.loads((tmp_path / f"streamed_by_two/heard_{process}.json").read_text()) for process in range(2)]
    assert len(one) == 12 and len({name for batch in one[:3] for name in batch}) == 12
    assert [sorted(a + b) for a, b in zip(*two, strict=True)] == [sorted(batch) for batch in one]
    for step, again in zip(measured(folder), measured(other), strict=True):
        assert again == pytest.approx(step, abs=1e-5)
