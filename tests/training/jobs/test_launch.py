"""The files that accelerate launches a run by, and what a launch may change: processes, precision, loading."""

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

from speech_affect import AffectFusionModel, modeling_affect
from speech_affect.regressor import TimeConvGRU
from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.jobs.job import Job, run_job
from speech_affect_training.settings.model_config import build_config
from speech_affect_training.settings.recipe import parse_arguments


TRAINING = Path(__file__).resolve().parents[3] / "training"
CONFIGS = TRAINING / "launch"


@pytest.mark.parametrize(
    "name, processes, kind", [("ddp_cpu", 2, "MULTI_GPU"), ("ddp", 8, "MULTI_GPU"), ("fsdp", 8, "FSDP")]
)
def test_accelerate_takes_the_file(name, processes, kind):
    config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
    assert config.num_processes == processes and config.num_machines == 1
    assert str(getattr(config.distributed_type, "value", config.distributed_type)) == kind


def test_every_file_is_tried():
    assert {path.stem for path in CONFIGS.iterdir()} == {"ddp_cpu", "ddp", "fsdp"}


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
        jobs = [tmp_path / kind / "jobs" / name / "seed0" for kind in ("whole", "sharded")]
        _assert_same_history(*(json.loads((job / "history.json").read_text()) for job in jobs))
        weights = [load_file(job / "model" / "model.safetensors") for job in jobs]
        torch.testing.assert_close(*weights, atol=1e-4, rtol=0)
        assert {value.dtype for value in weights[1].values()} == {torch.float32}
        configs = [json.loads((job / "model" / "config.json").read_text()) for job in jobs]
        assert configs[0] == configs[1]
        for split in ("development", "test1"):
            said = [np.genfromtxt(s / f"predictions_{split}.csv", delimiter=",", skip_header=1)[:, 1:] for s in jobs]
            np.testing.assert_allclose(*said, atol=1e-3)
    AffectFusionModel.from_pretrained(tmp_path / "sharded/jobs/fusion/seed0/model", with_front_end=False)


def _assert_same_history(one: list[dict], other: list[dict]) -> None:
    """Every loss and CCC to 1e-5; but not the mean over a training, which begins anew when it is resumed."""
    assert len(one) == len(other) and any("loss" in entry for entry in one)
    for entry, again in zip(one, other, strict=True):
        assert entry.keys() == again.keys()
        names = [n for n in entry if not n.endswith(("runtime", "per_second")) and n != "train_loss"]
        assert {n: again[n] for n in names} == pytest.approx({n: entry[n] for n in names}, abs=1e-5)


@pytest.fixture
def make_job(tmp_path, make_table):
    """Makes the job of a baseline on made-up frames, with further arguments of a run."""
    table = make_table(22)
    cache = FrameCache(tmp_path / "frames", "mfb", {}, "float32")
    generator = np.random.default_rng(0)
    cache.write_batch({f: generator.standard_normal((9 + i, 40)) for i, f in enumerate(table.fingerprints)})
    head = "{conv_channels: 8, gru_hidden_size: 8, embedding_size: 8}"

    def make(name: str, *arguments: str) -> Job:
        output = ("--output_dir", str(tmp_path / name), "--num_train_epochs", "3", "--disable_tqdm", "true")
        systems = ("--systems", "{mfb: {role: baseline, branches: [mfb]}}", "--head", head)
        run, training = parse_arguments([*systems, *output, "--per_device_train_batch_size", "8", *arguments])
        return Job(
            spec=run.specs["mfb"],
            seed=0,
            config=build_config(run.specs["mfb"], {}, run.head, (1.0, 7.0), [], []),
            tables={"train": table, "development": table},
            caches={"mfb": cache},
            emotion_codes=[],
            arguments=training,
            patience=None,
            folder=tmp_path / name / "jobs" / "mfb",
        )

    return make


def _weights(job: Job) -> dict[str, torch.Tensor]:
    return load_file(job.folder / "model" / "model.safetensors")


