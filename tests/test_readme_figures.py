"""Figures in README.md and model_cards/README.md are those of the results in the repository."""

import json
import re
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "model_cards/README.md")}


def test_figures_are_those_of_the_results_in_the_repository():
    results = json.loads((ROOT / "model_cards/results/emodb/results.json").read_text())
    systems = {system["name"]: system for system in results["systems"]}
    rows = r"^\| `(\w+)` \| ([^|]+) \| ([\d.]+) M \| ([^|]+) \| ([^|]+) \|$"
    shown = re.findall(rows, TEXTS["README.md"], re.MULTILINE)
    assert len(shown) == 6
    for name, inputs, millions, *cells in shown:
        system = systems[name]
        assert inputs == " + ".join(system["inputs"])
        assert float(millions) == pytest.approx(system["parameters"] / 1e6, abs=0.006)
        scores = system["splits"]["cv5"]
        for key, cell in zip(("activation", "valence"), cells, strict=True):
            low, high = scores["ci95"][key]
            expected = f"{scores['ccc'][key]:.2f} ± {scores['ccc_std_over_seeds'][key]:.2f} [{low:.2f}, {high:.2f}]"
            assert cell == expected, (name, key)
    listener = results["corpus"]["listeners"]["cv5"]["ccc"]
    assert (
        f"| one further listener | | | {listener['activation']:.2f} | {listener['valence']:.2f} |"
        in TEXTS["README.md"]
    )
    valence = {name: f"{systems[name]['splits']['cv5']['ccc']['valence']:.2f}" for name in ("mfb", "fusion")}
    assert f"from {valence['mfb']} to {valence['fusion']}.*" in TEXTS["README.md"]
    compared = {(c["system"], c["against"]): c for c in results["comparisons"] if c["split"] == "cv5"}
    claim = r"`(\w+)` over `(\w+)`[^:]*:\s(\w+)\s([+-]\d+)%\s\(p\s([\d.]+)\)"
    found = [re.findall(claim, text) for text in TEXTS.values()]
    assert len(found[0]) == 1 and len(found[1]) >= 6
    claims = found[0] + found[1]
    for system, against, name, percent, p_value in claims:
        comparison = compared[system, against]
        assert f"{comparison['relative'][name]:+.0%}" == f"{percent}%", (system, against)
        assert f"{comparison['p_value'][name]:.3f}" == p_value, (system, against)
    given = {(c["system"], c["against"]): c for c in results["comparisons"] if c["split"] == "test1"}
    unclear = given["student_kd", "student_augmented"]
    change, p_value = unclear["relative"]["valence"], unclear["p_value"]["valence"]
    assert f"do not differ clearly (valence {change:+.0%}, p {p_value:.3f})" in TEXTS["model_cards/README.md"]
    both = {f"{systems[name]['splits']['cv5']['ccc']['valence']:.2f}" for name in ("student", "student_augmented")}
    assert f"both have {both.pop()}." in TEXTS["model_cards/README.md"] and not both


def test_figures_of_the_models_that_come_with_the_package():
    results = json.loads((ROOT / "model_cards/results/voices/results.json").read_text())
    systems = {system["name"]: system for system in results["systems"]}
    shown = re.findall(
        r"^\| `(\w+)` \| ([\d.]+) M \|(( \d\.\d\d ± \d\.\d\d \|){5})$", TEXTS["model_cards/README.md"], re.M
    )
    assert [name for name, *_ in shown] == ["fusion", "student", "student_kd", "student_nano"]
    for name, millions, cells, _ in shown:
        words, heard = (systems[name]["splits"][split] for split in ("test1_by_word", "test1"))
        asked = [(words, dimension) for dimension in ("activation", "valence", "dominance")]
        asked += [(heard, dimension) for dimension in ("activation", "valence")]
        expected = [f"{s['ccc'][d]:.2f} ± {s['ccc_std_over_seeds'][d]:.2f}" for s, d in asked]
        assert [cell.strip() for cell in cells.split("|")[:-1]] == expected, name
        assert float(millions) == pytest.approx(systems[name]["parameters"] / 1e6, abs=0.006)
    student, split = systems["student_kd"], results["corpus"]["splits"]["test1"]
    seed = student["seeds"].index(student["checkpoint"]["seed"])
    own = {name: scores["ccc_per_seed"] for name, scores in student["splits"].items()}
    heard, words = (
        " and ".join(f"{own[name][dimension][seed]:.2f} in {dimension}" for dimension in ("activation", "valence"))
        for name in ("test1", "test1_by_word")
    )
    text = " ".join(TEXTS["README.md"].split())
    assert f"{student['parameters'] / 1e6:.1f} million parameters" in text
    assert f"{split['clips']:,} clips of {split['speakers']} such speakers" in text
    assert f"a CCC of {heard}; with the word of the emotion" in text and f"it reaches {words} (" in text
    compared = {(c["split"], c["system"], c["against"]): c for c in results["comparisons"]}
    text = " ".join(TEXTS["model_cards/README.md"].split())
    for said, split, count in (("by word", "test1_by_word", 3), ("With EmoDB's listeners", "test1", 2)):
        comparison = compared[split, "student_kd", "student"]
        claims = re.findall(r"(\w+) ([+-]\d+)% \(p ([\d.]+)\)", text.split(f"{said}: ")[1])[:count]
        assert len({name for name, *_ in claims}) == count
        for name, percent, p_value in claims:
            assert f"{comparison['relative'][name]:+.0%}" == f"{percent}%", (said, name)
            assert f"{comparison['p_value'][name]:.3f}" == p_value, (said, name)


