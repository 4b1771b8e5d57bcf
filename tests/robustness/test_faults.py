"""A few of the faults of `faults.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


if not sys.platform.startswith("linux"):
    pytest.skip("runs are forked and watched through /proc", allow_module_level=True)

FAULTS = Path(__file__).with_name("faults.py")
REFUSED = {"write fails", "cache read-only", "two runs in one folder", "worker killed"}


def test_runs_go_on_or_refuse_and_end_the_same(tmp_path):
    command = [sys.executable, str(FAULTS), "--points", "1", "--at_most", "1", "--others", "1"]
    command += ["--output", str(tmp_path / "faults.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    points = json.loads((tmp_path / "faults.json").read_text())["points"]
    faults = {point["fault"] for point in points}
    assert sum(fault.startswith("killed: ") for fault in faults) == 1
    assert faults >= {"cache damaged", "two runs with one cache", *REFUSED}
    assert not any(point["failure"] for point in points)
    assert {point["fault"] for point in points if point["refusal"]} >= REFUSED
    assert "| cache damaged | 1 | 1 | " in done.stdout


def test_command_line_errors():
    done = subprocess.run([sys.executable, str(FAULTS), "--points", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "argument --points: it is 0; give a whole number, at least 1" in done.stderr
