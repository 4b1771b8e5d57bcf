"""A card says what results.json says, in all of its sections, and its own code runs."""

import copy
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast

from speech_affect import AffectFeatureExtractor, AffectFusionConfig, AffectFusionModel
from speech_affect_training.reports import model_card
from speech_affect_training.reports.model_card import SECTIONS, build_card, main, write_card, write_cards
from speech_affect_training.settings.recipe import parse_arguments


ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "model_cards" / "results" / "emodb" / "results.json"
DIMENSIONS = ("activation", "valence", "dominance")
KEYS = (*DIMENSIONS, "mean")
RANDOM = Random(0)


def by_key(keys=KEYS) -> dict[str, float]:
    return {key: RANDOM.uniform(0.1, 0.9) for key in keys}


def group(n: int, by_gender: bool = False) -> dict:
    made = {"n": n, "ccc": by_key(), "ccc_std_over_seeds": by_key()}
    if by_gender:
        made["ci95"] = {key: sorted(RANDOM.uniform(0.1, 0.9) for _ in range(2)) for key in KEYS}
    return made


def split(n: int) -> dict:
    return {
        **group(n),
        "ccc_per_seed": {key: [RANDOM.uniform(0.1, 0.9) for _ in range(2)] for key in KEYS},
        "ci95": {key: sorted(RANDOM.uniform(0.1, 0.9) for _ in range(2)) for key in KEYS},
        "by_gender": {"Female": group(71, by_gender=True), "Male": group(56, by_gender=True)},
        "by_speaker": {str(speaker): group(20 + speaker) for speaker in range(3)},
    }


def branch(source: str, **more) -> dict:
    if source == "mfb":
        return {"source": source, "text": False, "num_mel_bins": 40, "window_s": 0.025, "hop_s": 0.01}
    return {"source": source, "text": False, "hidden_state": 2, **more}


def system(name: str, role: str, branches: list[dict], **more) -> dict:
    checkpoint = {
        "fingerprint": f"of {name}",
        "seed": 5,
        "branches": branches,
        "fusion_level": "embedding",
        "emotion_names": None,
        "gender_names": None,
        "predict_uncertainty": False,
        "conv_channels": 17,
        "num_gru_layers": 3,
        "gru_hidden_size": 19,
        "embedding_size": 23,
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
        "augmented": False,
        "unlabelled": False,
        "distillation": None,
        "training": {
            "per_device_train_batch_size": 29,
            "gradient_accumulation_steps": 2,
            "learning_rate": 0.0031,
            "weight_decay": 0.013,
        },
    }
    return {
        "name": name,
        "role": role,
        "inputs": [part["source"] for part in branches],
        "teacher": None,
        "parameters": 1_234_567,
        "trained_parameters": 765_432,
        "seeds": [4, 5],
        "steps": [110, 120],
        "training_seconds": 3600.0,
        "splits": {"test1": split(127), "cv3": split(535)},
        "conditions": {"test1": {"white_0db": group(127), "room_0.3s": group(127)}},
        **{key: value for key, value in more.items() if key not in checkpoint},
        "checkpoint": checkpoint | {key: value for key, value in more.items() if key in checkpoint},
    }


def comparison(name: str, against: str, p_values=(0.001, 0.04, 0.3, 0.05)) -> dict:
    return {
        "system": name,
        "against": against,
        "split": "test1",
        "difference": dict(zip(KEYS, (0.2, -0.125, 0.01, 0.07), strict=True)),
        "relative": dict(zip(KEYS, (0.25, -0.5, None, 0.1), strict=True)),
        "ci95": {key: sorted(RANDOM.uniform(-0.5, 0.5) for _ in range(2)) for key in KEYS},
        "p_value": dict(zip(KEYS, p_values, strict=True)),
    }


FACTS = {"labels": "Two of us rated it.", "license": "Lab Terms 1.0", "terms": "Ask us.", "language": "fi"}


