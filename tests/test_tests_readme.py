"""Tables and commands of tests/README.md are those of the committed results and of the programs."""

import re
import shlex
from pathlib import Path

import pytest


TESTS = Path(__file__).resolve().parent
README = (TESTS / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip()
    for block in re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(TESTS))


def test_figures_of_speed_are_those_of_the_results():
    from benchmarks.summary import FIGURE, RESULTS, latency_table, machine_line, read_results, target_table

    results = read_results(RESULTS)
    assert latency_table(results["latency"]) in README
    assert target_table(results) in README
    assert machine_line(results) in README.replace("\n", " ")
    assert f"](benchmarks/results/{FIGURE})" in README and (RESULTS / FIGURE).is_file()


def test_figures_of_robustness_are_those_of_the_results():
    from robustness.large_table import table_sentence
    from robustness.report import audio_line, audio_table, faults_table, long_run_table, read_results

    audio, faults, long_run = (read_results(name) for name in ("hostile_audio", "faults", "long_run"))
    assert audio["failures"] == [] and audio["cases"] >= 10_000
    assert [point for point in faults["points"] if point["failure"]] == []
    assert long_run["minutes"] >= 60 and not long_run["interrupted"]
    assert [failure for load in long_run["targets"].values() for failure in load["failures"]] == []
    assert audio_line(audio) in README and audio_table(audio) in README
    assert faults_table(faults) in README and long_run_table(long_run) in README
    table = read_results("large_table")
    assert table["rows"] == sum(table["splits"].values()) == 10_000_000
    assert table_sentence(table) in README


def test_options_of_the_commands_exist(monkeypatch):
    from benchmarks import run as benchmarks
    from gpu import run as gpu
    from robustness import faults, large_table, long_run, run

    parsed = set()
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        if program == "python" and arguments[0].startswith("tests/"):
            name = arguments[0].removeprefix("tests/")
            parsers = {
                "robustness/run.py": run,
                "robustness/faults.py": faults,
                "robustness/long_run.py": long_run,
                "robustness/large_table.py": large_table,
                "benchmarks/run.py": benchmarks,
                "gpu/run.py": gpu,
            }
            if name in parsers:
                parsers[name].parse(arguments[1:])
                parsed.add(name)
            assert (TESTS / name).is_file()
    assert len(parsed) == 6


def test_paths_named_in_backticks_exist():
    names = re.findall(r"`(tests/[\w./-]+|[\w/-]+/(?:[\w-]+\.py)?)`", README)
    missing = [name for name in names if not ((TESTS / name).exists() or (TESTS.parent / name).exists())]
    assert len(names) > 10 and not missing
