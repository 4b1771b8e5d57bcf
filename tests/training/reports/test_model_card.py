"""A card shows what results.json has, in all of its sections."""

import json
import logging
import re

import numpy as np
import pytest
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results

from speech_affect import DIMENSIONS
from speech_affect_training.reports import model_card
from speech_affect_training.reports.model_card import build_card, main, write_card, write_cards
from speech_affect_training.reports.scores import KEYS


def entry(results: dict, name: str) -> dict:
    return next(system for system in results["systems"] if system["name"] == name)


def section(text: str, title: str, level: int = 2) -> str:
    """Return what stands below a heading, up to the next of its level or above."""
    found = re.findall(rf"^{'#' * level} {re.escape(title)}\n(.*?)(?=^#{{2,{level}}} |\Z)", text, re.M | re.S)
    assert len(found) == 1, (title, len(found))
    return found[0]


def table(text: str) -> list[list[str]]:
    """Return the cells of the first table, its head first."""
    rows = [line for line in text.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows if not row.startswith("|---")]


def rounded(value: float):
    return pytest.approx(value, abs=0.00501)


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", cell)]


# --- every figure stands in results.json


def test_scores_are_those_of_the_results(results):
    text, scores = build_card(results, "student_kd").text, entry(results, "student_kd")["splits"]
    assert "Mean over 3 seeds" in section(text, "Results")
    head, *rows = table(section(text, "test1: 127 clips by 2 speakers", 3))
    assert head == ["", "CCC", "95% interval", "these weights"]
    assert [row[0] for row in rows] == list(KEYS)
    for key, mean, interval, own in rows:
        expected = scores["test1"]
        assert numbers(mean) == [rounded(expected["ccc"][key]), rounded(expected["ccc_std_over_seeds"][key])]
        assert numbers(interval) == rounded(expected["ci95"][key])
        assert float(own) == rounded(expected["ccc_per_seed"][key][0])  # of seed 0
    crossed = section(text, "cv5: 535 clips by 10 speakers", 3)
    assert "5 folds by speaker" in crossed and "not these weights" in crossed
    head, *rows = table(crossed)
    assert head == ["", "CCC", "95% interval"]
    for key, mean, _ in rows:
        assert numbers(mean)[0] == rounded(scores["cv5"]["ccc"][key])


def test_groups_conditions_and_coverage(results):
    system = entry(results, "student_kd")
    for index, scores in enumerate(system["splits"].values()):
        scores["coverage"] = {"0.68": dict.fromkeys(DIMENSIONS, 0.5 + 0.1 * index)}
    text = build_card(results, "student_kd").text
    for name, gender, n, *cells in table(section(text, "By gender", 3))[1:]:
        expected = system["splits"][name]["by_gender"][gender]
        assert int(n) == expected["n"]
        for dimension, cell in zip(DIMENSIONS, cells, strict=True):
            assert numbers(cell) == rounded([expected["ccc"][dimension], *expected["ci95"][dimension]])
    for name, n, *cells in table(section(text, "By speaker", 3))[1:]:
        groups = system["splits"][name]["by_speaker"].values()
        assert int(n) == len(groups)
        for dimension, cell in zip(DIMENSIONS, cells, strict=True):
            values = [group["ccc"][dimension] for group in groups]
            assert numbers(cell) == rounded([min(values), float(np.median(values)), max(values)])
    rows = {row[1]: row[2:] for row in table(section(text, "Under noise and in rooms", 3))[1:]}
    assert {"clean", "white noise at 0 dB", "babble at 5 dB", "a room of 0.3 s reverberation"} < set(rows)
    tested = [system["splits"]["test1"], *system["conditions"]["test1"].values()]
    for cells, scores in zip(rows.values(), tested, strict=True):
        assert [float(cell) for cell in cells] == rounded([scores["ccc"][key] for key in KEYS])
    coverage = table(section(text, "Predicted uncertainty", 3))
    assert coverage[1:] == [["test1", "68%", *["50.0%"] * 3], ["cv5", "68%", *["60.0%"] * 3]]