@pytest.fixture
def results() -> dict:
    weights = {"label_weight": 0.5, "output_weight": 2.0, "embedding_weight": 0.0}
    return {
        "systems": [
            system("mfb", "baseline", [branch("mfb")], conditions={}),
            system("fusion", "teacher", [branch("mfb"), branch("whisper")], training_seconds=7200.0),
            system("pupil", "student", [branch("mfb")], teacher="fusion", distillation=weights, augmented=True),
        ],
        "comparisons": [comparison("fusion", "mfb"), comparison("pupil", "mfb")],
        "corpus": {
            "name": "made | up",
            "note": "A\nnote.",
            "facts": dict(FACTS),
            "label_range": [0.0, 100.0],
            "fingerprint": "f00",
            "splits": {
                "train": {"clips": 1304, "speakers": 6},
                "development": {"clips": 104, "speakers": 1},
                "test1": {"clips": 127, "speakers": 2},
            },
        },
        "encoders": {"whisper": {"id": "openai/whisper-tiny.en", "revision": "r", "license": "mit"}},
        "environment": {
            "python": "3.11.7",
            "platform": "Linux",
            "processors": 2,
            "device": "cpu",
            "accelerator": None,
            "processes": 1,
            "threads": 2,
            "stage_workers": 2,
            "packages": {"torch": "2.14.1", "numpy": "2.4.6"},
            "git_commit": "abc-dirty",
        },
    }


def entry(results: dict, name: str) -> dict:
    return next(system for system in results["systems"] if system["name"] == name)


def section(text: str, title: str, level: int = 2) -> str:
    """What stands below a heading, up to the next of its level or above."""
    found = re.findall(rf"^{'#' * level} {re.escape(title)}\n(.*?)(?=^#{{2,{level}}} |\Z)", text, re.M | re.S)
    assert len(found) == 1, (title, len(found))
    return found[0]


def table(text: str) -> list[list[str]]:
    """Cells of the first table, its head first."""
    rows = [line for line in text.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows if not row.startswith("|---")]


# --- every figure stands in results.json


def test_scores_are_those_of_the_results(results):
    text, scores = build_card(results, "pupil").text, entry(results, "pupil")["splits"]
    assert "Mean over 2 seeds" in section(text, "Results")
    head, *rows = table(section(text, "test1: 127 clips by 2 speakers", 3))
    assert head == ["", "CCC", "95% interval", "these weights"]
    assert [row[0] for row in rows] == list(KEYS)
    for key, mean, interval, own in rows:
        ccc, spread = (float(number) for number in mean.split(" ± "))
        assert ccc == pytest.approx(scores["test1"]["ccc"][key], abs=0.00501)
        assert spread == pytest.approx(scores["test1"]["ccc_std_over_seeds"][key], abs=0.00501)
        assert [float(n) for n in interval.split(" to ")] == pytest.approx(scores["test1"]["ci95"][key], abs=0.00501)
        assert float(own) == pytest.approx(scores["test1"]["ccc_per_seed"][key][1], abs=0.00501)  # seed 5 of 4 and 5
    crossed = section(text, "cv3: 535 clips by 9 speakers", 3)
    assert "3 folds by speaker" in crossed and "not these weights" in crossed
    head, *rows = table(crossed)
    assert head == ["", "CCC", "95% interval"]
    for key, mean, _ in rows:
        assert float(mean.split(" ± ")[0]) == pytest.approx(scores["cv3"]["ccc"][key], abs=0.00501)


