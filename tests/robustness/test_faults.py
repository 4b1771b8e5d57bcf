"""A few of the faults that `python tests/robustness/faults.py` strikes runs with, and that it would see them fail."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


pytest.importorskip("resource", reason="runs are forked, which Windows cannot")
if not sys.platform.startswith("linux"):
    pytest.skip("what runs do is watched through /proc", allow_module_level=True)

FAULTS = Path(__file__).with_name("faults.py")
REFUSED = {"write fails", "cache read-only", "two runs in one folder", "worker killed"}


def test_runs_go_on_or_refuse_and_end_the_same(tmp_path):
    command = [sys.executable, str(FAULTS), "--points", "1", "--at_most", "3", "--others", "1"]
    command += ["--output", str(tmp_path / "faults.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    points = json.loads((tmp_path / "faults.json").read_text())["points"]
    faults = {point["fault"] for point in points}
    assert sum(fault.startswith("killed: ") for fault in faults) == 3
    assert faults >= {"cache damaged", "two runs with one cache", *REFUSED}
    assert not any(point["failure"] for point in points)
    assert {point["fault"] for point in points if point["refusal"]} >= REFUSED
    assert done.stdout.splitlines()[0].split(" | ")[1:] == ["points", "resumed identical", "refused", "FAILED"]


def test_the_command_line_says_what_is_allowed():
    done = subprocess.run([sys.executable, str(FAULTS), "--points", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--points is 0; it is at least 1" in done.stderr