def test_comparisons_and_what_they_amount_to(results):
    (row,) = [row for row in results["comparisons"] if (row["system"], row["split"]) == ("student_kd", "test1")]
    row["relative"]["dominance"] = None
    part = section(build_card(results, "student_kd").text, "Against other systems", 3)
    split, against, *cells = table(part)[1]
    assert (split, against) == ("test1", "mfb")
    assert cells[0] == "-0.000 [-0.019, +0.017], -0%, p 0.985" and cells[2] == "+0.028 [-0.032, +0.089], p 0.341"
    better = "better on valence and the mean"
    assert f"- `test1`, against `mfb`: {better}; no clear difference on activation and dominance.\n" in part
    assert f"- `cv5`, against `mfb`: {better}; worse on dominance; no clear difference on activation.\n" in part
    assert "Against other systems" not in build_card(results, "mfb").text


def test_counts_times_and_sizes(results):
    text = build_card(results, "student_kd").text
    head, train, *_ = table(section(text, "Training data"))
    assert (head, train) == (["split", "clips", "speakers"], ["train", "1,304", "6"])
    what = section(text, "What it is")
    assert "1,234,567 in this folder, of which 261,251 were trained" in what and "those of seed 0" in what
    assert "0 to 100 and clipped" in what.replace("\n  ", " ")
    for number in ("128 channels", "2 GRU layers (128)", "embedding layer (128)"):
        assert number in what
    assert "1.23 M parameters" in text and "distilled from `fusion` (21.39 M)" in text
    training = section(text, "Training")
    assert "Learning rate 0.001, weight decay 0.01, 64 clips per batch" in training and "300, 300" in training
    compute = section(text, "Compute and energy")
    assert "2,390 s in all for 18 trainings (3 seeds, each once and once in each of 5 folds)" in compute
    assert "`fusion` 3,248 s" in compute and "trainings side by side: 2" in compute
    assert "10 W per busy core (busy cores per training: 1) it would be 15.7 Wh with the teacher" in compute
    versions = section(text, "Versions")
    assert "commit abc, with changes that were not committed" in versions
    assert f"`{results['corpus']['fingerprint']}`" in versions
    assert "torch 2.14.1, numpy 2.4.6; Python 3.11.7" in versions


def test_limits_are_found_in_the_results(results):
    system = entry(results, "student_kd")
    limits = section(build_card(results, "student_kd").text, "Limits")
    assert "On `test1` it is weakest at valence (CCC 0.31)" in limits
    assert "furthest apart at activation: Female 0.72 (71 clips), Male 0.91 (56 clips)" in limits
    assert "Mean CCC on `test1` is 0.55 as recorded and 0.22 with white noise at 0 dB" in limits
    assert "1,304 clips by 6 speakers; tested on `test1` 127 clips by 2 speakers" in limits
    assert "language: fi" in limits
    assert "not tested under noise" in section(build_card(results, "mfb").text, "Limits")
    del system["splits"]["cv5"]["by_gender"]["Female"]
    assert "Only Male speakers were tested" in build_card(results, "student_kd").text
    for scores in system["splits"].values():
        scores["by_gender"] = {}
    system["splits"]["test1"]["speakers"] = 0
    text = build_card(results, "student_kd").text
    assert "Genders were not compared" in text and "### By gender" not in text
    assert "### test1: 127 clips, speakers not known" in text


def scores_to_nan(node):
    if isinstance(node, dict):
        return {key: scores_to_nan(value) for key, value in node.items()}
    if isinstance(node, list):
        return [scores_to_nan(value) for value in node]
    return float("nan") if isinstance(node, float) else node