def test_groups_conditions_and_coverage(results):
    pupil = entry(results, "pupil")
    for index, scores in enumerate(pupil["splits"].values()):
        scores["coverage"] = {"0.68": dict.fromkeys(DIMENSIONS, 0.5 + 0.1 * index)}
    text = build_card(results, "pupil").text
    for name, gender, n, *cells in table(section(text, "By gender", 3))[1:]:
        expected = pupil["splits"][name]["by_gender"][gender]
        assert int(n) == expected["n"]
        for dimension, cell in zip(DIMENSIONS, cells, strict=True):
            ccc, low, high = (float(number) for number in re.findall(r"[\d.]+", cell))
            assert ccc == pytest.approx(expected["ccc"][dimension], abs=0.00501)
            assert [low, high] == pytest.approx(expected["ci95"][dimension], abs=0.00501)
    for name, n, *cells in table(section(text, "By speaker", 3))[1:]:
        assert n == "3"
        for dimension, cell in zip(DIMENSIONS, cells, strict=True):
            three = sorted(g["ccc"][dimension] for g in pupil["splits"][name]["by_speaker"].values())
            assert [float(number) for number in cell.split(" / ")] == pytest.approx(three, abs=0.00501)
    rows = {row[1]: row[2:] for row in table(section(text, "Under noise and in rooms", 3))[1:]}
    assert list(rows) == ["clean", "white noise at 0 dB", "a room of 0.3 s reverberation"]
    tested = [pupil["splits"]["test1"], *pupil["conditions"]["test1"].values()]
    for cells, scores in zip(rows.values(), tested, strict=True):
        assert [float(cell) for cell in cells] == pytest.approx([scores["ccc"][key] for key in KEYS], abs=0.00501)
    coverage = table(section(text, "Predicted uncertainty", 3))
    assert coverage[1:] == [["test1", "68%", *["50.0%"] * 3], ["cv3", "68%", *["60.0%"] * 3]]


def test_comparisons_and_what_they_amount_to(results):
    part = section(build_card(results, "pupil").text, "Against other systems", 3)
    (row,) = table(part)[1:]
    bounds = {key: [f"{bound:+.3f}" for bound in results["comparisons"][1]["ci95"][key]] for key in KEYS}
    assert row == [
        "test1",
        "mfb",
        f"+0.200 [{', '.join(bounds['activation'])}], +25%, p 0.001",
        f"-0.125 [{', '.join(bounds['valence'])}], -50%, p 0.040",
        f"+0.010 [{', '.join(bounds['dominance'])}], p 0.300",
        f"+0.070 [{', '.join(bounds['mean'])}], +10%, p 0.050",
    ]
    verdict = "better on activation and the mean; worse on valence; not told apart on dominance."
    assert f"- `test1`, against `mfb`: {verdict}" in part
    assert "Against other systems" not in build_card(results, "mfb").text


def test_counts_times_and_sizes(results):
    text = build_card(results, "pupil").text
    rows = table(section(text, "Training data"))
    assert rows == [
        ["split", "clips", "speakers"],
        ["train", "1,304", "6"],
        ["development", "104", "1"],
        ["test1", "127", "2"],
    ]
    what = section(text, "What it is")
    assert "1,234,567 in this folder, of which 765,432 were trained" in what and "those of seed 5" in what
    assert "0 to 100 and clipped" in what.replace("\n  ", " ")
    for number in ("17 channels", "3 GRU layers (19)", "embedding layer (23)"):
        assert number in what
    assert "1.23 M parameters" in text and "distilled from `fusion` (1.23 M)" in text
    training = section(text, "Training")
    assert "labels (weight 0.5), 1 - CCC against the teacher's outputs (weight 2)." in training
    assert "cosine" not in training  # its weight is 0
    assert "Learning rate 0.0031, weight decay 0.013, 58 clips per batch" in training and "110, 120" in training
    compute = section(text, "Compute and energy")
    assert "3,600 s in all for 8 trainings (2 seeds, each once and once in each of 3 folds)" in compute
    assert "`fusion` 7,200 s" in compute and "trainings side by side: 2" in compute
    assert "10 W per busy core (busy cores per training: 1) it would be 30.0 Wh with the teacher" in compute
    versions = section(text, "Versions")
    assert "commit abc, with changes that were not committed" in versions and "`f00`" in versions
    assert "torch 2.14.1, numpy 2.4.6; Python 3.11.7" in versions


