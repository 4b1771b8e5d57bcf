"""Every block about the use of a model runs, on a tiny model."""

import ast
import io
import json
import os
import re
import shlex
import shutil
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

from .readme_blocks import NUMBER, ROOT, block, run_python


@pytest.fixture
def demo(tmp_path):
    """A folder with a recording and a checkpoint where the main job leaves it."""
    folder = tmp_path / "outputs" / "demo" / "student_kd"
    AffectStudentModel(AffectStudentConfig()).save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)
    times = np.arange(4 * 44100) / 44100
    soundfile.write(tmp_path / "speech.wav", 0.3 * np.sin(1000 * times) * np.sin(9 * times) ** 2, 44100)
    return tmp_path


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
    assert (demo / "talks.csv").read_text().splitlines()[1].startswith("talks/deep/b.wav,")
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
