"""Every block of README.md and of the READMEs of modeling/, training/ and model_cards/ runs, on tiny parts."""

import ast
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoConfig, AutoModel

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)


ROOT = Path(__file__).resolve().parents[1]
FILES = ("README.md", "modeling/README.md", "training/README.md", "model_cards/README.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}
BLOCKS = {name: re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for name, text in TEXTS.items()}
# what a block holds -> it is taken by the test that asks for it; a block that no test asks for fails the first test
ASKED_FOR = (
    "accelerate launch training/run.py\n",
    'released("student"))("speech.wav")',
    "predict recordings/",
    "--output talk.TextGrid",
    "outputs/msp",
    "ratings.csv",
    "speech-affect serve",
    "[train,dev]",
    "pytest",
    "curve = estimate(",
    "AutoModel, AutoProcessor\n",
    "stream.push(chunk)",
    "DataCollatorWithPadding",
    "speech-affect export",
    "import OnnxAffect",
    "pip install ./modeling/speech_affect_onnx",
    "onnxruntime.InferenceSession(",
    "ort.InferenceSession.create(",
    "--recipe demo",
    "--recipe paper_table",
    "--output msp-parquet",
    'load_dataset("msp-parquet"',
    "streaming=True)",
    "corpora:",
    "--unlabelled_dir AUDIO\n",
    "--release student",
    "large_table.py",
    "--dataset_card",
    "--recipe emodb",
    "reports.model_card",
)
NUMBER = r"\d\.\d+"


def block(containing: str) -> str:
    """The only block of all READMEs that holds this text."""
    assert containing in ASKED_FOR
    found = [text for texts in BLOCKS.values() for text in texts if containing in text]
    assert len(found) == 1, f"{len(found)} blocks hold {containing!r}"
    return found[0]


def run_arguments(text: str) -> list[str]:
    """Arguments of training/run.py in a command."""
    words = shlex.split(text.replace("\\\n", " "))
    return words[words.index("training/run.py") + 1 :]


def module_arguments(text: str, module: str) -> list[str]:
    """Arguments of `python -m MODULE` in a command."""
    words = shlex.split(text)
    assert words[:3] == ["python", "-m", module]
    return words[3:]


def run_python(text: str, folder: Path) -> list[str]:
    """Lines that a block prints when it runs in a folder."""
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


@pytest.fixture
def demo(tmp_path):
    """A folder with a recording and a checkpoint where the main job leaves it."""
    folder = tmp_path / "outputs" / "demo" / "student_kd"
    AffectStudentModel(AffectStudentConfig()).save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)
    times = np.arange(4 * 44100) / 44100
    soundfile.write(tmp_path / "speech.wav", 0.3 * np.sin(1000 * times) * np.sin(9 * times) ** 2, 44100)
    return tmp_path


@pytest.fixture
def small(tmp_path, figures_are_empty):
    """Arguments that make any run small; figures are not drawn."""
    systems = "{mfb: {role: baseline, branches: [mfb]}}"
    head = "{conv_channels: 8, gru_hidden_size: 8, embedding_size: 8}"
    options = {"systems": systems, "head": head, "seeds": "0", "num_train_epochs": "1", "bootstrap_samples": "50"}
    options |= {"cache_dir": str(tmp_path / "cache"), "disable_tqdm": "true"}
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def test_every_block_is_run_by_a_test():
    source = Path(__file__).read_text(encoding="utf-8")
    for name, texts in BLOCKS.items():
        for text in texts:
            [asked] = [part for part in ASKED_FOR if part in text]
            assert source.count(asked.strip()) > 1, f"{name}: no test runs the block with {asked!r}"
    assert len(TEXTS["README.md"].splitlines()) <= 150


def test_links_lead_to_files():
    for name, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert target.startswith("https://") or (ROOT / name).parent.joinpath(target).exists(), (name, target)