def test_loading_in_other_processes_changes_nothing(make_job):
    here, there = make_job("a"), make_job("b", "--dataloader_num_workers", "2")
    assert here.fingerprint == there.fingerprint
    for job in (here, there):
        run_job(job, 8)
    torch.testing.assert_close(_weights(there), _weights(here), atol=0, rtol=0)
    other = make_job("c", "--learning_rate", "0.01")
    run_job(other, 8)
    assert not torch.equal(_weights(other)["regressor.output.weight"], _weights(here)["regressor.output.weight"])


def test_batches_of_similar_length(make_job, monkeypatch):
    """The longest and the shortest clips never meet; interrupted and resumed, training ends the same."""
    from speech_affect_training.jobs import trainer

    bucketed = ("--train_sampling_strategy", "group_by_length")
    job, again = make_job("a", *bucketed), make_job("b", *bucketed)
    assert job.fingerprint != make_job("a").fingerprint
    widths = []
    compute_loss = trainer.AffectTrainer.compute_loss

    def watched(self, model, inputs, **kwargs):
        if model.training:
            widths.append(inputs["frames_mask"]["mfb"].sum(1).tolist())
        return compute_loss(self, model, inputs, **kwargs)

    monkeypatch.setattr(trainer.AffectTrainer, "compute_loss", watched)
    run_job(job, 8)
    assert [len(batch) for batch in widths] == [8, 8, 6] * 3
    for epoch in (widths[:3], widths[3:6], widths[6:]):
        shorter, longer = sorted(epoch[:2])
        assert max(shorter) < min(longer)
    assert len({str(batch) for batch in widths}) == 9
    count, evaluate = 0, trainer.AffectTrainer.evaluate

    def interrupted(self, *args, **kwargs):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(trainer.AffectTrainer, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_job(again, 8)
    assert [path.name for path in (again.folder / "checkpoints").iterdir()] == ["checkpoint-3"]
    monkeypatch.setattr(trainer.AffectTrainer, "evaluate", evaluate)
    run_job(again, 8)
    torch.testing.assert_close(_weights(again), _weights(job), atol=0, rtol=0)


def test_bf16_leaves_loss_and_checkpoint_in_float32(make_job, monkeypatch):
    """Operations are in bf16; labels, the outputs they are compared with, the loss and the weights are not."""
    job, seen, hidden = make_job("a", "--bf16", "true"), [], []
    losses = modeling_affect.ccc_losses
    forward = TimeConvGRU.forward

    def watched_losses(predictions, targets, *args):
        seen.append((predictions, targets, losses(predictions, targets, *args)))
        return seen[-1][-1]

    def watched_forward(self, frames, mask):
        hidden.append(forward(self, frames, mask))
        return hidden[-1]

    monkeypatch.setattr(modeling_affect, "ccc_losses", watched_losses)
    monkeypatch.setattr(TimeConvGRU, "forward", watched_forward)
    stage_predictions = run_job(job, 8)
    assert hidden[0][0].dtype == torch.bfloat16
    assert {value.dtype for values in seen for value in values} == {torch.float32}
    targets = torch.cat([targets for _, targets, _ in seen[:3]])  # an epoch; the labels are whole numbers from 1 to 7
    assert torch.equal(targets.unique(), (torch.arange(1.0, 8) - 4) / 3)
    assert {value.dtype for value in _weights(job).values()} == {torch.float32}
    assert np.isfinite(stage_predictions["development"]["ccc_mean"])


def test_sharding_without_a_gpu_is_refused(make_job, monkeypatch):
    """accelerate would train whole copies and say nothing."""
    if torch.accelerator.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    message = "FSDP is asked for, but accelerate shards on GPUs alone and the device is cpu; .*ddp_cpu.yaml"
    with pytest.raises(ValueError, match=message):
        run_job(make_job("a"), 8)


def test_a_sharded_stage_does_not_go_on_from_a_whole_one(make_job, monkeypatch):
    whole = make_job("a").fingerprint
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert make_job("a").fingerprint != whole
