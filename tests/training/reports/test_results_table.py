"""Tables for reading say what is in results.json."""

import pytest

from speech_affect_training.reports.results_table import render_markdown


KEYS = ("activation", "valence", "dominance", "mean")


def scores(value: float, **more) -> dict:
    return {
        "n": 21,
        "ccc": {key: value + index / 100 for index, key in enumerate(KEYS)},
        "ccc_std_over_seeds": dict.fromkeys(KEYS, 0.0125),
        "ci95": {key: [value - 0.1, value + 0.1] for key in KEYS},
        "by_gender": {},
        "by_speaker": {},
        **more,
    }


def system(name: str, splits: dict, **more) -> dict:
    known = {"role": "student", "inputs": ["mfb"], "parameters": 1234567, "seeds": [0, 1]}
    return {"name": name, **known, "splits": splits, "conditions": {}, **more}


def comparison(split: str, relative: float | None) -> dict:
    return {
        "system": "pupil",
        "against": "mfb",
        "split": split,
        "difference": dict(zip(KEYS, (0.1, -0.2, 0.0, 0.05), strict=True)),
        "relative": dict(zip(KEYS, (0.256, -0.4, 0.0, relative), strict=True)),
        "ci95": {key: [0, 1] for key in KEYS},
        "p_value": dict.fromkeys(KEYS, 0.0449),
    }


@pytest.fixture
def results():
    return {
        "systems": [
            system("mfb", {"test1": scores(0.5), "cv3": scores(0.25)}, role="baseline", inputs=["mfb", "whisper-2"]),
            system("pupil", {"test1": scores(0.6)}),
        ],
        "comparisons": [comparison("test1", 0.1)],
        "corpus": {
            "name": "made up",
            "note": "A note.",
            "splits": {"train": {"clips": 24, "speakers": 3}, "test1": {"clips": 21, "speakers": 2}},
        },
        "environment": {"git_commit": "abc-dirty", "packages": {"torch": "2.14", "numpy": "2.0"}},
    }


def section(text: str, title: str) -> list[str]:
    """The lines below a heading, up to the next."""
    lines = text.split("\n")
    start = lines.index(title) + 1
    end = next((i for i, line in enumerate(lines[start:], start) if line.startswith("## ")), len(lines))
    return lines[start:end]


def test_a_row_per_system_and_a_table_per_split(results):
    text = render_markdown(results)
    assert text.startswith("# Results on made up\n\nA note.\n")
    rows = section(text, "## test1: CCC on 21 clips")
    head = "| system | role | inputs | parameters | seeds | activation | valence | dominance | mean |"
    assert head in rows and rows[rows.index(head) + 1] == "|---" * 9 + "|"
    first = "| mfb | baseline | mfb + whisper-2 | 1,234,567 | 2 | 0.500 ± 0.013 [0.400, 0.600] | "
    assert rows[rows.index(head) + 2].startswith(first)
    assert rows[rows.index(head) + 3].endswith("| 0.620 ± 0.013 [0.500, 0.700] | 0.630 ± 0.013 [0.500, 0.700] |")
    # a system that was not cross-validated has no row there
    crossed = section(text, "## cv3: CCC on 21 clips")
    assert [line for line in crossed if line.startswith("| mfb |")]
    assert not [line for line in crossed if line.startswith("| pupil |")]
    assert "| train | 24 | 3 |" in section(text, "## Corpus") and "| test1 | 21 | 2 |" in section(text, "## Corpus")
    assert text.endswith("\nCode abc-dirty; torch 2.14, numpy 2.0.\n")


