"""The main job from end to end on tiny parts: what it writes, resuming, two processes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe import parse_arguments
from run import main
from transformers import AutoFeatureExtractor, AutoModel

from speech_affect import AffectFusionModel, AffectStudentModel


TRAINING = Path(__file__).resolve().parents[2] / "training"
KEYS = {"activation", "valence", "dominance", "mean"}


def arguments(recipe, corpus, tmp_path, *more) -> list[str]:
    base = ["--recipe", recipe, "--data_dir", corpus, "--output_dir", tmp_path / "out", "--cache_dir", tmp_path / "c"]
    return [str(argument) for argument in (*base, *more)]


def test_the_whole_path(tiny_recipe, tiny_corpus, tmp_path):
    results = main(arguments(tiny_recipe, tiny_corpus, tmp_path))
    out = tmp_path / "out"
    assert json.loads((out / "results.json").read_text()) == results
    assert [system["name"] for system in results["systems"]] == ["mfb", "fusion", "student", "student_kd"]
    for system in results["systems"]:
        assert set(system) >= {"name", "role", "inputs", "parameters", "seeds", "splits"}
        assert system["seeds"] == [0, 1]
        assert {split: scores["n"] for split, scores in system["splits"].items()} == {"test1": 10, "test2": 6}
        for scores in system["splits"].values():
            assert set(scores["ccc"]) == set(scores["ci95"]) == KEYS
            for key in KEYS:
                low, high = scores["ci95"][key]
                assert low <= scores["ccc"][key] <= high
                assert np.isclose(scores["ccc"][key], np.mean(scores["ccc_per_seed"][key]))
    assert results["corpus"]["splits"]["train"] == {"clips": 24, "speakers": 3}
    assert torch.__version__.startswith(results["environment"]["packages"]["torch"])
    assert {path.name for path in (out / "figures").iterdir()} == {
        f"{kind}_{split}.png" for kind in ("ccc", "scatter") for split in ("test1", "test2")
    }
    table = (out / "results.md").read_text()
    assert "## test1: CCC on 10 clips" in table and "| student_kd | student | mfb |" in table
    _check_checkpoints(out, tiny_corpus)
    _check_that_a_second_run_trains_nothing(tiny_recipe, tiny_corpus, tmp_path, results)


def _check_checkpoints(out, corpus):
    wav = str(sorted((corpus / "Audios").iterdir())[0])
    history = json.loads((out / "stages" / "fusion" / "seed0" / "history.json").read_text())
    assert [entry["eval_ccc_mean"] for entry in history if "eval_ccc_mean" in entry]
    assert any("loss_emotion" in entry for entry in history)
    for name, model_class in (("fusion", AffectFusionModel), ("student_kd", AffectStudentModel)):
        model = AutoModel.from_pretrained(out / name).eval()
        extractor = AutoFeatureExtractor.from_pretrained(out / name)
        logits = model(**extractor(wav, return_tensors="pt")).logits
        assert type(model) is model_class and logits.shape == (1, 3)
        run = json.loads((out / name / "run.json").read_text())
        assert run["stage"]["seed"] in (0, 1) and run["corpus"]["fingerprint"] == run["stage"]["data"]
        assert run["environment"]["packages"]


def _check_that_a_second_run_trains_nothing(recipe, corpus, tmp_path, results):
    stages = sorted((tmp_path / "out" / "stages").rglob("stage.json"))
    assert len(stages) == 8
    before = [path.stat().st_mtime_ns for path in stages]
    again = main(arguments(recipe, corpus, tmp_path))
    assert [path.stat().st_mtime_ns for path in stages] == before
    assert again["systems"] == results["systems"]
    main(arguments(recipe, corpus, tmp_path, "--only", "mfb", "--learning_rate", "0.02"))
    changed = [path for path, time in zip(stages, before, strict=True) if path.stat().st_mtime_ns != time]
    assert changed == [path for path in stages if "/mfb/" in str(path)]


def test_an_interrupted_stage_goes_on_and_ends_the_same(tiny_recipe, tiny_corpus, tmp_path, monkeypatch):
    only = ("--only", "mfb", "--seeds", "0", "--num_train_epochs", "4")
    undisturbed = main(arguments(tiny_recipe, tiny_corpus, tmp_path / "a", *only))

    import trainer

    count = 0
    evaluate = trainer.AffectTrainer.evaluate

    def interrupted(self, *args, **kwargs):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(trainer.AffectTrainer, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(arguments(tiny_recipe, tiny_corpus, tmp_path / "b", *only))
    assert list((tmp_path / "b/out/stages/mfb/seed0/checkpoints").glob("checkpoint-*"))
    monkeypatch.setattr(trainer.AffectTrainer, "evaluate", evaluate)
    resumed = main(arguments(tiny_recipe, tiny_corpus, tmp_path / "b", *only))
    assert resumed["systems"][0]["splits"] == undisturbed["systems"][0]["splits"]


@pytest.mark.parametrize(
    "launch",
    [
        ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29512"],
        ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "29513"],
    ],
    ids=["torchrun", "accelerate"],
)
def test_two_processes(tiny_recipe, tiny_corpus, tmp_path, launch):
    more = ("--only", "student_kd", "--seeds", "0", "--num_train_epochs", "1")
    command = [
        sys.executable,
        *launch,
        str(TRAINING / "run.py"),
        *arguments(tiny_recipe, tiny_corpus, tmp_path, *more),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 process(es)" in done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [system["name"] for system in results["systems"]] == ["fusion", "student_kd"]
    assert results["environment"]["processes"] == 2


def test_errors_are_one_line(tmp_path):
    command = [sys.executable, str(TRAINING / "run.py"), "--data_dir", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("disable_tqdm", ["true", "false"])
def test_training_shows_a_bar_or_nothing(tiny_recipe, tiny_corpus, tmp_path, capsys, disable_tqdm):
    more = ("--only", "mfb", "--seeds", "0", "--disable_tqdm", disable_tqdm)
    main(arguments(tiny_recipe, tiny_corpus, tmp_path, *more))
    shown = capsys.readouterr()
    assert "eval_loss" not in shown.out + shown.err
    assert ("development_ccc=" in shown.err) == (disable_tqdm == "false")


def test_defaults_of_the_demo_recipe():
    run, training = parse_arguments([])
    assert run.corpus == "demo" and training.output_dir == "outputs/demo"
    assert list(run.specs) == ["mfb", "fusion", "student", "student_kd"]