def test_no_score_is_written_by_hand(results):
    results["comparisons"] = scores_to_nan(results["comparisons"])
    for system in results["systems"]:
        system |= {key: scores_to_nan(system[key]) for key in ("splits", "conditions")}
    text = build_card(results, "student_kd").text
    shown = "".join(section(text, title) for title in ("Results", "Limits"))
    # the largest p-value of a clear difference, and the rooms' names
    assert set(re.findall(r"\d+\.\d+", shown)) == {"0.05", "0.3", "0.6"}
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
        "base_model": ["openai/whisper-base"],
        "base_model_relation": "finetune",
    }
    name, found = model_index_to_eval_results(data["model-index"])
    assert name == "lab/fusion" and len(found) == 8
    splits = entry(results, "fusion")["splits"]
    for index, result in enumerate(found):
        split, key = ("test1", "cv5")[index // 4], KEYS[index % 4]
        assert (result.dataset_name, result.dataset_type, result.dataset_split) == ("made | up", "made-up", split)
        assert result.metric_value == pytest.approx(splits[split]["ccc"][key], abs=5e-5)
        assert result.metric_args["n"] == splits[split]["n"]
        assert result.metric_args["ci95"] == pytest.approx(splits[split]["ci95"][key], abs=5e-5)
        assert ("these_weights" in result.metric_args) == (split == "test1")
        assert ("5-fold" in result.metric_name) == (split == "cv5")
    again = ModelCard.load(path)
    assert isinstance(again.data, ModelCardData) and again.content == path.read_text()


def test_front_matter_of_a_student(results):
    del results["corpus"]["facts"]["language"]
    results["corpus"]["facts"]["dataset"] = "lab/speech"
    data = build_card(results, "student_kd").data.to_dict()
    assert "base_model" not in data and "base_model_relation" not in data and "language" not in data
    assert data["tags"][-1] == "knowledge-distillation" and data["datasets"] == ["lab/speech"]
    assert data["model-index"][0]["name"] == "student_kd"
    assert data["model-index"][0]["results"][0]["dataset"]["type"] == "lab/speech"
    results["encoders"]["whisper"]["id"] = "local-folder"  # not a Hub id
    assert "base_model" not in build_card(results, "fusion").data.to_dict()


@pytest.mark.parametrize(
    "weights_license, encoder_license, system, expected, text",
    [
        ("apache-2.0", "mit", "fusion", ("apache-2.0", None), "**Weights:** apache-2.0."),
        (None, "mit", "fusion", ("other", "lab-terms-1.0"), "the terms of the training data decide"),
        ("apache-2.0", "CC BY-NC 4.0", "fusion", ("other", "cc-by-nc-4.0"), "an encoder allows less"),
        ("apache-2.0", None, "fusion", ("other", "unknown"), "its licence is not known"),
        ("apache-2.0", "cc-by", "student_kd", ("other", "cc-by"), "(of the teacher; not in this folder): cc-by"),
        ("apache-2.0", "cc-by-nc-4.0", "mfb", ("apache-2.0", None), "**Weights:** apache-2.0."),
    ],
)
def test_licence_of_the_weights(results, weights_license, encoder_license, system, expected, text):
    results["corpus"]["facts"]["weights_license"] = weights_license
    results["encoders"]["whisper"]["license"] = encoder_license
    card = build_card(results, system)
    assert (card.data.license, getattr(card.data, "license_name", None)) == expected
    assert text in section(card.text, "Licence") and "- **Code:** Apache-2.0." in section(card.text, "Licence")


# --- sentences


def test_terms_of_each_of_several_corpora(results):
    size = results["corpus"]["splits"]["train"]
    rest = {"languages": ["fi"], "splits": {"train": size}, "word_labelled": [], "label_range": [1, 7], "note": ""}
    facts = {"labels": "Ours.", "license": "cc-by-4.0", "license_link": "https://there", "terms": "Name us."}
    results["corpus"]["corpora"] = {"one": {**rest, "facts": facts}, "two": {**rest, "facts": None}}
    licence = section(build_card(results, "mfb").text, "Licence")
    own = "- **Of it, one** (`cc-by-4.0`, https://there): Name us."
    assert f"- **Training data** (`Lab Terms 1.0`): Ask us.\n{own}\n" in licence
    assert "two" not in licence


def test_clips_without_ratings_are_announced_first(results):
    assert "Nobody rated" not in build_card(results, "student_kd").text
    results["corpus"]["facts"]["rated"] = False
    text = build_card(results, "student_kd").text
    warning = "> **Nobody rated the clips that this model was trained and tested on.** Two of us rated it."
    assert warning in text[: text.index("## What it is")]
    assert "not that listeners agree" in section(text, "Limits").replace("\n", " ")


BEFORE = {"source": "whisper", "hidden_state": 4, "max_steps": 2000, "learning_rate": 0.001, "unlabelled": False}
TRAINED = {"layers": 2, "learning_rate": 3e-5, "layer_decay": 0.8, "lora": None}
WEIGHTS = {"label_weight": 0.5, "output_weight": 2.0, "embedding_weight": 0.0}


@pytest.mark.parametrize(
    "name, changes, text",
    [
        ("mfb", {}, "The **baseline**"),
        ("mfb", {}, "Loss: 1 - CCC against the labels."),
        ("fusion", {}, "A **fusion model**: 21.39 M parameters over mfb + whisper-3. Teacher of `student_kd`."),
        ("mfb", {"role": "single"}, "A model on **one representation**, mfb"),
        ("mfb", {"role": "student"}, "A **student without a teacher**"),
        ("student_kd", {"teacher": ["fusion", "mfb"]}, "distilled from `fusion` (21.39 M) and `mfb` (0.26 M)"),
        ("student_kd", {"distillation": WEIGHTS}, "(weight 0.5), 1 - CCC against the teacher's outputs (weight 2)."),
        ("fusion", {}, "hidden state 3 of `openai/whisper-base`, kept frozen"),
        ("fusion", {}, "The inputs meet at the embedding."),
        ("fusion", {"init_from": "mfb"}, "Its weights start from those of `mfb`."),
        (
            "fusion",
            {"train_encoders": {"whisper": TRAINED}},
            "the last 2 layers trained (learning rate 3e-05, times 0.8 from layer to layer)",
        ),
        (
            "fusion",
            {"train_encoders": {"whisper": {**TRAINED, "layers": "all", "lora": {"r": 8}}}},
            "all layers trained by LoRA (rank 8, learning rate 3e-05), merged into the weights",
        ),
        ("student_kd", {"augmented": True}, "augmented copies"),
        ("student_kd", {"unlabelled": True}, "Trained on unlabelled speech too"),
        (
            "student_kd",
            {"pretraining": {**BEFORE, "unlabelled": True}},
            "learnt to predict hidden state 4 of `openai/whisper-base`, averaged over the time of one output, from "
            "audio alone, unlabelled speech too: 2000 updates, learning rate 0.001.",
        ),
        ("mfb", {"pretraining": BEFORE}, "of one output, from audio alone: 2000 updates"),
        ("mfb", {"pretraining": BEFORE}, "`openai/whisper-base` (of the pre-training; not in this folder): mit."),
        (
            "mfb",
            {"role": "student", "pretraining": BEFORE},
            "on low-level features, pre-trained on an encoder's frames, then trained on the labels alone.",
        ),
        ("student_kd", {"mask_time_prob": 0.1}, "10% of the frames and 20% of the features masked"),
        ("student_kd", {"emotion_names": ["anger", "neutral"]}, "`emotion_logits` of anger, neutral"),
        ("student_kd", {"gender_names": ["Female", "Male"]}, "`gender_logits` of Female, Male"),
        ("student_kd", {"predict_uncertainty": True}, "Also trained to predict: the scatter of the grades."),
        ("environment", {"git_commit": None}, "commit not known"),
        ("environment", {"git_commit": "abc"}, "Code: speech-affect, commit abc."),
        ("environment", {"device": "cuda:0", "accelerator": "H200"}, "Machine: H200 (cuda:0), 2 processors"),
        ("environment", {"device": "cuda:0", "accelerator": "H200"}, "- Energy: not measured.\n"),
        ("environment", {"stage_workers": 1}, "busy cores per training: 2) it would be 31.3 Wh"),
    ],
)
def test_sentences(results, name, changes, text):
    changed = results["environment"] if name == "environment" else entry(results, name)
    for key, value in changes.items():
        (changed if key in changed else changed["checkpoint"])[key] = value
    assert text in build_card(results, "student_kd" if name == "environment" else name).text


def test_uses_and_citations(results):
    results["corpus"]["facts"]["citation"] = "@misc{own}"
    text = build_card(results, "student_kd", contact="card@example.org").text
    uses = section(text, "Intended and excluded uses").replace("\n", " ")
    limits = ("Article 5(1)(f)", "medical or safety reasons", "consent", "decisions about a person", "(Annex III)")
    for words in limits:
        assert words in uses
    citation = section(text, "Citation")
    assert "arXiv:2207.03334" in citation and "lin1989concordance" in citation and "@misc{own}" in citation
    assert section(text, "Contact").strip() == "card@example.org"
    assert "## Contact" not in build_card(results, "student_kd").text


# --- errors


@pytest.mark.parametrize("path", model_card.NEEDED)
@pytest.mark.parametrize("empty", [None, "absent"])
def test_no_card_with_an_empty_section(results, path, empty):
    *parents, name = path.removeprefix("system.").split(".")
    part = entry(results, "student_kd") if path.startswith("system.") else results
    for parent in parents:
        part = part[parent]
    if empty is None:
        part[name] = " " if isinstance(part[name], str) else None
    else:
        del part[name]
    message = f"section '{model_card.NEEDED[path][0]}' of the model card would be empty: there is no {path}; "
    with pytest.raises(ValueError, match=re.escape(message)):
        build_card(results, "student_kd")


def test_no_card_with_a_section_that_the_template_leaves_empty(results, tmp_path, monkeypatch):
    emptied = tmp_path / "template.md"
    emptied.write_text(model_card.TEMPLATE.read_text() + "\n## More\n\n### A heading alone\n")
    monkeypatch.setattr(model_card, "TEMPLATE", emptied)
    with pytest.raises(ValueError, match="section 'More' of the model card is empty; fill it in template.md"):
        build_card(results, "student_kd")


def test_other_errors(results, tmp_path):
    with pytest.raises(ValueError, match="no system 'pupils'; they have mfb, fusion, student_kd"):
        build_card(results, "pupils")
    for name, message in (("student_kd", "repo_id is 'student_kd'; give a Hub id such as user/name"), ("-/-", "-/-")):
        with pytest.raises(ValueError, match=message):
            build_card(results, "student_kd", repo_id=name)
    with pytest.raises(ValueError, match="is no checkpoint that training/run.py wrote"):
        build_card(results, "student_kd", checkpoint=tmp_path)
    (tmp_path / "run.json").write_text('{"fingerprint": "of mfb"}')
    with pytest.raises(ValueError, match="was not trained in the run of these results"):
        build_card(results, "student_kd", checkpoint=tmp_path)
    results["corpus"]["facts"]["colour"] = "blue"
    with pytest.raises(ValueError, match="not as training/settings/corpus_facts.py has them"):
        build_card(results, "student_kd")
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read as results"):
        main(["--results", str(tmp_path / "results.json"), "--system", "mfb", "--output", str(tmp_path)])


# --- writing


def test_cards_of_a_run(results, tmp_path, caplog):
    names = ("mfb", "fusion", "student_kd")
    for name in names:
        (tmp_path / name).mkdir()
        fingerprint = entry(results, name)["checkpoint"]["fingerprint"]
        (tmp_path / name / "run.json").write_text(json.dumps({"fingerprint": fingerprint}))
    assert write_cards(results, tmp_path) == [tmp_path / name / "README.md" for name in names]
    card = tmp_path / "student_kd" / "README.md"
    assert 'name = "student_kd"' in card.read_text()
    write_cards(results, tmp_path, lambda name: f"lab/run-{name}")
    assert 'name = "lab/run-student_kd"' in card.read_text()
    write_cards(results, tmp_path, lambda name: f"run-{name}")  # an id without its owner loads nothing
    assert 'name = "student_kd"' in card.read_text()
    (tmp_path / "results.json").write_text(json.dumps(results))
    given = ["--results", str(tmp_path / "results.json"), "--system", "student_kd", "--output", str(card.parent)]
    assert main([*given, "--repo_id", "lab/student", "--contact", "us"]) == card
    assert card.read_text() == build_card(results, "student_kd", repo_id="lab/student", contact="us").content
    results["corpus"]["facts"] = None
    with caplog.at_level(logging.WARNING):
        assert write_cards(results, tmp_path) == []
    assert "no model card for mfb, fusion, student_kd: section 'Training data'" in caplog.text
    assert "--corpus_facts" in caplog.text
    assert not card.exists()  # it described an earlier run