def test_limits_are_found_in_the_results(results):
    pupil = entry(results, "pupil")
    pupil["splits"]["test1"]["ccc"] |= {"activation": 0.5, "valence": 0.2, "dominance": 0.4, "mean": 0.37}
    for gender, value in (("Female", 0.3), ("Male", 0.95)):
        pupil["splits"]["test1"]["by_gender"][gender]["ccc"] |= {"activation": 0.5, "valence": 0.5, "dominance": value}
    pupil["splits"]["cv3"]["by_gender"] = {"Male": group(11, by_gender=True)}
    for name, value in (("white_0db", 0.05), ("room_0.3s", 0.3)):
        pupil["conditions"]["test1"][name]["ccc"]["mean"] = value
    limits = section(build_card(results, "pupil").text, "Limits")
    assert "On `test1` it is weakest at valence (CCC 0.20)" in limits
    assert "furthest apart at dominance: Female 0.30 (71 clips), Male 0.95 (56 clips)" in limits
    assert "Only Male speakers were tested" in limits
    assert "Mean CCC on `test1` is 0.37 as recorded and 0.05 with white noise at 0 dB" in limits
    assert (
        "1,304 clips by 6 speakers; tested on `test1` 127 clips by 2 speakers" in limits and "language: fi" in limits
    )
    assert "not tested under noise" in section(build_card(results, "mfb").text, "Limits")
    for scores in pupil["splits"].values():
        scores["by_gender"] = {}
    results["corpus"]["splits"]["test1"]["speakers"] = 0
    text = build_card(results, "pupil").text
    assert "Genders were not compared" in text and "### By gender" not in text
    assert "### test1: 127 clips, speakers not known" in text


def scores_to_nan(node):
    if isinstance(node, dict):
        return {key: scores_to_nan(value) for key, value in node.items()}
    if isinstance(node, list):
        return [scores_to_nan(value) for value in node]
    return float("nan") if isinstance(node, float) else node


def test_no_score_is_written_by_hand(results):
    for part in (*results["systems"], results["comparisons"]):
        keys = ("splits", "conditions") if isinstance(part, dict) else range(len(part))
        for key in keys:
            part[key] = scores_to_nan(part[key])
    text = build_card(results, "pupil").text
    shown = "".join(section(text, title) for title in ("Results", "Limits"))
    # the level at which systems are told apart, and the room's name
    assert set(re.findall(r"\d+\.\d+", shown)) == {"0.05", "0.3"}
    assert shown.count("nan") > 60


# --- front matter


def test_front_matter_of_a_fusion(results, tmp_path):
    path = write_card(build_card(results, "fusion", repo_id="lab/fusion"), tmp_path / "card.md")
    data = metadata_load(path)
    assert {key: data[key] for key in data if key != "model-index"} == {
        "language": ["fi"],
        "license": "other",
        "license_name": "lab-terms-1.0",
        "library_name": "transformers",
        "pipeline_tag": "audio-classification",
        "tags": ["speech-emotion-recognition", "speech", "emotion", "arousal", *DIMENSIONS],
        "metrics": ["ccc"],
        "base_model": ["openai/whisper-tiny.en"],
        "base_model_relation": "finetune",
    }
    name, found = model_index_to_eval_results(data["model-index"])
    assert name == "lab/fusion" and len(found) == 8
    splits = entry(results, "fusion")["splits"]
    for index, result in enumerate(found):
        scores, key = splits["test1" if index < 4 else "cv3"], KEYS[index % 4]
        assert (result.dataset_split, result.dataset_name) == ("test1" if index < 4 else "cv3", "made | up")
        assert (result.dataset_type, result.metric_type) == ("made-up", "ccc")
        assert result.metric_name == f"CCC {key}" + (" (3-fold, by speaker)" if index >= 4 else "")
        assert result.metric_value == pytest.approx(scores["ccc"][key], abs=5.01e-5)
        assert result.metric_args["n"] == scores["n"] and result.metric_args["seeds"] == 2
        assert result.metric_args["ci95"] == pytest.approx(scores["ci95"][key], abs=5.01e-5)
        assert result.metric_args["std_over_seeds"] == pytest.approx(scores["ccc_std_over_seeds"][key], abs=5.01e-5)
        own = [pytest.approx(scores["ccc_per_seed"][key][1], abs=5.01e-5)] * (index < 4)
        assert [result.metric_args[k] for k in result.metric_args if k == "these_weights"] == own
    again = ModelCard.load(path)
    assert again.data.to_dict() == ModelCardData(**data).to_dict() == data
    assert again.content == path.read_text()


