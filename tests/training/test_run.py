"""A run from end to end on tiny parts: what it writes, what a second run does, several processes."""

import base64
import csv
import json
import os
import re
import runpy
import subprocess
import sys
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import yaml
from matplotlib.figure import Figure
from transformers import AutoModel, AutoProcessor, pipeline

from speech_affect import DIMENSIONS, AffectFusionModel, AffectStudentModel
from speech_affect.onnx import OnnxAffect
from speech_affect_training.hub.release import release_checkpoint
from speech_affect_training.jobs.prediction import read_predictions
from speech_affect_training.jobs.trainer import AffectTrainer
from speech_affect_training.metrics.ccc.concordance import concordance_correlation
from speech_affect_training.run import main


TRAINING = Path(__file__).resolve().parents[2] / "training"
DDP_CPU = str(TRAINING / "launch" / "ddp_cpu.yaml")
KEYS = {*DIMENSIONS, "mean"}


def arguments(recipe, corpus, folder, *more) -> list[str]:
    base = ["--recipe", recipe, "--data_dir", corpus, "--output_dir", folder / "out", "--cache_dir", folder / "cache"]
    return [str(argument) for argument in (*base, *more)]


@contextmanager
def umask(mask: int):
    before = os.umask(mask)
    yield
    os.umask(before)


def modes(*folders) -> set[int]:
    """Permissions of all files in folders."""
    return {path.stat().st_mode & 0o777 for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tiny_settings, tiny_corpus, tmp_path_factory):
    """A finished run: its arguments, its folder `out`, the folder `cache`, its results. Tests do not write into it."""
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(tiny_settings, sort_keys=False))
    given = arguments(recipe, tiny_corpus, folder, "--corpus_facts", "msp_podcast")
    with umask(0o022), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Figure, "savefig", lambda figure, path, **_: Path(path).write_bytes(b"")
        )  # another run draws them
        results = main(given)
    return SimpleNamespace(given=given, results=results, out=folder / "out", cache=folder / "cache")


def test_results_figures_and_tables(finished):
    results, out = finished.results, finished.out
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
    rated = dict.fromkeys(DIMENSIONS, 24)
    assert results["corpus"]["splits"]["train"] == {"clips": 24, "speakers": 3, "rated": rated}
    assert torch.__version__.startswith(results["environment"]["packages"]["torch"])
    assert {path.name for path in (out / "figures").iterdir()} == {
        f"{kind}_{split}.png" for kind in ("ccc", "scatter", "circumplex") for split in ("test1", "test2")
    }
    table = (out / "results.md").read_text()
    assert "## test1: CCC on 10 clips" in table and "| student_kd | student | mfb |" in table
    assert "| student | student | mfb-running |" in table


def test_checkpoints(finished, tiny_corpus):
    out = finished.out
    wav = str(sorted((tiny_corpus / "Audios").iterdir())[0])
    history = json.loads((out / "jobs" / "fusion" / "seed0" / "history.json").read_text())
    assert [entry["eval_ccc_mean"] for entry in history if "eval_ccc_mean" in entry]
    assert any("loss_emotion" in entry for entry in history)
    before = json.loads((out / "jobs" / "student_kd" / "seed0" / "pretraining_history.json").read_text())
    assert before[-1]["step"] == 2 and not list(out.rglob("jobs/*/seed*/pretraining"))
    for name, model_class in (("fusion", AffectFusionModel), ("student_kd", AffectStudentModel)):
        model = AutoModel.from_pretrained(out / name).eval()
        processor = AutoProcessor.from_pretrained(out / name)
        logits = model(**processor(audio=wav, return_tensors="pt")).logits
        assert type(model) is model_class and logits.shape == (1, 3)
        run = json.loads((out / name / "run.json").read_text())
        assert run["job"]["seed"] in (0, 1)
        assert list(run["job"]["data"]) == ["train", "development"]  # what is learnt from
        assert re.fullmatch("[0-9a-f]{64}", run["corpus"]["fingerprint"])
        assert run["environment"]["packages"]
        clips = {split: len(base64.b64decode(text)) / 8 for split, text in run["learnt_clips"].items()}
        assert clips == {split: run["corpus"]["splits"][split]["clips"] for split in ("train", "development")}


