"""Finished models from end to end: alone in one command, and as rows beside what a run trains."""

import csv
import json

import numpy as np
import pytest
import yaml

from speech_affect import released
from speech_affect.cli.main import main as command
from speech_affect_training import run as run_module
from speech_affect_training.encoders import finished_model
from speech_affect_training.encoders.finished_model import load_finished
from speech_affect_training.jobs.prediction import read_predictions
from speech_affect_training.metrics.ccc.concordance import concordance_correlation
from speech_affect_training.run import main
from speech_affect_training.settings.finished import CheckpointSpec


@pytest.fixture
def evaluate(figures_are_empty, tmp_path):
    """Runs with these arguments, into a folder of its own."""

    def run(*arguments, output="out"):
        folders = ("--output_dir", tmp_path / output, "--cache_dir", tmp_path / "cache")
        small = ("--bootstrap_samples", 20, "--disable_tqdm", "true")
        return main([str(argument) for argument in (*arguments, *folders, *small)])

    return run


def odyssey(folder) -> str:
    return json.dumps(
        {"odyssey": {"role": "checkpoint", "id": str(folder), "output_range": [0, 1], "trust_remote_code": True}}
    )


def labels_of(corpus) -> list[dict]:
    with open(corpus / "Labels" / "labels_consensus.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_three_models_in_one_command(evaluate, audeering_like, odyssey_like, tiny_corpus, tmp_path, capsys):
    student = released("student")
    models = ("--evaluate", student, audeering_like, "--systems", odyssey(odyssey_like))
    results = evaluate(*models, "--data_dir", tiny_corpus)
    names = ["student", "wav2vec2-tiny-emotion", "odyssey"]
    assert [system["name"] for system in results["systems"]] == names
    assert [(row["system"], row["against"]) for row in results["comparisons"] if row["split"] == "test1"] == [
        (name, "student") for name in names[1:]
    ]
    model = load_finished(CheckpointSpec("student", "checkpoint", str(student)), None)
    found = read_predictions(tmp_path / "out" / "jobs" / "student" / "predictions_test1.csv")
    wavs = [{"bytes": None, "path": str(tiny_corpus / "Audios" / file)} for file in found.files]
    expected = np.concatenate([model.estimate([wav], [None])[:, 0] for wav in wavs])
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    rated = {row["FileName"]: row for row in labels_of(tiny_corpus)}
    label = {file: [float(row[d]) for d in ("EmoAct", "EmoVal", "EmoDom")] for file, row in rated.items()}
    ccc = concordance_correlation(found.logits, np.array([label[file] for file in found.files]))
    scores = results["systems"][0]["splits"]["test1"]["ccc"]
    np.testing.assert_allclose([scores[d] for d in ("activation", "valence", "dominance")], ccc, atol=1e-12)
    assert scores["mean"] == pytest.approx(np.mean(ccc), abs=1e-12)
    table = (tmp_path / "out" / "results.md").read_text()
    assert capsys.readouterr().out.strip() == table.strip()
    assert "- `odyssey` is odyssey at sha256-" in table and "| student | checkpoint | audio | 540,236 |  |" in table
    written = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert written == {"jobs", "figures", "results.json", "results.md"}
    assert "--evaluate student wav2vec2-tiny-emotion" in results["environment"]["command"]
    # what was computed is not computed again, for other runs neither
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finished_model.Wav2Vec2ForSpeechClassification, "forward", None)
        again = evaluate(*models, "--data_dir", tiny_corpus, output="again")
    assert again["systems"] == results["systems"] and again["comparisons"] == results["comparisons"]


def test_the_command_names_models_of_the_package(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(run_module, "main", given.append)
    assert command(["evaluate", "student_nano", "you/peer", "--data-dir", "x"]) == 0
    assert given[0][:5] == ["--evaluate", str(released("student_nano")), "you/peer", "--data_dir", "x"]
    assert command(["evaluate", "studnt", "--data-dir", "x"]) == 1
    assert "there is no released model 'studnt'" in capsys.readouterr().err


def test_beside_what_a_run_trains(evaluate, audeering_like, tiny_corpus, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    sizes = {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8}
    systems = {"peer": {"role": "checkpoint", "id": str(audeering_like)}, "mfb": {"role": "baseline"}}
    settings = {"systems": systems, "head": sizes, "max_steps": 2, "folds": 3, "corpus_facts": "msp_podcast"}
    settings |= {"conditions": {"systems": ["peer", "mfb"], "white_db": [10]}}
    recipe.write_text(yaml.safe_dump(settings))
    results = evaluate("--recipe", recipe, "--data_dir", tiny_corpus, "--push_to_hub", "false")
    mfb, peer = results["systems"]
    assert (mfb["name"], peer["name"], peer["role"], peer["seeds"]) == ("mfb", "peer", "checkpoint", [])
    assert list(peer["splits"]) == list(mfb["splits"]) == ["test1", "test2", "cv3"]
    assert peer["splits"]["cv3"]["n"] == 52 and list(peer["conditions"]["test2"]) == ["white_10db"]
    assert list(peer["splits"]["cv3"]["by_gender"]) == ["Female", "Male"]
    assert [(row["system"], row["against"]) for row in results["comparisons"]] == [("mfb", "peer")] * 3
    assert peer["checkpoint"]["outputs"] == ["activation", "dominance", "valence"]
    card = (tmp_path / "out" / "mfb" / "README.md").read_text()
    assert "against `peer`" in card and not (tmp_path / "out" / "peer").exists()


@pytest.fixture
def table(tiny_corpus, tmp_path):
    """Twenty clips and their activation alone, in no splits."""
    lines = [f"{tiny_corpus}/Audios/{row['FileName']},{row['EmoAct']}" for row in labels_of(tiny_corpus)[:20]]
    (tmp_path / "mine.csv").write_text("\n".join(["file,activation", *lines]) + "\n")
    return tmp_path / "mine.csv"


def test_every_clip_of_a_table(evaluate, table, tiny_corpus):
    options = {"audio_column": "file", "audio_dir": str(tiny_corpus), "label_range": [1, 7], "split": "test1"}
    one = ("--evaluate", released("student"), "--data_dir", table, "--corpus_options", json.dumps(options))
    results = evaluate(*one)
    [system] = results["systems"]
    assert list(results["corpus"]["splits"]) == list(system["splits"]) == ["test1"]
    scores = system["splits"]["test1"]
    assert scores["rated"] == {"activation": 20, "valence": 0, "dominance": 0}
    assert scores["ccc"]["valence"] is None and scores["ccc"]["mean"] == scores["ccc"]["activation"] != 0


def test_every_clip_of_several_corpora(evaluate, halves, audeering_like):
    results = evaluate("--data_dir", *halves, "--evaluate", audeering_like, "--test_on", "all")
    [system] = results["systems"]
    assert list(system["splits"]["test1"]["by_corpus"]) == ["others", "voices"]
    assert list(system["splits"]) == ["test1"] and system["splits"]["test1"]["n"] == 52
