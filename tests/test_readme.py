"""Every block of the README runs, on tiny parts where the real ones take long."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def block(containing: str) -> str:
    found = [text for _, text in BLOCKS if containing in text]
    assert len(found) == 1, f"{len(found)} blocks hold {containing!r}"
    return found[0]


def run_command(text: str) -> list[str]:
    """Arguments of training/run.py in a block."""
    words = shlex.split(text.replace("\\\n", " "))
    return words[words.index("training/run.py") + 1 :]


def test_three_numbers_from_a_file(tmp_path):
    folder = tmp_path / "outputs" / "demo" / "student_kd"
    AffectStudentModel(AffectStudentConfig()).save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)
    soundfile.write(tmp_path / "speech.wav", 0.1 * np.random.default_rng(0).standard_normal(44100), 44100)
    done = subprocess.run(
        [sys.executable, "-c", block("speech.wav")], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    number = r"-?\d+\.\d+"
    pattern = rf"{{'activation': {number}, 'valence': {number}, 'dominance': {number}}}"
    assert re.fullmatch(pattern, done.stdout.strip())


def test_the_two_commands_for_a_fresh_machine():
    job = block('pip install -e ".[train]" && accelerate launch')
    assert run_command(job) == []  # what the demo recipe's own tests run
    assert block("[train,dev]").strip() == 'pip install -e ".[train,dev]"'
    assert block("pytest").strip() == "pytest"


@pytest.fixture
def small(tmp_path):
    """Arguments that make any run small."""
    systems = "{mfb: {role: baseline, branches: [mfb]}}"
    head = "{conv_channels: 8, gru_hidden_size: 8, embedding_size: 8}"
    options = {"systems": systems, "head": head, "seeds": "0", "num_train_epochs": "1", "bootstrap_samples": "50"}
    options |= {"cache_dir": str(tmp_path / "cache"), "disable_tqdm": "true"}
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def test_msp_podcast(small, tiny_corpus, tmp_path, monkeypatch):
    from run import main

    monkeypatch.chdir(tmp_path)
    arguments = run_command(block("MSP-PODCAST-Publish"))
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    assert main([*arguments, *small])["corpus"]["splits"]["train"]["clips"] == 24
    assert (tmp_path / "outputs/msp/results.md").is_file()


def test_a_table_of_your_own(small, tiny_corpus, tmp_path, monkeypatch):
    from run import main

    monkeypatch.chdir(tmp_path)
    lines = ["audio,arousal,valence,dominance,speaker"]
    for index, path in enumerate(sorted((tiny_corpus / "Audios").iterdir())):
        shutil.copy(path, tmp_path / path.name)
        lines.append(f"{path.name},{index},{100 - index},{index * 7 % 100},speaker{index % 10}")
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    results = main([*run_command(block("ratings.csv")), *small])
    assert results["corpus"]["label_range"] == [0, 100]
    assert (tmp_path / "outputs/own/mfb/model.safetensors").is_file()


def test_paths_named_in_the_readme_exist():
    missing = []
    for cell in re.findall(r"^\| (`.*?) \|", README, flags=re.MULTILINE):
        names = re.findall(r"`([^`]+)`", cell)
        folder = names[0].split("/")[0]
        for name in names:
            is_path = "." in name or name.endswith("/")
            if is_path and not (ROOT / name).exists() and not (ROOT / folder / name).exists():
                missing.append(name)
    assert not missing
