"""The rows of the similar papers, tiny, from end to end."""

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
import soundfile
import yaml

from speech_affect_training.jobs.prediction import read_predictions
from speech_affect_training.run import main
from speech_affect_training.settings.recipe import RECIPES, parse_arguments


pytestmark = pytest.mark.usefixtures("figures_are_empty")
TEACHERS = ("teacher_de", "teacher_en", "teacher_all")
STUDENTS = ("student_languages", "student_all_teachers", "student_one_teacher", "finetuned_all")
EMOTIONS = {"de": ("anger", "boredom"), "en": ("anger", "happiness", "calm")}
OPTIONS = {f"{name}_column": name for name in ("corpus", "language", "speaker", "emotion", "split")}


def test_each_language_has_a_teacher_that_hears_nothing_else():
    run, _ = parse_arguments(["--recipe", "similar_papers"])
    teachers = {name: run.systems[name].languages for name in run.systems["student_languages"].teachers}
    assert teachers == {f"teacher_{code}": [code] for code in ("de", "en", "it", "pl", "zh")}
    assert run.systems["teacher_all"].languages == [] and set(STUDENTS) <= set(run.cross_validated)
    students = [run.systems[name] for name in STUDENTS]
    assert (
        len({json.dumps([s.branches, s.emotions, s.config, s.training.get("max_steps")]) for s in students[:3]}) == 1
    )
    weights = [student.distillation.teacher_weights for student in students[:3]]
    assert weights == ["language", "development", "equal"] and students[3].distillation is None


@pytest.fixture
def run_rows(tiny_encoder, tmp_path):
    """Runs some rows of the recipe with small models, on ten clips of two corpora, each of a language."""
    rows = []
    for code, emotions in EMOTIONS.items():
        for index in range(10):
            split = ("train", "train", "train", "development", "test1")[index // 2]
            name, values = f"{code}{index}.wav", np.random.default_rng(index + 10 * len(code)).uniform(1, 7, 3)
            row = [name, code, code, f"{split}{index}", emotions[index % len(emotions)], split, *values]
            rows.append(row)
            noise = np.random.default_rng(list(name.encode())).uniform(-0.5, 0.5, 4800)
            soundfile.write(tmp_path / name, noise, 16000)
    with open(tmp_path / "clips.csv", "w", newline="") as file:
        dimensions = ["activation", "valence", "dominance"]
        csv.writer(file).writerows([["audio", *(n.removesuffix("_column") for n in OPTIONS), *dimensions], *rows])
    settings = yaml.safe_load((RECIPES / "similar_papers.yaml").read_text())
    table = {"corpus": "table", "data_dir": "clips.csv", "corpus_options": {"label_range": [1, 7], **OPTIONS}}
    settings |= {"corpora": {"clips": table}, "folds": None, "cross_validated": None}
    settings |= {"encoders": {"whisper": {"id": str(tiny_encoder), "pad_to_window": False}}, "job_workers": 1}
    settings |= {"head": {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8}, "bootstrap_samples": 10}

    def run(changes: dict[str, dict]) -> dict:
        short = {"training": {"max_steps": 2, "eval_steps": 2, "save_steps": 2}, "config": {}}
        systems = {name: {**settings["systems"][name], **short, **changed} for name, changed in changes.items()}
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**settings, "systems": systems}, sort_keys=False))
        folders = ["--data_dir", tmp_path, "--output_dir", tmp_path / "out", "--cache_dir", tmp_path / "cache"]
        return main([str(part) for part in ("--recipe", path, *folders, "--seeds", 0, "--disable_tqdm", "true")])

    return run