def test_front_matter_of_a_student(results):
    del results["corpus"]["facts"]["language"]
    results["corpus"]["facts"]["dataset"] = "lab/speech"
    data = build_card(results, "pupil").data.to_dict()
    assert "base_model" not in data and "base_model_relation" not in data and "language" not in data
    assert data["tags"][-1] == "knowledge-distillation" and data["datasets"] == ["lab/speech"]
    assert data["model-index"][0]["name"] == "pupil"
    assert data["model-index"][0]["results"][0]["dataset"]["type"] == "lab/speech"
    results["encoders"]["whisper"]["id"] = "local-folder"  # no Hub id
    assert "base_model" not in build_card(results, "fusion").data.to_dict()


@pytest.mark.parametrize(
    "weights_license, encoder_license, system, expected, said",
    [
        ("apache-2.0", "mit", "fusion", ("apache-2.0", None), "**Weights:** apache-2.0."),
        (None, "mit", "fusion", ("other", "lab-terms-1.0"), "the terms of the training data decide"),
        ("apache-2.0", "CC BY-NC 4.0", "fusion", ("other", "cc-by-nc-4.0"), "an encoder allows less"),
        ("apache-2.0", None, "fusion", ("other", "unknown"), "its licence is not known"),
        (
            "apache-2.0",
            "cc-by-nc-4.0",
            "pupil",
            ("other", "cc-by-nc-4.0"),
            "(of the teacher; not in this folder): cc-by",
        ),
        ("apache-2.0", "cc-by-nc-4.0", "mfb", ("apache-2.0", None), "**Weights:** apache-2.0."),
    ],
)
def test_licence_of_the_weights(results, weights_license, encoder_license, system, expected, said):
    results["corpus"]["facts"]["weights_license"] = weights_license
    results["encoders"]["whisper"]["license"] = encoder_license
    card = build_card(results, system)
    assert (card.data.license, getattr(card.data, "license_name", None)) == expected
    assert said in section(card.text, "Licence")
    assert "- **Code:** Apache-2.0." in section(card.text, "Licence")


# --- what is said


def test_clips_that_nobody_rated_are_announced_first(results):
    assert "Nobody rated" not in build_card(results, "pupil").text
    results["corpus"]["facts"]["rated"] = False
    text = build_card(results, "pupil").text
    warning = "> **Nobody rated the clips that this model was trained and tested on.** Two of us rated it."
    assert warning in text[: text.index("## What it is")]
    assert "not that listeners agree" in section(text, "Limits").replace("\n", " ")


