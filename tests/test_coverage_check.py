"""The check of coverage, on reports made by hand and on one that coverage itself writes."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


CHECK = Path(__file__).with_name("coverage_check.py")
SOURCE = '''"""A module."""


def half(number):
    """Of an even number."""
    if number % 2:
        raise ValueError(
            f"{number} is odd"
        )
    try:
        return number // 2
    except TypeError:
        raise
'''
REPORT = {
    "files": {
        "modeling/half.py": {
            "executed_lines": [1, 4, 6, 7, 10, 11, 12, 13],
            "summary": {"num_statements": 10, "covered_lines": 10, "num_branches": 4, "covered_branches": 4},
        },
        "training/run.py": {
            "executed_lines": [1],
            "summary": {"num_statements": 100, "covered_lines": 93, "num_branches": 60, "covered_branches": 54},
        },
        "training/metrics/ccc.py": {
            "executed_lines": [],
            "summary": {"num_statements": 10, "covered_lines": 8, "num_branches": 0, "covered_branches": 0},
        },
    }
}


@pytest.fixture
def check(tmp_path):
    """Runs the command on a report; returns its status, what it printed, and what it complained of."""
    (tmp_path / "modeling").mkdir()
    (tmp_path / "modeling" / "half.py").write_text(SOURCE)

    def run(report, *options: str):
        (tmp_path / "coverage.json").write_text(report if isinstance(report, str) else json.dumps(report))
        command = [sys.executable, str(CHECK), str(tmp_path / "coverage.json"), "--root", str(tmp_path), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return run


def test_enough(check):
    status, printed, _ = check(REPORT)
    assert status == 0, printed
    assert printed.splitlines() == [
        "folder     |    lines | branches",
        "modeling   |   100.0% |   100.0%",
        "training   |    91.8% |    90.0%",  # 101 of 110, and 54 of 60
        "",
        "`raise` in modeling/ that no test reaches: 0",
    ]


def test_too_few_branches_or_lines(check):
    for name in ("covered_lines", "covered_branches"):
        less = copy.deepcopy(REPORT)
        less["files"]["training/run.py"]["summary"][name] -= 3
        assert check(less)[0] == 1
        assert check(less, "--least", "80")[0] == 0


def test_each_raise_that_was_not_reached_is_named(check):
    less = copy.deepcopy(REPORT)
    less["files"]["modeling/half.py"]["executed_lines"] = [1, 4, 6, 10, 11]
    status, printed, _ = check(less)
    assert status == 1
    assert printed.splitlines()[-3:] == [
        "`raise` in modeling/ that no test reaches: 2",
        "modeling/half.py:7: raise ValueError(",
        "modeling/half.py:13: raise",
    ]


def test_a_file_that_no_test_imports_counts(check, tmp_path):
    (tmp_path / "modeling" / "other.py").write_text("raise SystemExit\n")
    status, printed, _ = check(REPORT)
    assert status == 1 and printed.endswith("modeling/other.py:1: raise SystemExit\n")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda files: files.pop("modeling/half.py"), "the report has no file of modeling/: run the tests under"),
        (lambda files: files["training/run.py"]["summary"].pop("num_branches"), "the report has no branches: "),
    ],
)
def test_reports_that_say_nothing(check, change, message):
    other = copy.deepcopy(REPORT)
    change(other["files"])
    status, _, complaint = check(other)
    assert status == 2 and message in complaint
    assert check("{")[0] == 2


def test_a_report_of_coverage_itself(check, tmp_path):
    pytest.importorskip("coverage")
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "use.py").write_text("from modeling.half import half\n\nprint(half(4))\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")} | {"PYTHONPATH": str(tmp_path)}
    for command in (["run", "--branch", "--source", "modeling,training", "training/use.py"], ["json"]):
        command = [sys.executable, "-m", "coverage", *command]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60, capture_output=True)
    status, printed, _ = check((tmp_path / "coverage.json").read_text())
    assert status == 1
    assert [line.split(":")[1] for line in printed.splitlines()[-2:]] == ["7", "13"]
    assert "training   |   100.0%" in printed
