"""The command that loads ten million rows, on a few."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


if not sys.platform.startswith("linux"):
    pytest.skip("memory is read from /proc", allow_module_level=True)

COMMAND = [sys.executable, str(Path(__file__).with_name("large_table.py"))]


def test_each_row_is_loaded_with_its_file(tmp_path):
    command = [*COMMAND, "--rows", "23000", "--output", str(tmp_path / "result.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    result = json.loads((tmp_path / "result.json").read_text())
    # 5000 speakers: the first 3000 of them speak five times, the others four times
    assert result["rows"] == 23000 and sum(result["splits"].values()) == 23000
    assert list(result["splits"]) == ["train", "development", "test1"]
    assert 1 < result["file_mb"] < 3 and 0 <= result["read_mb"] < 50 and result["load_mb"] > 1
    assert f"23,000 rows ({result['file_mb']} MB): read in " in done.stdout


def test_speakers_need_rows():
    done = subprocess.run([*COMMAND, "--rows", "4999"], capture_output=True, text=True)
    assert done.returncode == 2 and "argument --rows: it is 4999; give a whole number, at least 5000" in done.stderr