def test_every_row_of_the_languages(run_rows, tmp_path):
    changes: dict[str, dict] = {name: {} for name in (*TEACHERS, *STUDENTS)}
    for name in STUDENTS[:2]:
        changes[name] = {"teacher": ["teacher_de", "teacher_en"]}
    results, out = run_rows(changes), tmp_path / "out"
    systems = {system["name"]: system["checkpoint"] for system in results["systems"]}
    assert list(systems) == [*TEACHERS, "finetuned_all", *STUDENTS[:3]]
    learnt = {name: checkpoint["emotion_names"] for name, checkpoint in systems.items()}
    everything = ["anger", "boredom", "happiness", "calm"]
    expected = {"teacher_de": ["anger", "boredom"], "teacher_en": ["anger", "happiness", "calm"]}
    assert learnt == {name: expected.get(name, everything) for name in systems}
    assert systems["teacher_de"]["train"]["clips"] == 6 and "languages" not in systems["teacher_all"]
    for name in systems:
        job = out / "jobs" / name / "seed0"
        counts = {
            split: len(read_predictions(job / f"predictions_{split}.csv").files) for split in ("development", "test1")
        }
        assert counts == {"development": 2 if name in expected else 4, "test1": 4}
    against = {(row["system"], row["against"]) for row in results["comparisons"]}
    assert against == {
        *(("student_languages", other) for other in STUDENTS[1:]),
        ("student_all_teachers", "student_one_teacher"),
        *((name, "finetuned_all") for name in STUDENTS[1:3]),
    }
    assert all(0 < row["p_value"]["mean"] <= 1 for row in results["comparisons"])
    card = (out / "teacher_de" / "README.md").read_text()
    assert (
        "language:\n- de\n" in card
        and "learnt from the clips in de alone (6 clips by 6 speakers), and is tested on all" in card
    )
    assert "Trained on 6 clips by 6 speakers; tested on" in card
    card = (out / "student_languages" / "README.md").read_text()
    assert "KL divergence of its classes from the teacher's (T = 2) (weight 0.5)." in card
    assert "Its 2 teachers are averaged, clip by clip, over those that were trained on the clip's language" in card


INCOMPLETE = [f"student_incomplete{kind}" for kind in ("", "_hard", "_plain")]


def test_every_row_of_incomplete_labels(run_rows, tmp_path):
    """Ratings of one corpus, classes of the other; the ablations differ by what they are without alone."""
    labels = {"labels": {"de": ["activation", "valence"], "en": ["emotion"]}}
    results, out = run_rows({name: labels for name in ("teacher_incomplete", *INCOMPLETE)}), tmp_path / "out"
    systems = {system["name"]: system for system in results["systems"]}
    for name, system in systems.items():
        checkpoint = system["checkpoint"]
        assert checkpoint["outputs"] == ["activation", "valence"] and checkpoint["labels"] == labels["labels"]
        assert checkpoint["emotion_names"] == ["anger", "happiness", "calm"]  # boredom is of the other corpus
        assert system["splits"]["test1"]["rated"] == {"activation": 4, "valence": 4, "dominance": 0}
        history = json.loads((out / "jobs" / name / "seed0" / "history.json").read_text())
        logged = {key for entry in history for key in entry if key.startswith("loss_")}
        assert ("loss_distil_emotion" in logged) == (name in (INCOMPLETE[0], INCOMPLETE[2]))
        assert ("loss_auxiliary_corpus" in logged) == (name in INCOMPLETE[:2])
    against = {(row["system"], row["against"]) for row in results["comparisons"]}
    assert {(INCOMPLETE[0], other) for other in INCOMPLETE[1:]} <= against
    card = " ".join((out / INCOMPLETE[0] / "README.md").read_text().split())
    assert "Of these corpora it learnt these labels alone: de (activation, valence); en (emotion)." in card
    assert "from the embedding, which got the opposite gradient (cross-entropy, weight 0.1)." in card
    assert "Outputs and classes of the teacher count where a clip has no label of its own." in card
    specs = parse_arguments(["--recipe", "similar_papers"])[0].systems
    whole, hard, plain = ({**asdict(specs[name]), "name": "", "compared_with": []} for name in INCOMPLETE)
    assert {**whole, "teacher": None, "distillation": None} == hard and {**whole, "auxiliary": {}} == plain