@pytest.mark.parametrize(
    "name, changes, said",
    [
        ("mfb", {}, "The **baseline**"),
        ("fusion", {}, "A **fusion model**: 1.23 M parameters over mfb + whisper. Teacher of `pupil`."),
        ("mfb", {"role": "single"}, "A model on **one representation**, mfb"),
        ("mfb", {"role": "student"}, "A **student without a teacher**"),
        ("pupil", {"teacher": ["fusion", "mfb"]}, "distilled from `fusion` (1.23 M) and `mfb` (1.23 M)"),
        ("fusion", {}, "hidden state 2 of `openai/whisper-tiny.en`, kept frozen"),
        ("fusion", {}, "The inputs meet at the embedding."),
        ("pupil", {"augmented": True}, "augmented copies"),
        ("pupil", {"unlabelled": True}, "speech that nobody rated too"),
        ("pupil", {"mask_time_prob": 0.1}, "10% of the frames and 0% of the features masked"),
        ("pupil", {"emotion_names": ["anger", "neutral"]}, "`emotion_logits` of anger, neutral"),
        ("pupil", {"gender_names": ["Female", "Male"]}, "`gender_logits` of Female, Male"),
        ("pupil", {"predict_uncertainty": True}, "Learnt besides: the scatter of the grades."),
    ],
)
def test_what_it_is(results, name, changes, said):
    changed = entry(results, name)
    for key, value in changes.items():
        (changed if key in changed else changed["checkpoint"])[key] = value
    assert said in build_card(results, name).text


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"git_commit": None}, "commit not known"),
        ({"git_commit": "abc"}, "Code: speech-affect, commit abc."),
        ({"device": "cuda:0", "accelerator": "NVIDIA H200"}, "Machine: NVIDIA H200 (cuda:0), 2 processors"),
        ({"device": "cuda:0", "accelerator": "NVIDIA H200"}, "- Energy: not measured.\n"),
        ({"stage_workers": 1}, "busy cores per training: 2) it would be 60.0 Wh"),
    ],
)
def test_machine(results, changes, said):
    results["environment"] |= changes
    assert said in build_card(results, "pupil").text


def test_uses_and_citations(results):
    results["corpus"]["facts"]["citation"] = "@misc{own}"
    text = build_card(results, "pupil", contact="card@example.org").text
    uses = section(text, "Intended and excluded uses").replace("\n", " ")
    for words in (
        "Article 5(1)(f)",
        "medical or safety reasons",
        "consent",
        "decisions about a person",
        "(Annex III)",
    ):
        assert words in uses
    citation = section(text, "Citation")
    assert "arXiv:2207.03334" in citation and "lin1989concordance" in citation and "@misc{own}" in citation
    assert section(text, "Contact").strip() == "card@example.org"
    assert "## Contact" not in build_card(results, "pupil").text


# --- refusals


@pytest.mark.parametrize(
    "part, name, empty, section",
    [
        ("system", "checkpoint", None, "What it is"),
        ("system", "parameters", 0, "What it is"),
        ("results", "encoders", None, "What it is"),
        ("corpus", "note", " ", "Training data"),
        ("corpus", "facts", None, "Training data"),
        ("facts", "labels", "", "Training data"),
        ("corpus", "splits", {}, "Training data"),
        ("facts", "license", "", "Licence"),
        ("facts", "terms", None, "Licence"),
        ("system", "splits", {}, "Results"),
        ("system", "training_seconds", None, "Compute and energy"),
        ("environment", "stage_workers", None, "Compute and energy"),
        ("environment", "packages", {}, "Versions"),
        ("corpus", "fingerprint", None, "Versions"),
    ],
)
def test_no_card_with_an_empty_section(results, part, name, empty, section):
    parts = {"results": results, "system": entry(results, "pupil"), "corpus": results["corpus"]}
    parts |= {"facts": results["corpus"]["facts"], "environment": results["environment"]}
    parts[part][name] = empty
    with pytest.raises(
        ValueError, match=f"section '{section}' of the model card would be empty: there is no .*{name}"
    ):
        build_card(results, "pupil")


