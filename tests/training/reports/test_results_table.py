"""The tables in results.md show what is in results.json."""

import pytest

from speech_affect import DIMENSIONS
from speech_affect_training.reports.results_table import render_markdown
from speech_affect_training.reports.scores import KEYS


@pytest.fixture
def results(results):
    """Results in which the fusion model was not cross-validated, and some scores are known."""
    mfb, fusion, student = results["systems"]
    del fusion["splits"]["cv5"]
    for system, value in ((mfb, 0.5), (student, 0.6)):
        scores = system["splits"]["test1"]
        scores["ccc"] = {key: value + index / 100 for index, key in enumerate(KEYS)}
        scores["ccc_std_over_seeds"] = dict.fromkeys(KEYS, 0.0125)
        scores["ci95"] = {key: [value - 0.1, value + 0.1] for key in KEYS}
    return results


def section(text: str, title: str) -> list[str]:
    """Return the lines below a heading, up to the next."""
    lines = text.split("\n")
    start = lines.index(title) + 1
    end = next((i for i, line in enumerate(lines[start:], start) if line.startswith("## ")), len(lines))
    return lines[start:end]


def test_a_row_per_system_and_a_table_per_split(results):
    text = render_markdown(results)
    assert text.startswith("# Results on made | up\n\nA\nnote.\n")
    rows = section(text, "## test1: CCC on 127 clips")
    head = rows.index("| system | role | inputs | parameters | seeds | activation | valence | dominance | mean |")
    assert rows[head + 1] == "|---" * 9 + "|"
    assert rows[head + 2].startswith("| mfb | baseline | mfb | 261,251 | 3 | 0.500 ± 0.013 [0.400, 0.600] | ")
    assert rows[head + 3].startswith("| fusion | teacher | mfb + whisper-3 | 21,394,179 | 3 | ")
    assert rows[head + 4].endswith("| 0.620 ± 0.013 [0.500, 0.700] | 0.630 ± 0.013 [0.500, 0.700] |")
    crossed = "\n".join(section(text, "## cv5: CCC on 535 clips"))
    assert "| mfb | baseline |" in crossed and "| fusion | teacher |" not in crossed
    assert "| train | 1,304 | 6 |" in section(text, "## Corpus")
    assert text.endswith("\nCode abc-dirty; torch 2.14.1, numpy 2.4.6.\n")


def test_every_row_of_a_table_is_as_long_as_its_head(results):
    for system in results["systems"]:
        scores = system["splits"]["test1"]
        scores["by_gender"] = {"a|b": scores["by_gender"]["Female"]}
    width = 0
    for line in render_markdown(results).split("\n"):
        if line.startswith("|"):
            cells = line.replace("\\|", "").count("|")
            assert width in (0, cells), line
            width = cells
        else:
            width = 0


def test_comparisons_and_coverage(results):
    assert "predicts" not in render_markdown(results)
    shares = {"activation": 0.7, "valence": 0.6849, "dominance": 1.0}
    results["systems"][2]["splits"]["test1"]["coverage"] = {"0.68": shares, "0.95": dict.fromkeys(shares, 0.5)}
    rows = section(render_markdown(results), "## test1: CCC on 127 clips")
    assert [row for row in rows if row.startswith("| student_kd | mfb | -0.000 [-0.019, +0.017], -0%, p 0.985 | ")]
    start = rows.index("| system | interval | activation | valence | dominance |")
    assert rows[start + 2 : start + 4] == [
        "| student_kd | 68% | 70.0% | 68.5% | 100.0% |",
        "| student_kd | 95% | 50.0% | 50.0% | 50.0% |",
    ]
    results["comparisons"] = []
    assert "Difference" not in render_markdown(results)