def test_figures_of_encoders_that_are_trained_end_to_end():
    results = json.loads((ROOT / "model_cards/results/emodb_finetune/results.json").read_text())
    text = TEXTS["model_cards/README.md"]
    for system in results["systems"]:
        scores = system["splits"]["cv5"]
        cells = [f"{system['trained_parameters'] / 1e6:.2f} M"]
        for key in ("activation", "valence", "dominance"):
            low, high = scores["ci95"][key]
            cells.append(f"{scores['ccc'][key]:.2f} [{low:.2f}, {high:.2f}]")
        cells.append(f"{system['training_seconds'] / system['trainings']:.0f}")
        cells.append(f"{system['peak_memory_mb'] / 1000:.1f} GB")
        assert f"| `{system['name']}` | {' | '.join(cells)} |" in text
    compared = {(c["split"], c["system"], c["against"]): c for c in results["comparisons"]}
    text = " ".join(text.split())
    for said, system in (
        ("All layers against the frozen encoder: ", "fusion_all"),
        ("LoRA against it: ", "fusion_lora"),
    ):
        comparison = compared["cv5", system, "fusion"]
        changes = [
            f"{key} {comparison['relative'][key]:+.0%} (p {comparison['p_value'][key]:.3f})"
            for key in ("activation", "valence", "mean")
        ]
        assert f"{said}{', '.join(changes)}." in text


def test_figures_of_folds_over_all_speakers():
    results = json.loads((ROOT / "model_cards/results/voices_folds/results.json").read_text())
    systems = {system["name"]: system["splits"] for system in results["systems"]}
    text = TEXTS["model_cards/README.md"]
    asked = [("cv5_by_word", dimension) for dimension in ("activation", "valence", "dominance")]
    asked += [("cv5", "activation"), ("cv5", "valence")]
    assert list(systems) == ["fusion", "student", "student_kd_classes"]
    for name, splits in systems.items():
        cells = []
        for split, dimension in asked:
            low, high = splits[split]["ci95"][dimension]
            cells.append(f"{splits[split]['ccc'][dimension]:.2f} [{low:.2f}, {high:.2f}]")
        assert f"| `{name}` | {' | '.join(cells)} |" in text
    (speakers,) = {len(splits["cv5_by_word"]["by_speaker"]) for splits in systems.values()}
    assert f"all {speakers} speakers" in text and f"over {systems['fusion']['cv5_by_word']['n']:,} clips" in text
    compared = {(c["split"], c["system"], c["against"]): c for c in results["comparisons"]}
    parts = []
    for split in ("cv5_by_word", "cv5"):
        comparison = compared[split, "student_kd_classes", "student"]
        changes = [
            f"{dimension} {comparison['relative'][dimension]:+.0%} (p {comparison['p_value'][dimension]:.3f})"
            for of, dimension in asked
            if of == split
        ]
        parts.append(", ".join(changes))
    assert f"in folds, by word: {parts[0]}; with EmoDB's listeners: {parts[1]}." in " ".join(text.split())
    by_corpus = [systems[name]["cv5_by_word"]["by_corpus"] for name in ("student", "student_kd_classes")]
    gains = {
        name: by_corpus[1][name]["ccc"]["valence"] - by_corpus[0][name]["ccc"]["valence"] for name in by_corpus[0]
    }
    assert sorted(gains, key=gains.get)[:2] == ["tess", "ravdess"] and abs(gains["ravdess"]) < 0.02 < -gains["tess"]
    assert sum(gain > 0.02 for gain in gains.values()) == 4


def test_figures_of_corpora_that_are_left_out():
    results = json.loads((ROOT / "model_cards/results/voices_left_out/results.json").read_text())
    (fusion,) = results["systems"]
    ccc = fusion["splits"]["left_out_by_word"]["ccc"]
    said = "{activation:.2f} in activation, {valence:.2f} in valence and {dominance:.2f} in dominance".format(**ccc)
    assert fusion["name"] == "fusion" and f"the six: {said} (" in " ".join(TEXTS["model_cards/README.md"].split())
