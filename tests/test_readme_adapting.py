"""Blocks and figures of training/README.md about a few ratings of your own."""

import json
import shlex
import shutil

import huggingface_hub.constants
import pytest
from transformers import AutoModel

from speech_affect import released
from speech_affect.cli.main import main as command
from speech_affect_training.adapting import output_layer

from .readme_blocks import ROOT, TEXTS, block


RESULTS = ROOT / "tests/benchmarks/adapting.json"


@pytest.fixture
def here(tmp_path, tiny_corpus, monkeypatch):
    """A working directory with 24 clips of 4 speakers in a table, and a checkpoint where the main job leaves it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    monkeypatch.setattr(output_layer, "STEPS", 5)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "home"))
    (tmp_path / "outputs/demo").mkdir(parents=True)
    (tmp_path / "outputs/demo/student_kd").symlink_to(released("student"))
    lines = ["audio,path,corpus,speaker,gender,emotion,activation,valence"]
    for index, path in enumerate(sorted((tiny_corpus / "Audios").iterdir())[:24]):
        shutil.copy(path, tmp_path / path.name)
        rating = 1 + index % 5
        lines.append(f"{path.name},{path.name},nemo,s{index % 4},,{'AHSN'[index % 4]},{rating},{6 - rating}")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_few_ratings_of_your_own(here, capsys):
    words = shlex.split(block("speech-affect adapt").replace("\\\n", " "))
    assert command([*words[1:], "--bootstrap-samples", "50"]) == 0
    assert "4 groups of speakers" in capsys.readouterr().out
    assert AutoModel.from_pretrained("outputs/mine").config.label_range == [1, 5]
    result = json.loads((here / "outputs/mine/adapt.json").read_text())
    assert result["adapted"] == {"activation": 24, "valence": 24} and result["unchanged"] == ["dominance"]


def test_figures_of_adapting_are_those_of_the_results(here):
    from benchmarks.adapting import adapting_table

    results = json.loads(RESULTS.read_text())
    assert adapting_table(results) in TEXTS["training/README.md"]
    words = shlex.split(block("benchmarks/adapting.py").replace("\\\n", " "))
    assert words[words.index("--corpora") + 1 : words.index("--name")] == list(results["corpora"])
    assert words[-1] == results["model"] and results["clips"] == 50
    for corpus in results["corpora"].values():
        assert len(corpus["draws"]) == 10 and len(corpus["dimensions"]) == 3
        rises = [sum(draw["after"]) / 3 - sum(draw["before"]) / 3 for draw in corpus["draws"]]
        assert sum(rises) / 10 >= 0.10 and min(rises) > 0


def test_the_benchmark_of_adapting(here, monkeypatch, capsys):
    from benchmarks import adapting

    words = shlex.split(block("benchmarks/adapting.py").replace("\\\n", " "))
    assert words[:2] == ["python", "tests/benchmarks/adapting.py"]
    used = {words[2]: "outputs/demo/student_kd", words[3]: "clips.csv", "emovo": "", "ravdess": ""}
    words = [used.get(word, word) for word in words[2:]]
    few = ["--clips", "10", "--draws", "2", "--output", "results.json"]
    results = adapting.main([word for word in [*words, *few] if word])
    assert json.loads((here / "results.json").read_text()) == results
    [corpus] = results["corpora"].values()
    assert corpus["speakers"] == 4 and corpus["clips"] == 24 and len(corpus["draws"]) == 2
    assert adapting.adapting_table(results) in capsys.readouterr().out