def test_the_two_commands_for_a_fresh_machine():
    job = block("accelerate launch training/run.py\n")
    assert run_arguments(job) == []  # what the demo recipe's own tests run
    assert block("[train,dev]").strip() == 'pip install -e ".[train,dev]" -e modeling/speech_affect_onnx'
    assert block("pytest").strip() == "pytest -n auto --dist loadfile"


def test_three_numbers_from_a_recording(demo):
    lines = block('released("student"))("speech.wav")')
    assert len(lines.strip().splitlines()) == 3
    [printed] = run_python(lines, demo)
    pattern = rf"{{'activation': {NUMBER}, 'valence': {NUMBER}, 'dominance': {NUMBER}, 'speech_ratio': {NUMBER}, "
    assert re.match(pattern + "'emotions': {'anger': ", printed)


def test_tables_by_the_command(demo, monkeypatch):
    from speech_affect.cli.main import main

    recording = (demo / "speech.wav").read_bytes()
    for name in ("recordings/a.wav", "talks/deep/b.wav", "talk.mp3"):
        (demo / name).parent.mkdir(parents=True, exist_ok=True)
        (demo / name).write_bytes(recording)
    (demo / "turns.csv").write_text("file,start,end\nrecordings/a.wav,0.5,1.5\n")
    (demo / "segments.csv").write_text("start,end\n0.5,1.5\n")
    monkeypatch.chdir(demo)
    for text in (block("predict recordings/"), block("--output talk.TextGrid")):
        for line in text.strip().splitlines():
            words = shlex.split(line, comments=True)
            monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(recording)))
            words, _, target = (words, "", "") if ">" not in words else (words[:-2], *words[-2:])
            with open(target or os.devnull, "w") as file, redirect_stdout(file):
                assert main(words[words.index("speech-affect") + 1 :]) == 0, line
    assert (demo / "values.csv").read_text().splitlines()[1].startswith("talks/deep/b.wav,")
    assert "IntervalTier" in (demo / "talk.TextGrid").read_text() and (demo / "values.parquet").is_file()
    assert (
        (demo / "affect.csv").read_text().startswith("file,start,end,activation,valence,dominance\ntalks/deep/b.wav,")
    )
    assert (demo / "curve.png").is_file() and "_shtab_speech_affect" in (demo / "completion.bash").read_text()


def test_curves_segments_tensors_and_streams(demo, monkeypatch, capsys):
    before = "import numpy, soundfile, speech_affect\nfrom transformers import pipeline\n"
    before += "samples, rate = soundfile.read('speech.wav')\nchunks = numpy.array_split(samples, 7)\n"
    after = "print(len(curve), len(turns), len(several), curve[1]['start_s'], turns[1]['end_s'])\n"
    blocks = [
        block("curve = estimate("),
        after,
        block("stream.push(chunk)"),
        block("AutoModel, AutoProcessor\n"),
    ]
    monkeypatch.chdir(demo)
    exec("".join([before, *blocks]), {})
    counts, logits, values = capsys.readouterr().out.strip().splitlines()
    assert counts == "5 2 2 0.5 3.0"
    assert re.fullmatch(r"tensor\(\[\[\d\.\d+, \d\.\d+, \d\.\d+\]\]\)", logits)
    assert re.fullmatch(rf"{{'activation': {NUMBER}, 'valence': {NUMBER}, 'dominance': {NUMBER}}}", values)