def test_every_row_of_a_table_is_as_long_as_its_head(results):
    results["systems"][0]["splits"]["test1"] |= {
        "coverage": {"0.68": dict.fromkeys(KEYS, 0.7)},
        "by_gender": {"a|b": scores(0.1)},
    }
    results["systems"][1]["splits"]["test1"]["by_gender"] = {"a|b": scores(0.1)}
    results["systems"][0]["conditions"] = {"test1": {"room_0.5s": scores(0.1)}}
    width = 0
    for line in render_markdown(results).split("\n"):
        if line.startswith("|"):
            cells = line.replace("\\|", "").count("|")
            assert width in (0, cells), line
            width = cells
        else:
            width = 0


def test_differences_with_their_share(results):
    rows = section(render_markdown(results), "## test1: CCC on 21 clips")
    assert (
        "| pupil | mfb | +0.100, +26% (p 0.045) | -0.200, -40% (p 0.045) | +0.000, +0% (p 0.045) | "
        "+0.050, +10% (p 0.045) |"
    ) in rows
    results["comparisons"] = [comparison("test1", None)]
    rows = section(render_markdown(results), "## test1: CCC on 21 clips")
    assert [row for row in rows if row.endswith("| +0.050 (p 0.045) |")]
    assert "Differences" not in "".join(section(render_markdown(results), "## cv3: CCC on 21 clips"))
    results["comparisons"] = []
    assert "Differences" not in render_markdown(results)


def test_coverage_of_those_that_predict_uncertainty(results):
    assert "uncertainty" not in render_markdown(results)
    shares = {"activation": 0.7, "valence": 0.6849, "dominance": 1.0}
    results["systems"][1]["splits"]["test1"]["coverage"] = {"0.68": shares, "0.95": dict.fromkeys(shares, 0.5)}
    rows = section(render_markdown(results), "## test1: CCC on 21 clips")
    start = rows.index("| system | interval | activation | valence | dominance |")
    assert rows[start + 2 : start + 4] == [
        "| pupil | 68% | 70.0% | 68.5% | 100.0% |",
        "| pupil | 95% | 50.0% | 50.0% | 50.0% |",
    ]


def test_groups(results):
    for index, name in enumerate(("mfb", "pupil")):
        groups = {"Female": scores(0.3 + index / 10), "Male": scores(0.2)}
        assert results["systems"][index]["name"] == name
        results["systems"][index]["splits"]["test1"]["by_gender"] = groups
    text = render_markdown(results)
    rows = section(text, "## test1: CCC on 21 clips")
    start = rows.index("| system | Female (21 clips) | Male (21 clips) |")
    assert rows[start - 2] == "CCC by gender, activation / valence / dominance:"
    assert rows[start + 2 : start + 4] == [
        "| mfb | 0.30 / 0.31 / 0.32 | 0.20 / 0.21 / 0.22 |",
        "| pupil | 0.40 / 0.41 / 0.42 | 0.20 / 0.21 / 0.22 |",
    ]
    assert "by speaker" not in text


@pytest.mark.parametrize("count, shown", [(20, True), (21, False)])
def test_speakers_up_to_twenty(results, count, shown):
    for system in results["systems"]:
        system["splits"]["test1"]["by_speaker"] = {f"{index}": scores(0.1) for index in range(count)}
    assert ("CCC by speaker" in render_markdown(results)) == shown


def test_conditions(results):
    assert "under noise" not in render_markdown(results)
    results["systems"][1]["conditions"] = {"test1": {"white_10db": scores(0.3), "room_0.6s": scores(0.2)}}
    rows = section(render_markdown(results), "## test1 under noise and in rooms")
    assert "| system | clean | white 10db | room 0.6s |" in rows
    (pupil,) = (row for row in rows if row.startswith("| pupil |"))
    assert pupil.endswith("| 0.30 / 0.31 / 0.32 | 0.20 / 0.21 / 0.22 |")
    assert not [row for row in rows if row.startswith("| mfb |")]


def test_no_system():
    corpus = {"name": "made up", "note": "", "splits": {}}
    empty = {"systems": [], "comparisons": [], "corpus": corpus, "environment": {"git_commit": None, "packages": {}}}
    assert "## Corpus" in render_markdown(empty)
