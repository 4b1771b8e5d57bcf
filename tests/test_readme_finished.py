"""Blocks of training/README.md about finished models, and about corpora that are only tested on."""

import shlex
import shutil

import pytest
import yaml

from speech_affect import released
from speech_affect.cli.main import main as command
from speech_affect_training.run import main

from .readme_blocks import block, run_arguments


PEER = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"
HEAD = "{conv_channels: 8, gru_hidden_size: 8, embedding_size: 8}"


@pytest.fixture
def here(tmp_path, monkeypatch, figures_are_empty):
    """A working directory with a checkpoint where the main job leaves it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "outputs/demo").mkdir(parents=True)
    (tmp_path / "outputs/demo/student_kd").symlink_to(released("student"))
    return tmp_path


def evaluate(text: str, **others: str) -> str:
    """Runs a block with other words for some of its own; returns results.md."""
    words = [others.get(word, word) for word in shlex.split(text.replace("\\\n", " "))]
    assert words[:2] == ["speech-affect", "evaluate"]
    assert command([*words[1:], "--cache-dir", "cache"]) == 0
    with open("outputs/evaluation/results.md", encoding="utf-8") as file:
        return file.read()


def test_models_of_ours_and_peers_on_a_release(here, tiny_corpus, audeering_like, capsys):
    others = {PEER: str(audeering_like), "/data/MSP-PODCAST-Publish-1.11": str(tiny_corpus)}
    table = evaluate(block("--data-dir /data/MSP"), **others)
    assert "| student_kd | checkpoint | audio | 540,236 |" in table and "## test2: CCC on 6 clips" in table
    assert "| wav2vec2-tiny-emotion | student_kd | " in table and table in capsys.readouterr().out


def test_a_table_of_your_own(here, tiny_corpus):
    lines = ["wav,arousal"]
    for index, path in enumerate(sorted((tiny_corpus / "Audios").iterdir())[:12]):
        shutil.copy(path, here / path.name)
        lines.append(f"{path.name},{1 + index % 9}")
    (here / "ratings.csv").write_text("\n".join(lines) + "\n")
    table = evaluate(block("--data-dir ratings.csv"))
    assert "## test1: CCC on 12 clips (valence none, dominance none)" in table


def test_a_table_without_what_it_needs_is_one_line(here, capsys):
    (here / "ratings.csv").write_text("audio,activation\na.wav,3\n")
    assert command(["evaluate", "outputs/demo/student_kd", "--data-dir", "ratings.csv", "--cache-dir", "cache"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: corpus_options {} do not fit corpus 'table': it needs label_range"
    )


def test_rows_beside_what_is_trained(here, tiny_corpus, audeering_like, odyssey_like):
    recipe = yaml.safe_load(block("odyssey:"))
    assert recipe["systems"]["audeering"]["id"] == PEER
    recipe["systems"]["audeering"]["id"] = str(audeering_like)
    recipe["systems"]["odyssey"] |= {"id": str(odyssey_like), "revision": None}  # of a folder there is none
    (here / "rows.yaml").write_text(yaml.safe_dump(recipe))
    more = ("--data_dir", str(tiny_corpus), "--cache_dir", "cache", "--bootstrap_samples", "20")
    # that it stands beside what is trained is tested elsewhere
    results = main(["--recipe", "rows.yaml", *more, "--only", "audeering", "odyssey"])
    assert [system["checkpoint"]["outputs"] for system in results["systems"]] == [
        ["activation", "dominance", "valence"]
    ] * 2
    assert {(row["system"], row["against"]) for row in results["comparisons"]} == {("odyssey", "audeering")}


def test_one_corpus_to_train_on_another_to_test_on(here, halves):
    words = run_arguments(block("--train_on podcast"))
    for name, folder in zip(("podcast", "acted"), halves, strict=True):
        folder.rename(here / name)
    systems, sizes = "{mfb: {role: baseline}}", ("--head", HEAD, "--max_steps", "1", "--seeds", "0")
    more = ("--cache_dir", "cache", "--bootstrap_samples", "20", "--disable_tqdm", "true")
    results = main([*words, "--systems", systems, *sizes, *more])
    counts = {split: size["clips"] for split, size in results["corpus"]["splits"].items()}
    assert counts == {"train": 12 + 5 + 3, "development": 6, "test1": 26}
    assert {name: list(one["splits"]) for name, one in results["corpus"]["corpora"].items()} == {
        "podcast": ["train", "development"],
        "acted": ["test1"],
    }
    [system] = results["systems"]
    assert list(system["splits"]) == ["test1"] and list(system["splits"]["test1"]["by_corpus"]) == ["acted"]