def test_a_model_that_comes_with_the_package(finished, tmp_path):
    folder = release_checkpoint(finished.out / "student_kd", "small", tmp_path)
    names = {"README.md", "config.json", "model.safetensors", "processor_config.json", "run.json"}
    assert {path.name for path in folder.iterdir()} == names | {"model_int8.onnx", "model_int8_streaming.onnx"}
    assert "auto_map" not in (folder / "config.json").read_text() + (folder / "processor_config.json").read_text()
    clip = np.sin(np.arange(24_000) / 20) * np.linspace(0, 0.5, 24_000)
    before, after = (
        pipeline("speech-emotion-regression", model=str(f))(clip) for f in (finished.out / "student_kd", folder)
    )
    assert after == before == pytest.approx(OnnxAffect(folder / "model_int8.onnx")(clip), abs=0.1)
    card = (folder / "README.md").read_text()
    assert "# small: activation, valence and dominance from speech" in card and 'released("small")' in card
    command = "--recipe tiny.yaml --data_dir FOLDER --output_dir OUTPUT --cache_dir CACHE --corpus_facts msp_podcast"
    assert f"accelerate launch training/run.py {command}\n" in card
    assert "python training/publish.py OUTPUT/student_kd --release small" in card and "trust_remote_code" not in card
    for other, reason in (("../small", "names a folder"), ("", "names a folder")):
        with pytest.raises(ValueError, match=reason):
            release_checkpoint(finished.out / "student_kd", other, tmp_path)
    with pytest.raises(ValueError, match="has no results.json beside it"):
        release_checkpoint(folder, "other", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.mark.usefixtures("figures_are_empty")
def test_other_users_read_what_the_umask_allows(finished, tmp_path):
    assert modes(finished.out, finished.cache) == {0o644}
    with umask(0o077):
        main([*finished.given, "--only", "mfb", "--seeds", "0", "--output_dir", str(tmp_path / "mine")])
    assert (tmp_path / "mine" / "mfb" / "model.safetensors").is_file() and modes(tmp_path) == {0o600}


@pytest.mark.usefixtures("figures_are_empty")
def test_workers_give_what_one_process_gives(finished, tmp_path):
    more = ("--only", "student_kd", "--seeds", "0", "--job_workers", "2", "--output_dir", str(tmp_path))
    main([*finished.given, *more])
    paths = sorted((tmp_path / "jobs").rglob("predictions_*.csv"))
    assert len(paths) == 2 * 3
    for path in paths:
        assert path.read_bytes() == (finished.out / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.usefixtures("figures_are_empty")
def test_an_interrupted_job_continues_and_ends_the_same(finished, tmp_path, monkeypatch, capsys):
    given = [*finished.given, "--only", "mfb", "--seeds", "0", "--output_dir", str(tmp_path)]
    evaluate, calls = AffectTrainer.evaluate, []

    def interrupted(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(AffectTrainer, "evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            main(given)
    assert list((tmp_path / "jobs/mfb/seed0/checkpoints").glob("checkpoint-*"))
    assert "development_ccc=" not in capsys.readouterr().err  # the recipe disables the bar
    main([*given, "--disable_tqdm", "false"])
    shown = capsys.readouterr()
    assert "development_ccc=" in shown.err and "eval_loss" not in shown.out + shown.err
    name = "jobs/mfb/seed0/predictions_test1.csv"
    assert (tmp_path / name).read_bytes() == (finished.out / name).read_bytes()


@pytest.mark.usefixtures("figures_are_empty")
def test_a_second_run_trains_only_what_changed(finished):
    """The last test of the finished run, which it adds to."""
    jobs = sorted((finished.out / "jobs").rglob("job.json"))
    clean = sorted((finished.out / "jobs").rglob("predictions_*.csv"))
    assert len(jobs) == 8
    before = {path: path.stat().st_mtime_ns for path in (*jobs, *clean)}
    again = main([*finished.given, "--conditions", "{systems: [mfb], white_db: [10]}"])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for system, earlier in zip(again["systems"], finished.results["systems"], strict=True):
        assert list(system["conditions"].get("test1", [])) == (["white_10db"] if system["name"] == "mfb" else [])
        assert system | {"conditions": {}} == earlier
    main([*finished.given, "--only", "mfb", "--learning_rate", "0.02"])
    assert [path for path in jobs if path.stat().st_mtime_ns != before[path]] == [p for p in jobs if "/mfb/" in str(p)]


@pytest.fixture
def rich_recipe(tiny_settings, tmp_path):
    """The tiny recipe with all that a run can do beside it, trained for one epoch."""
    folder = tmp_path / "unlabelled"
    folder.mkdir()
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 9 * 16000)
    soundfile.write(folder / "long.wav", noise, 16000)
    soundfile.write(folder / "short.wav", noise[:8000], 16000)
    recipe = deepcopy(tiny_settings)
    recipe["encoders"]["whisper"]["pad_to_window"] = False  # a tenth of the time
    del recipe["systems"]["student"]
    recipe["systems"]["student_kd"] |= {"augmented": True, "unlabelled": True}
    recipe["systems"]["rated"] = {"role": "student", "emotions": "votes", "gender": True, "uncertainty": True}
    recipe |= {
        "folds": 3,
        "cross_validated": ["mfb"],
        "augmentation_copies": 1,
        "unlabelled_dir": [str(folder)],
        "conditions": {"systems": ["mfb"], "white_db": [10], "babble_db": [5], "room_s": [0.5]},
        "probe": ["whisper"],
        "seeds": [0],
        "num_train_epochs": 1,
        "bootstrap_samples": 10,
    }
    path = tmp_path / "rich.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


@pytest.mark.usefixtures("figures_are_empty")
def test_folds_copies_unlabelled_speech_conditions_and_probe(rich_recipe, tiny_corpus, tmp_path):
    out = tmp_path / "out"
    given = arguments(rich_recipe, tiny_corpus, tmp_path)
    results = main(given)
    systems = {system["name"]: system for system in results["systems"]}
    assert list(systems) == ["mfb", "fusion", "rated", "student_kd"]
    sizes = {name: {split: s["n"] for split, s in system["splits"].items()} for name, system in systems.items()}
    plain = {"test1": 10, "test2": 6}
    assert sizes == {"mfb": {**plain, "cv3": 52}, "fusion": plain, "rated": plain, "student_kd": plain}
    _check_folds(out, systems["mfb"])
    conditions = {key: ["white_10db", "babble_5db", "room_0.5s"] for key in plain}
    assert {split: list(found) for split, found in systems["mfb"]["conditions"].items()} == conditions
    means = [scores["ccc"]["mean"] for scores in systems["mfb"]["conditions"]["test1"].values()]
    assert len({*means, systems["mfb"]["splits"]["test1"]["ccc"]["mean"]}) == 4
    _check_tasks(out, systems)
    _check_probe(out)
    text = (out / "results.md").read_text()
    for heading in ("## cv3: CCC on 52 clips", "## test2 under noise and in rooms", "CCC by gender", "| 95% |"):
        assert heading in text
    drawn = {f"{kind}_{split}.png" for kind in ("ccc", "scatter", "circumplex") for split in (*plain, "cv3")}
    drawn |= {f"conditions_{split}.png" for split in plain}
    assert {path.name for path in (out / "figures").iterdir()} == drawn
    jobs, frames = sorted((out / "jobs").rglob("job.json")), sorted((tmp_path / "cache").rglob("*.frames"))
    assert len(jobs) == 4 + 3 and len(frames) >= 3
    before = [path.stat().st_mtime_ns for path in (*jobs, *frames)]
    assert main(given)["systems"] == results["systems"]
    assert sorted((tmp_path / "cache").rglob("*.frames")) == frames
    assert [path.stat().st_mtime_ns for path in (*jobs, *frames)] == before


def _check_folds(out, mfb):
    """The pooled CCC is that of all folds' predictions behind each other; each clip is predicted once."""
    folds = [read_predictions(out / f"jobs/mfb/fold{index}/seed0/predictions_test1.csv") for index in range(3)]
    assert len({file for fold in folds for file in fold.files}) == sum(len(fold.files) for fold in folds) == 52
    logits, labels = (np.concatenate([getattr(fold, name) for fold in folds]) for name in ("logits", "labels"))
    scores = mfb["splits"]["cv3"]
    expected = concordance_correlation(logits, labels)
    np.testing.assert_allclose(list(scores["ccc"].values()), [*expected, expected.mean()])
    assert {name: group["n"] for name, group in scores["by_gender"].items()} == {"Female": 27, "Male": 25}


def _check_tasks(out, systems):
    settings = json.loads((out / "jobs/rated/seed0/settings.json").read_text())
    assert settings["config"]["emotion_names"] == ["anger", "happiness", "neutral", "other", "sadness"]
    assert settings["config"]["gender_names"] == ["Female", "Male"] and settings["config"]["predict_uncertainty"]
    (parts, *_) = json.loads((out / "jobs/rated/seed0/history.json").read_text())
    assert {"loss_emotion", "loss_gender"} <= set(parts)
    assert [set(s["coverage"]) for s in systems["rated"]["splits"].values()] == [{"0.68", "0.95"}] * 2
    assert not any("coverage" in s for name in ("mfb", "fusion") for s in systems[name]["splits"].values())
    # 24 clips, as many copies, three unlabelled pieces: 51 in batches of 8
    assert [systems[name]["steps"] for name in ("rated", "student_kd")] == [[3], [7]]


def _check_probe(out):
    probe = json.loads((out / "probe_whisper.json").read_text())
    assert probe["clips"] == {"train": 24, "development": 12, "test1": 10, "test2": 6}
    assert {row["hidden_state"] for row in probe["layers"]} == {0, 1, 2, 3}
    assert (out / "probe_whisper_layers_test1.png").is_file() and (out / "probe_whisper.csv").is_file()


def write_unrated(tiny_corpus, path):
    """The tiny corpus as a table without dominance; every third clip has no valence, and no clip of test2."""
    with open(tiny_corpus / "Labels" / "labels_consensus.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = ["audio,activation,valence,speaker,gender,split"]
    for index, row in enumerate(rows):
        valence = "" if index % 3 == 0 or row["Split_Set"] == "Test2" else row["EmoVal"]
        split = row["Split_Set"].lower()
        lines.append(f"{row['FileName']},{row['EmoAct']},{valence},{row['SpkrID']},{row['Gender']},{split}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_nobody_rated_has_no_value_anywhere(tiny_settings, tiny_corpus, tmp_path):
    recipe = deepcopy(tiny_settings)
    recipe["encoders"]["whisper"]["pad_to_window"] = False
    recipe["systems"] = {
        "mfb": {"role": "baseline", "branches": ["mfb"], "uncertainty": True},
        "fusion": {"role": "teacher", "branches": ["mfb"]},
        "student_kd": {"role": "student", "teacher": "fusion"},
    }
    facts = {"labels": "Ours.", "license": "Ours", "terms": "Ask us.", "word_labelled": ["valence"]}
    recipe |= {"corpus": "table", "corpus_note": "A note.", "corpus_facts": facts, "seeds": [0], "num_train_epochs": 1}
    recipe |= {"corpus_options": {"label_range": [1, 7], "audio_dir": str(tiny_corpus / "Audios")}}
    recipe["corpus_options"] |= {f"{name}_column": name for name in ("speaker", "gender", "split")}
    recipe |= {"conditions": {"systems": ["mfb"], "white_db": [10]}, "probe": ["whisper"], "bootstrap_samples": 10}
    path = tmp_path / "unrated.yaml"
    path.write_text(yaml.safe_dump(recipe))
    results = main(arguments(path, write_unrated(tiny_corpus, tmp_path / "ratings.csv"), tmp_path))
    out = tmp_path / "out"
    assert json.loads((out / "results.json").read_text()) == results
    assert results["corpus"]["averaged"] == ["activation"] and results["corpus"]["word_labelled"] == ["valence"]
    assert results["corpus"]["splits"]["test2"]["rated"] == {"activation": 6, "valence": 0, "dominance": 0}
    for system in results["systems"]:
        assert system["checkpoint"]["outputs"] == ["activation", "valence"]
        predicted = read_predictions(out / "jobs" / system["name"] / "seed0" / "predictions_test1.csv")
        rated = ~np.isnan(predicted.labels[:, 1])
        assert 0 < rated.sum() < 10 and np.isnan(predicted.logits[:, 2]).all()
        test1, test2 = (system["splits"][split] for split in ("test1", "test2"))
        valence = concordance_correlation(predicted.logits[rated, 1], predicted.labels[rated, 1])
        assert test1["ccc"]["valence"] == pytest.approx(valence, abs=1e-12)
        assert test1["ccc"]["dominance"] is None and test2["ccc"]["valence"] is None
        for scores in (test1, test2):
            assert scores["ccc"]["mean"] == scores["ccc"]["activation"] is not None
            assert scores["ci95"]["dominance"] is None and scores["ccc_per_seed"]["dominance"] is None
    assert [row["p_value"]["dominance"] for row in results["comparisons"]] == [None] * len(results["comparisons"])
    config = AutoModel.from_pretrained(out / "student_kd").config
    assert config.id2label == {0: "activation", 1: "valence"}
    table = (out / "results.md").read_text()
    assert "## test1: CCC on 10 clips (valence 6, dominance none)" in table
    head = "| activation | valence (by word) | dominance | mean (activation) |"
    assert head in table and "| not rated |" in table and "| train | 24 | 3 | 16 | 0 |" in table
    card = (out / "student_kd" / "README.md").read_text()
    assert "# student_kd: activation and valence from speech" in card and "**Nobody rated valence.**" in card
    assert "Nobody rated dominance in the training data, so the model does not estimate it." in card
    assert "| valence (by word) | not rated |" in card and "`logits` (batch, 2): activation, valence" in card
    names = [metric for metric in re.findall(r"name: (CCC .*)", card)]
    assert set(names) == {"CCC activation", "CCC valence (by word)", "CCC mean (activation)"}
    assert len(names) == 2 + 2 + 1  # valence in test1 alone
    assert re.findall(r"name: CCC valence.*\n\s+args:\n\s+n: (\d+)", card) == ["6"]
    for file in (out / "results.json", out / "results.md", *out.rglob("README.md"), *out.rglob("predictions_*.csv")):
        assert not re.search(r"\b[Nn]a[Nn]\b", file.read_text()), file
    assert json.loads((out / "mfb" / "run.json").read_text())["typical_error"]["rmse"]["dominance"] is None
    probe = json.loads((out / "probe_whisper.json").read_text())
    assert (
        {row["ccc"]["dominance"] for row in probe["layers"]}
        == {row["ccc"]["valence"] for row in probe["layers"]}
        == {None}
    )


def test_two_processes(tiny_recipe, tiny_corpus, tmp_path):
    more = ("--only", "student_kd", "--seeds", "0", "--num_train_epochs", "1")
    given = [str(TRAINING / "run.py"), *arguments(tiny_recipe, tiny_corpus, tmp_path, *more)]
    launch = ["accelerate.commands.launch", "--config_file", DDP_CPU, "--main_process_port", "29513"]
    done = subprocess.run([sys.executable, "-m", *launch, *given], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 process(es)" in done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [system["name"] for system in results["systems"]] == ["fusion", "student_kd"]
    assert results["environment"]["processes"] == 2
    assert len(list((tmp_path / "out/jobs").rglob("job.json"))) == 2


def test_an_error_is_one_line(tmp_path, monkeypatch):
    script = str(TRAINING / "run.py")
    monkeypatch.setattr(sys, "argv", [script, "--data_dir", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(script, run_name="__main__")
    assert re.fullmatch(r"error: .*nowhere.*", end.value.code)