def test_fine_tuning_with_a_plain_trainer(demo, tiny_encoder, tiny_corpus, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(demo / "datasets"))
    encoders = {"whisper": {"backbone": AutoConfig.from_pretrained(tiny_encoder), "pad_to_window": False}}
    config = AffectFusionConfig(branches=[{"source": "mfb"}, {"source": "whisper"}], encoders=encoders)
    AffectFusionModel(config).save_pretrained(demo / "outputs/demo/fusion")
    (demo / "training").symlink_to(ROOT / "training")
    text, rated = block("DataCollatorWithPadding"), ROOT / "../shared/corpora/emodb-msp"
    assert len([line for line in text.splitlines() if line]) <= 25
    few = "corpus = {split: rows.select(range(min(8, len(rows)))) for split, rows in corpus.items()}\n"
    for written, used in (
        ("/data/MSP-PODCAST-Publish-1.11", str(rated.resolve() if rated.is_dir() else tiny_corpus)),
        ("tools = ", f"{few}tools = "),
        ('"num_train_epochs": 10', '"num_train_epochs": 2, "use_cpu": True'),
    ):
        assert text.count(written) == 1
        text = text.replace(written, used)
    printed = [line.split(" ", 1) for line in run_python(text, demo) if line.startswith(("student_kd ", "fusion "))]
    assert [name for name, _ in printed] == ["student_kd", "fusion"]
    for name, metrics in printed:
        tuned, metrics = demo / "outputs/tuned" / name, ast.literal_eval(metrics)
        state = json.loads((tuned / "checkpoint-2/trainer_state.json").read_text())
        assert metrics["eval_mean"] == pytest.approx(state["best_metric"], abs=1e-6)
        before, after = (AutoModel.from_pretrained(folder) for folder in (demo / "outputs/demo" / name, tuned))
        assert not torch.equal(after.regressor.output.weight, before.regressor.output.weight)


def test_an_onnx_file(demo, monkeypatch):
    from speech_affect.cli.main import main

    monkeypatch.chdir(demo)
    (demo / "talks").mkdir()
    shutil.copy("speech.wav", "talks")
    install, export = block("speech-affect export").strip().splitlines()
    light, predict = block("pip install ./modeling/speech_affect_onnx").strip().splitlines()
    assert (install, light) == ('pip install -e ".[onnx]"', "pip install ./modeling/speech_affect_onnx")
    assert (ROOT / "modeling/speech_affect_onnx/pyproject.toml").is_file()  # test_distribution.py builds it
    for command in (export, predict):
        assert main(shlex.split(command)[1:]) == 0
    assert (demo / "values.csv").read_text().splitlines()[1].startswith("talks/speech.wav,")
    [printed] = run_python(block("import OnnxAffect"), demo)
    assert printed.startswith("{'activation': ")
    before = "import numpy\nsamples = numpy.sin(numpy.arange(16000, dtype='float32'))\n"
    after = "print({value.name: (value.type, len(value.shape)) for value in session.get_inputs()})\n"
    logits, inputs = run_python(before + block("onnxruntime.InferenceSession(") + after, demo)
    assert re.fullmatch(r"\[\[\d\.\d* +\d\.\d* +\d\.\d* *\]\]", logits)
    # onnxruntime-web is not installed here: inputs by name, type and number of axes
    given = re.findall(r"(\w+): new ort\.Tensor\(\"(\w+)\", .+, \[(.*)\]\)", block("ort.InferenceSession.create("))
    types = {"float32": "tensor(float)", "int64": "tensor(int64)"}
    assert str({name: (types[dtype], len(axes.split(", "))) for name, dtype, axes in given}) == inputs


def test_the_page(demo, monkeypatch):
    from speech_affect.cli.main import main

    install, command = block("speech-affect serve").strip().splitlines()
    assert install == 'pip install -e ".[space]"'
    monkeypatch.chdir(demo)
    served = []
    monkeypatch.setattr("runpy.run_path", lambda path, run_name: served.append(Path(path)))
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setattr("sys.argv", [])
    assert main(shlex.split(command)[1:]) == 0
    assert served == [ROOT / "space/app.py"] and sys.argv[0] == str(served[0]) and sys.path[0] == str(served[0].parent)
    from app import build_app
    from page.limits import Settings

    page = build_app(Settings.read(sys.argv[1:], {}, demo))
    words = str([getattr(part, "value", "") for part in page.blocks.values()])
    assert "What the numbers are" in words and "Model: **student**, trained on emodb, casia" in words


