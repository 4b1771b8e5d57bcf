"""What is drawn at random or trained is the same in another process, where sets have another order."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file


# what another process makes into folder `b`, and this one into folder `a`
CODE = """
import hashlib, json
from dataclasses import fields
from speech_affect_training.audio.acoustics import clip_rng
from speech_affect_training.audio.augmentation import augmented_copies
from speech_affect_training.corpora.demo import make_demo_corpus
from speech_affect_training.settings.augmentation import AugmentationSettings

always = {field.name: 1 for field in fields(AugmentationSettings) if field.name.endswith("probability")}
copies = augmented_copies(clips, 2, AugmentationSettings(**always))
made = {
    "numbers": clip_rng("ab", "white_10db").random(3).tolist(),
    "copies": [
        [copy.fingerprint, copy.joined, hashlib.sha256(copy.load()["array"].tobytes()).hexdigest()] for copy in copies
    ],
    "corpus": make_demo_corpus(folder / "corpus", utterances_per_speaker=1).name,
    "jobs": {name: str(path) for name, path in trained_jobs.train(folder / "jobs", *arguments).items()},
}
"""
SCRIPT = """
import json, sys
from pathlib import Path
folder, jobs, clips, arguments = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), sys.argv[4:]
sys.path.append(jobs)
import trained_jobs
{code}
print(json.dumps(made))
"""


@pytest.fixture(scope="module")
def made(trained_jobs, tmp_path_factory):
    """Folder, and what was made in each process."""
    root = tmp_path_factory.mktemp("processes")
    clips = []
    for index, speaker in enumerate("aab"):
        path = root / f"{index}.wav"
        soundfile.write(path, 0.05 * np.random.default_rng(index).standard_normal(4000), 16000)
        clips.append([f"{index:064x}", {"path": str(path), "bytes": None}, speaker])
    # with dropout and masks
    head = json.dumps({**trained_jobs.SIZES, "mask_time_prob": 0.2})
    arguments = ["--head", head, "--num_train_epochs", "2"]
    here = {"folder": root / "a", "trained_jobs": trained_jobs, "clips": clips, "arguments": arguments}
    exec(CODE, here)
    # with as many threads: torchaudio's resampling rounds otherwise with another number of them
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    given = [str(root / "b"), os.path.dirname(trained_jobs.__file__), json.dumps(clips), *arguments]
    command = [sys.executable, "-c", SCRIPT.format(code=CODE), *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return root, here["made"], json.loads(done.stdout.splitlines()[-1])


def test_random_numbers_of_a_clip(made):
    _, here, there = made
    assert here["numbers"] == there["numbers"]


def test_augmented_copies(made):
    _, here, there = made
    assert json.loads(json.dumps(here["copies"])) == there["copies"] and len(there["copies"]) == 6


def test_the_demo_corpus(made):
    root, here, there = made
    assert here["corpus"] == there["corpus"]
    first, second = (
        {path.relative_to(root / side): path.read_bytes() for path in (root / side).rglob("*") if path.is_file()}
        for side in ("a/corpus", "b/corpus")
    )
    assert first == second and len(first) == 30  # 12 clips and transcripts, and 6 tables and texts


def test_trained_weights(made, trained_jobs, tmp_path):
    """Another seed gives others."""
    _, here, there = made
    other = trained_jobs.train(tmp_path, "--num_train_epochs", "2", "--seeds", "1")
    assert len(there["jobs"]) == 2
    for name, folder in there["jobs"].items():
        kept = [load_file(f"{each}/model/model.safetensors") for each in (here["jobs"][name], folder)]
        torch.testing.assert_close(*kept, atol=0, rtol=0)
        other_weights = load_file(other[name] / "model" / "model.safetensors")
        assert not torch.equal(other_weights["regressor.output.weight"], kept[0]["regressor.output.weight"])