def test_groups_and_conditions(results):
    for system in results["systems"]:
        female = system["splits"]["test1"]["by_gender"]["Female"]
        female["ccc"] |= dict(zip(DIMENSIONS, (0.3, 0.31, 0.32), strict=True))
        system["splits"]["test1"]["by_speaker"] = {str(index): female for index in range(21)}
    text = render_markdown(results)
    rows = section(text, "## test1: CCC on 127 clips")
    start = rows.index("| system | Female (71 clips) | Male (56 clips) |")
    assert rows[start - 2] == "CCC by gender, activation / valence / dominance:"
    assert rows[start + 2].startswith("| mfb | 0.30 / 0.31 / 0.32 | ")
    assert "by speaker" not in "".join(rows)  # too many
    assert "CCC by speaker, activation / valence / dominance:" in section(text, "## cv5: CCC on 535 clips")
    rows = section(text, "## test1 under noise and in rooms")
    assert [row for row in rows if row.startswith("| system | clean | white 20db | ") and " | room 1s |" in row]
    assert [row for row in rows if row.startswith("| student_kd | 0.60 / 0.61 / 0.62 | ")]
    assert not [row for row in rows if row.startswith("| mfb |")]


def test_listeners_and_words_have_tables_of_their_own(several):
    text = render_markdown(several)
    heard = section(text, "## cv5, by listeners: CCC on 535 clips (dominance none)")
    words = section(text, "## cv5, by the emotion's word: CCC on 535 clips")
    assert section(text, "## left_out, by the emotion's word: CCC on 535 clips")
    heads = [next(line for line in lines if line.startswith("| system | role |")) for lines in (heard, words)]
    assert heads[0].endswith("| activation | valence | dominance | mean (activation, valence) |")
    assert heads[1].endswith("| activation | valence | dominance | mean |")
    (mfb,) = [line for line in heard if line.startswith("| mfb | baseline |")]
    assert mfb.split(" | ")[7] == "not rated"
    assert "| one further listener |  |  |  |  | 0.910 | 0.620 | not rated | 0.765 |" in heard
    assert "One further listener: CCC of each listener's grade with the mean" in "".join(heard)
    assert "further listener" not in "".join(words) and "by word" not in text
    assert "CCC is the mean over corpora" in "".join(words) and "over corpora" not in "".join(heard)
    assert "CCC by corpus, activation / valence / dominance:" in words
    sizes = [group["n"] for group in several["systems"][0]["splits"]["cv5_by_word"]["by_corpus"].values()]
    assert f"| system | a ({sizes[0]} clips) | b ({sizes[1]} clips) |" in words
    assert f"| system | fi ({sizes[0]} clips) | sv ({sizes[1]} clips) |" in words
    rows = section(text, "## Corpus")
    assert "| a | fi | 1,535 | 10 | activation, valence | Lab Terms 1.0 |" in rows
    assert "| b | sv | 1,535 | 10 | nothing | Lab Terms 1.0 |" in rows


def test_predicted_spread_beside_that_of_the_grades(results):
    spread = {
        "clips": {"activation": 120, "valence": 120, "dominance": 0},
        "ccc": {"activation": 0.314, "valence": -0.05, "dominance": None},
        "pearson": {"activation": 0.4, "valence": None, "dominance": None},
    }
    results["systems"][1]["splits"]["test1"]["spread"] = spread
    results["systems"][2]["splits"]["test1"]["spread"] = {**spread, "clips": dict.fromkeys(DIMENSIONS, 0)}
    rows = section(render_markdown(results), "## test1: CCC on 127 clips")
    start = rows.index("| system | activation | valence | dominance |")
    assert rows[start - 2].startswith("Predicted standard deviation beside that of the clip's grades, over clips with")
    cells = "| 0.31 / 0.40 | -0.05 / not rated | not rated / not rated |"
    assert rows[start + 2] == f"| fusion {cells}" and not rows[start + 3]


def test_time_and_memory_stand_in_a_table_of_their_own(results):
    """600 s in all for 6 trainings; results without the memory have no such table."""
    title, cost = "## Time and memory of training", {"training_seconds": 600.0, "trainings": 6}
    for system in results["systems"]:
        system["peak_memory_mb"] = None
    assert title not in render_markdown(results)
    results["systems"][1] |= {**cost, "peak_memory_mb": 1234, "trained_parameters": 5678}
    assert "| fusion | 5,678 | 6 | 100.0 | 1,234 |" in section(render_markdown(results), title)