def test_msp_podcast(small, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main

    monkeypatch.chdir(tmp_path)
    arguments = run_arguments(block("outputs/msp"))
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    assert main([*arguments, *small])["corpus"]["splits"]["train"]["clips"] == 24
    assert (tmp_path / "outputs/msp/results.md").is_file()


def test_a_table_of_your_own(small, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main

    monkeypatch.chdir(tmp_path)
    lines = ["audio,arousal,valence,dominance,speaker"]
    for index, path in enumerate(sorted((tiny_corpus / "Audios").iterdir())):
        shutil.copy(path, tmp_path / path.name)
        lines.append(f"{path.name},{index},{100 - index},{index * 7 % 100},speaker{index % 10}")
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    results = main([*run_arguments(block("ratings.csv")), *small])
    assert results["corpus"]["label_range"] == [0, 100]
    assert (tmp_path / "outputs/own/mfb/model.safetensors").is_file()


def test_several_corpora(small, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main

    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_corpus, tmp_path / "podcast")
    shutil.copytree(tiny_corpus / "Audios", tmp_path / "acted")
    lines = ["audio,actor,intended,language"]
    for index, path in enumerate(sorted((tmp_path / "acted").iterdir())[:24]):
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples[::-1], rate)  # other audio
        lines.append(f"{path.name},{['anna', 'bert', 'carl', 'dora'][index % 4]},{'AHSO'[index // 4 % 4]},de")
    (tmp_path / "acted" / "clips.csv").write_text("\n".join(lines) + "\n")
    recipe = block("corpora:")
    assert recipe.count("folds: 3\n") == 1  # three more trainings; others test them
    (tmp_path / "own.yaml").write_text(recipe.replace("folds: 3\n", ""))
    results = main(["--recipe", "own.yaml", "--data_dir", str(tmp_path), *small])
    assert results["corpus"]["name"] == "podcast, acted" and results["corpus"]["facts"]["language"] == ["de", "en"]
    acted = results["corpus"]["corpora"]["acted"]
    assert sum(split["clips"] for split in acted["splits"].values()) == 24 and acted["languages"] == ["de"]
    left_out = tmp_path / "outputs/own/jobs/mfb/without_acted/seed0"
    assert (left_out / "predictions_test1.csv").read_text().count("acted/MSP") == 24
    assert json.loads((left_out / "settings.json").read_text())["config"]["label_range"] == [1, 7]


def test_parquet(tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.corpora.parquet import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    arguments = module_arguments(block("--output msp-parquet"), "speech_affect_training.corpora.parquet")
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    main(arguments)
    converted = block('load_dataset("msp-parquet"') + "print(len(train))\n"
    unconverted = block("streaming=True)").replace("/data/MSP-PODCAST-Publish-1.11", str(tiny_corpus))
    assert run_python(f"{converted}\n{unconverted}print(len(list(train)))\n", tmp_path) == ["24", "24"]


def test_recipes_and_settings_on_the_command_line():
    from speech_affect_training.settings.recipe import parse_arguments

    run, training = parse_arguments(run_arguments(block("--recipe demo")))
    assert (run.seeds, training.learning_rate, list(run.systems)) == ([0, 1, 2], 5e-4, ["mfb", "fusion"])
    run, training = parse_arguments(run_arguments(block("--recipe paper_table")))  # test_paper_table.py runs it
    assert {"mfb", "text", "fusion", "fusion_mtl", "student_kd"} <= set(run.systems)
    assert training.output_dir == "outputs/paper_table"
    run, _ = parse_arguments(run_arguments(block("--unlabelled_dir AUDIO\n")))
    assert list(run.corpora) == ["emodb", "voices"] and run.systems["student_kd"].pretraining.unlabelled


def test_the_recipe_of_the_figures(small, tiny_corpus, tiny_encoder, tmp_path, monkeypatch):
    from speech_affect_training.run import main
    from speech_affect_training.settings.recipe import parse_arguments

    monkeypatch.chdir(tmp_path)
    job, text = block("--recipe emodb").strip().split("\n")
    assert re.fullmatch(r"pip install --no-deps [a-z0-9-]+", text)
    arguments = run_arguments(job)
    more = re.search(r"`(--cross_validated [^`]+)`", TEXTS["model_cards/README.md"])[1].split()
    parsed, _ = parse_arguments([*arguments, *more])
    assert set(parsed.cross_validated) <= set(parsed.systems) and len(parsed.cross_validated) == 6
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    encoders = json.dumps({"whisper": {"id": str(tiny_encoder)}})
    fewer = ["--encoders", encoders, "--folds", "3", "--cross_validated", "mfb", "--conditions", "{}"]
    results = main([*arguments, *small, *fewer, "--max_steps", "2", "--eval_steps", "1", "--save_steps", "1"])
    assert list(results["systems"][0]["splits"]) == ["test1", "test2", "cv3"]
    assert (tmp_path / "outputs/emodb/probe_whisper_layers_test1.png").is_file()


def test_to_the_hub_by_hand(demo, monkeypatch):
    from speech_affect_training import publish
    from speech_affect_training.hub.push import Pushed

    pushed = []
    for name in ("push_checkpoint", "push_metric", "push_dataset_card", "push_space"):

        def push(*arguments, name=name):
            pushed.append((name, *(getattr(argument, "repo_id", argument) for argument in arguments)))
            return Pushed("user/name", "https://huggingface.co/user/name", "0123456789", private=True)

        monkeypatch.setattr(publish, name, push)
    monkeypatch.chdir(demo)
    for line in block("--dataset_card").strip().splitlines():
        assert "(private, commit 0123456)" in publish.main(shlex.split(line, comments=True)[2:])
    assert pushed == [
        ("push_checkpoint", "outputs/demo/student_kd", "user/demo-student_kd", None),
        ("push_metric", "user/ccc"),
        ("push_dataset_card", "user/msp-podcast"),
        ("push_space", "user/page", "user/demo-student_kd", None),
    ]


def test_models_that_come_with_the_package(monkeypatch):
    from speech_affect_training import publish
    from speech_affect_training.settings.recipe import parse_arguments

    first, *others = block("--release student").strip().splitlines()
    run, training = parse_arguments(run_arguments(first))
    assert list(run.systems) == ["fusion", "student", "student_kd", "student_nano"] and run.seeds == [0, 1, 2]
    made = []
    monkeypatch.setattr(publish, "release_checkpoint", lambda *given: made.append(tuple(map(str, given))))
    for line in others:
        publish.main(shlex.split(line)[2:])
    models, folder = str(ROOT / "model_cards"), training.output_dir
    names = {"student": "student_kd", "student_nano": "student_nano"}
    assert made == [(f"{folder}/{system}", name, models) for name, system in names.items()]


def test_a_card_by_hand(tmp_path):
    from speech_affect_training.reports.model_card import main

    arguments = module_arguments(block("reports.model_card"), "speech_affect_training.reports.model_card")
    arguments[arguments.index("--results") + 1] = str(ROOT / "model_cards/results/emodb/results.json")
    arguments[arguments.index("--output") + 1] = str(tmp_path / "card.md")
    assert "# student_kd" in main(arguments).read_text()


def test_figures_of_a_large_table_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    from robustness.large_table import table_sentence

    result = json.loads((ROOT / "tests/robustness/results/large_table.json").read_text())
    assert result["rows"] == sum(result["splits"].values()) == 10_000_000
    assert table_sentence(result) in TEXTS["training/README.md"]
    command = ["python", "tests/robustness/large_table.py", "--rows", "10000000"]  # tested elsewhere, on fewer rows
    assert shlex.split(block("large_table.py")) == command