@pytest.mark.parametrize("title", SECTIONS)
def test_no_card_with_a_section_that_the_template_leaves_empty(results, title, tmp_path, monkeypatch):
    text = model_card.TEMPLATE.read_text()
    heading = f"\n## {title}\n"
    assert text.count(heading) == 1
    start = text.index(heading) + len(heading)
    end = text.find("\n## ", start)
    end = text.rindex("{% if contact %}") if title == "Citation" else end
    emptied = tmp_path / "template.md"
    emptied.write_text(text[:start] + "\n### A heading alone\n" + text[end:])
    monkeypatch.setattr(model_card, "TEMPLATE", emptied)
    with pytest.raises(ValueError, match=f"section '{title}' of the model card is empty; fill it in template.md"):
        build_card(results, "pupil")


def test_other_refusals(results, tmp_path):
    with pytest.raises(ValueError, match="no system 'pupils'; they have mfb, fusion, pupil"):
        build_card(results, "pupils")
    for name in ("pupil", "a/b/c", "-/-"):
        with pytest.raises(ValueError, match=f"repo_id is '{name}'; give a Hub id such as user/name"):
            build_card(results, "pupil", repo_id=name)
    with pytest.raises(ValueError, match="is no checkpoint that training/run.py wrote"):
        build_card(results, "pupil", checkpoint=tmp_path)
    (tmp_path / "run.json").write_text('{"fingerprint": "of mfb"}')
    with pytest.raises(ValueError, match="was not trained in the run of these results"):
        build_card(results, "pupil", checkpoint=tmp_path)
    results["corpus"]["facts"]["colour"] = "blue"
    with pytest.raises(ValueError, match="not as training/settings/corpus_facts.py has them"):
        build_card(results, "pupil")


# --- writing


def test_command_line(results, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    folder = tmp_path / "pupil"
    folder.mkdir()
    (folder / "run.json").write_text('{"fingerprint": "of pupil"}')
    given = ["--results", str(path), "--system", "pupil", "--output"]
    assert main([*given, str(folder), "--repo_id", "lab/pupil", "--contact", "us"]) == folder / "README.md"
    text = (folder / "README.md").read_text()
    assert text == build_card(results, "pupil", repo_id="lab/pupil", contact="us").content
    assert 'name = "lab/pupil"' in text
    assert main([*given, str(tmp_path / "new" / "card.md")]) == tmp_path / "new" / "card.md"
    assert 'name = "pupil"' in (tmp_path / "new" / "card.md").read_text()
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read as results"):
        main([*given, str(folder)])
    assert sorted(os.listdir(folder)) == ["README.md", "run.json"]  # nothing half written
    assert (folder / "README.md").read_text() == text


def test_cards_of_a_run(results, tmp_path, caplog):
    for name in ("mfb", "fusion", "pupil"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"fingerprint": f"of {name}"}))
    assert write_cards(results, tmp_path) == [tmp_path / name / "README.md" for name in ("mfb", "fusion", "pupil")]
    assert 'name = "pupil"' in (tmp_path / "pupil" / "README.md").read_text()
    write_cards(results, tmp_path, lambda name: f"lab/run-{name}")
    assert 'name = "lab/run-pupil"' in (tmp_path / "pupil" / "README.md").read_text()
    write_cards(results, tmp_path, lambda name: f"run-{name}")  # an id without its owner loads nothing
    assert 'name = "pupil"' in (tmp_path / "pupil" / "README.md").read_text()
    results["corpus"]["facts"] = None
    with caplog.at_level(logging.WARNING):
        assert write_cards(results, tmp_path) == []
    assert "no model card for mfb, fusion, pupil: section 'Training data'" in caplog.text
    assert "--corpus_facts" in caplog.text
    assert not (tmp_path / "pupil" / "README.md").exists()  # it spoke of an earlier run


# --- the code in the card


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)


def save_text_model(folder):
    words = ["[PAD]", "[UNK]", "and", "then", "they", "all", "left"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    backbone = BertConfig(vocab_size=len(words), max_position_embeddings=16, **sizes)
    config = AffectFusionConfig(
        branches=[{"source": "mfb"}, {"source": "words", "conv_kernel_size": 3, "conv_stride": 1}],
        encoders={"words": {"backbone": backbone}},
    )
    AffectFusionModel(config).save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)


