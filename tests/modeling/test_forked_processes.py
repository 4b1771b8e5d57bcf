"""Models in processes that are forked once torch has run on several threads, as `datasets.map(num_proc=2)` does."""

import os
import subprocess
import sys

import pytest


SCRIPT = """
import sys
import numpy as np
import torch
from datasets import Dataset
from speech_affect import AffectStudentModel
from transformers import pipeline

torch.set_num_threads(2)  # a forked process that used them would hang
times = np.arange(32_000)  # tones that come and go, as speech does
tones = [np.sin(times / pitch) * np.clip(np.sin(times / 1500), 0, 1) / 2 for pitch in (20, 15, 10, 5)]
rows = Dataset.from_list([{"samples": tone.tolist()} for tone in tones])
estimate = pipeline("speech-emotion-regression", model=sys.argv[1])

def add(row):
    return {"valence": estimate(np.array(row["samples"]))["valence"], "threads": torch.get_num_threads()}

here = [add(row)["valence"] for row in rows]
there = rows.map(add, num_proc=2)
np.testing.assert_allclose(there["valence"][:], here, atol=1e-5)
assert set(there["threads"][:]) == {1} and torch.get_num_threads() == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_map_in_two_processes_gives_what_this_one_gives(make_model, tmp_path):
    make_model("student").save_pretrained(tmp_path / "model")
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
