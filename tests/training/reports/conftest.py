"""Results to report on."""

import json
from pathlib import Path

import pytest


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
    train = results["corpus"]["splits"]["train"]
    train |= {"clips": 1304, "rated": dict.fromkeys(train["rated"], 1304)}
    results["environment"]["packages"] = {"torch": "2.14.1", "numpy": "2.4.6"}
    results["environment"]["git_commit"] = "abc-dirty"
    return results