def test_a_run_writes_cards_whose_code_runs(results, tiny_recipe, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main as run_main

    facts = "{labels: tones, license: own, terms: ours, rated: false, weights_license: mit}"
    given = ["--recipe", str(tiny_recipe), "--data_dir", str(tiny_corpus), "--output_dir", str(tmp_path)]
    given += ["--cache_dir", str(tmp_path / "cache"), "--only", "mfb", "--seeds", "0", "--num_train_epochs", "1"]
    run_results = run_main([*given, "--corpus_facts", facts])
    assert json.loads((tmp_path / "results.json").read_text()) == run_results
    text = (tmp_path / "mfb" / "README.md").read_text()
    assert text == build_card(run_results, "mfb").content
    assert metadata_load(tmp_path / "mfb" / "README.md")["license"] == "mit"

    reading = entry(results, "fusion")
    reading["checkpoint"]["branches"][1] |= {"source": "words", "text": True}
    results["encoders"]["words"] = results["encoders"].pop("whisper")
    reading["name"] = "reading"
    spoken = build_card(results | {"comparisons": []}, "reading")
    save_text_model(tmp_path / "reading")
    assert len(blocks(text)) == 2 and len(blocks(spoken.text)) == 1
    times = np.arange(70000) / 44100
    syllables = np.sin(2 * np.pi * 200 * times) * (times % 0.3 < 0.15)  # a steady sound is taken for background
    soundfile.write(tmp_path / "speech.wav", 0.3 * syllables, 44100)
    script = "\n".join([*blocks(text), *blocks(spoken.text)])
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    direct, whole, curve, read = done.stdout.strip().split("\n")
    values = r"{'activation': -?\d+\.\d+, 'valence': -?\d+\.\d+, 'dominance': -?\d+\.\d+"
    assert re.fullmatch(values + "}", direct) and re.fullmatch(values + "}", read)
    assert re.match(values + ", 'speech_ratio'", whole)
    assert len(re.findall("'start_s'", curve)) == 3  # 1.6 s in windows of 1 s every 0.5 s


# --- the cards in the repository


@pytest.mark.parametrize("name", ["student_kd", "fusion"])
def test_cards_in_the_repository_are_those_of_the_results(name, tmp_path):
    main(["--results", str(RESULTS), "--system", name, "--output", str(tmp_path / "card.md")])
    made, kept = (tmp_path / "card.md").read_text(), (ROOT / "model_cards" / "emodb" / f"{name}.md").read_text()
    assert made == kept, f"build model_cards/emodb/{name}.md anew with training/model_card.py"
    assert "**Nobody rated the clips" in kept and "/tmp" not in kept


def test_results_in_the_repository_have_the_recipe_s_facts():
    results = json.loads(RESULTS.read_text())
    run, _ = parse_arguments(["--recipe", "emodb", "--data_dir", "anywhere"])
    facts = copy.copy(results["corpus"]["facts"])
    assert facts == {name: getattr(run.corpus_facts, name) for name in facts}
    assert {name: encoder["id"] for name, encoder in results["encoders"].items()} == {
        name: encoder["id"] for name, encoder in run.encoders.items()
    }
    for system in results["systems"]:
        spec = run.specs[system["name"]]
        assert system["checkpoint"]["augmented"] == spec.augmented
        assert [b["source"] for b in system["checkpoint"]["branches"]] == [b["source"] for b in spec.branch_settings]


def test_recipe_of_the_paper_knows_its_corpus():
    run, _ = parse_arguments(["--recipe", "paper_table", "--data_dir", "anywhere"])
    assert run.corpus_facts.license == "msp-podcast-agreement" and run.corpus_facts.languages == ["en"]
