"""Results to report on."""

import copy
import json
from pathlib import Path

import pytest

from speech_affect import DIMENSIONS


RESULTS = Path(__file__).resolve().parents[3] / "model_cards" / "results" / "emodb" / "results.json"
FACTS = {"labels": "Two of us rated it.", "license": "Lab Terms 1.0", "terms": "Ask us.", "language": "fi"}


@pytest.fixture
def results() -> dict:
    """The results on EmoDB, of three systems, as if the corpus was one of our own with rated clips."""
    results = json.loads(RESULTS.read_text())
    by_name = {system["name"]: system for system in results["systems"]}
    results["systems"] = [by_name[name] for name in ("mfb", "fusion", "student_kd")]
    results["comparisons"] = [row for row in results["comparisons"] if row["against"] == "mfb"]
    by_name["mfb"]["conditions"] = {}
    by_name["student_kd"]["parameters"] = 1_234_567
    results["corpus"] |= {"name": "made | up", "note": "A\nnote.", "facts": dict(FACTS), "label_range": [0.0, 100.0]}
    results["corpus"] |= {"word_labelled": [], "averaged": list(DIMENSIONS), "listeners": None}
    train = results["corpus"]["splits"]["train"]
    train |= {"clips": 1304, "rated": dict.fromkeys(train["rated"], 1304)}
    results["environment"]["packages"] = {"torch": "2.14.1", "numpy": "2.4.6"}
    results["environment"]["git_commit"] = "abc-dirty"
    return results


@pytest.fixture
def several(results) -> dict:
    """These results as if they were of two corpora: listeners rated activation and valence of `a`, nothing of `b`."""
    sizes = results["corpus"]["splits"]
    corpora = {
        name: {
            "facts": {**FACTS, "license_link": None},
            "languages": [language],
            "word_labelled": words,
            "splits": dict(sizes),
        }
        for name, language, words in (("a", "fi", ["dominance"]), ("b", "sv", ["activation", "valence", "dominance"]))
    }
    line = {"activation": 0.91, "valence": 0.62, "dominance": None, "mean": 0.765}
    results["corpus"] |= {
        "corpora": corpora,
        "word_labelled": ["dominance"],
        "averaged": ["activation", "valence"],
        "listeners": {"cv5": {"ccc": line}},
    }
    for system in results["systems"]:
        crossed = copy.deepcopy(system["splits"].get("cv5") or system["splits"]["test1"])
        crossed["by_speaker"] = {}
        heard, words = copy.deepcopy(crossed), crossed
        for name in ("ccc", "ccc_std_over_seeds", "ccc_per_seed", "ci95"):
            heard[name]["dominance"] = None
        heard["rated"]["dominance"] = 0
        groups = {name: copy.deepcopy(group) for name, group in zip("ab", words["by_gender"].values(), strict=True)}
        words |= {"by_corpus": groups, "by_language": dict(zip(("fi", "sv"), groups.values(), strict=True))}
        heard |= {"by_corpus": {"a": groups["a"]}, "by_language": {"fi": groups["a"]}}
        system["splits"] = {"cv5": heard, "cv5_by_word": words, "left_out_by_word": copy.deepcopy(words)}
        system["conditions"] = {}
        system["trainings"] = 3 * (1 + 5 + 2)
    rows = [row for row in results["comparisons"] if row["split"] == "cv5"]
    results["comparisons"] = [{**row, "split": split} for split in ("cv5", "cv5_by_word") for row in rows]
    return results
