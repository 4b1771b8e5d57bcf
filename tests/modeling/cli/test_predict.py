"""`speech-affect predict`: its table is what the pipeline gives, also after interruptions and in several processes."""

import csv
import io
import os
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from transformers import pipeline

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel
from speech_affect.affect_result import SCALES
from speech_affect.cli import estimators, predict
from speech_affect.cli.main import main
from speech_affect.onnx.export import export_onnx

from ..conftest import SIZES, talk


RATE = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with all heads, and a folder of 20 recordings, one of which is no audio."""
    root = tmp_path_factory.mktemp("predict")
    torch.manual_seed(0)
    heads = {"emotion_names": ["happy", "sad"], "predict_uncertainty": True}
    model = AffectStudentModel(AffectStudentConfig(**SIZES, **heads)).eval()
    model.save_pretrained(root / "model")
    export_onnx(model, root / "model" / "model.onnx")
    AffectFeatureExtractor().save_pretrained(root / "model")
    (root / "speech").mkdir()
    for index in range(20):
        soundfile.write(root / "speech" / f"{index:02}.wav", talk(0.6 + 0.1 * index, RATE, index), RATE)
    (root / "speech" / "07.wav").write_bytes(b"no audio at all")
    return root


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Runs the command on the folder; returns its exit status, standard output and standard error."""
    monkeypatch.chdir(folder)

    def run(*arguments: str):
        status = main(["predict", "--model", "model", *arguments])
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


def rows_of(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_for_each_recording_with_the_pipelines_values(call, folder):
    done = call("speech")
    rows, estimate = rows_of(done.out), pipeline("speech-emotion-regression", model=str(folder / "model"))
    assert done.status == 0 and [row["file"] for row in rows] == [f"speech/{index:02}.wav" for index in range(20)]
    for row in rows[:3]:
        expected = estimate(str(folder / row["file"]))
        for name in ("activation", "valence", "dominance", "speech_ratio"):
            assert float(row[name]) == pytest.approx(expected[name], abs=6e-5)
        assert float(row["uncertainty_valence"]) == pytest.approx(expected["uncertainty"]["valence"], abs=6e-5)
        assert float(row["emotions_sad"]) == pytest.approx(expected["emotions"]["sad"], abs=6e-5)
    assert "'speech/07.wav' cannot be read as audio" in rows[7]["error"] and not any(list(rows[7].values())[1:-1])
    assert [row["error"] for row in rows if row is not rows[7]] == [""] * 19


def test_windows_segments_and_scales(call, folder, capsys):
    with pytest.raises(SystemExit):
        call("--help")
    assert f"--scale {{{','.join(SCALES)}}}" in capsys.readouterr().out
    rows = rows_of(call("speech/19.wav", "--window-s", "1", "--hop-s", "0.5", "--scale", "unit").out)
    assert [(float(row["start_s"]), float(row["end_s"])) for row in rows] == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5)]
    assert all(0 <= float(row["valence"]) <= 1 for row in rows)
    (folder / "turns.csv").write_text("file,start,end\nspeech/19.wav,0.5,1.5\nspeech/07.wav,0,1\nspeech/18.wav,1,\n")
    turns = rows_of(call("turns.csv").out)
    assert [(row["file"][-6:], row["start_s"], row["end_s"]) for row in turns] == [
        ("19.wav", "0.5", "1.5"),
        ("07.wav", "0.0", "1.0"),
        ("18.wav", "1.0", "2.4"),
    ]
    assert turns[1]["error"] and not turns[1]["valence"]
    unit = 1 + 6 * float(rows[1]["valence"])
    assert float(turns[0]["valence"]) == pytest.approx(unit, abs=1e-3)


def test_segments_of_a_recording_and_audformat(call, folder):
    (folder / "cut.csv").write_text("start,end\n0.5,1.5\n1,\n")
    table = rows_of(call("speech/18.wav", "--segments", "cut.csv").out)
    assert [(row["start_s"], row["end_s"]) for row in table] == [("0.5", "1.5"), ("1.0", "2.4")]
    done = call("speech/18.wav", "speech/07.wav", "--segments", "cut.csv", "--format", "audformat", "-o", "times.csv")
    assert done.status == 0 and "1 could not be read, see the warnings" in done.err
    assert "warning: speech/07.wav: " in done.err
    rows = rows_of((folder / "times.csv").read_text())
    assert list(rows[0]) == ["file", "start", "end", "activation", "valence", "dominance"]
    assert [row["valence"] for row in rows] == [table[0]["valence"], table[1]["valence"], "", ""]
    assert [row["end"] for row in rows[:2]] == ["0 days 00:00:01.500000", "0 days 00:00:02.400000"]
    whole = call("speech/18.wav", "--format", "audformat").out.splitlines()
    assert whole[1].startswith("speech/18.wav,0 days 00:00:00,,") and len(whole) == 2
    for name in ("times.csv", ".times.csv.state"):
        (folder / name).unlink()


def test_an_exported_file_gives_the_same_and_is_taken_without_torch(call, folder, monkeypatch):
    recordings = ("speech/00.wav", "speech/19.wav")
    expected = rows_of(call(*recordings).out)
    exported = rows_of(call(*recordings, "--model", "model/model.onnx").out)
    for row, same in zip(expected, exported, strict=True):
        assert list(row) == list(same) and row["file"] == same["file"]
        assert [float(value) for value in list(row.values())[1:-1]] == pytest.approx(
            [float(value) for value in list(same.values())[1:-1]], abs=2e-4
        )
    monkeypatch.setattr(estimators, "find_spec", lambda name: None)
    monkeypatch.setattr(predict, "_estimators", {})
    assert rows_of(call(*recordings).out) == exported
    assert type(predict._estimators["model/model.onnx"]).__name__ == "OnnxAffect"
    (folder / "other").mkdir(exist_ok=True)
    done = call("speech/00.wav", "--model", "other")
    assert done.status == 1 and "the model is 'other'; without torch give a file .onnx, or a folder" in done.err
    assert main(["predict", "speech/00.wav"]) == 1


@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_an_interrupted_call_goes_on_to_the_same_bytes(call, folder, monkeypatch, stopped):
    call("speech", "--output", "whole.csv")
    estimated, estimate = [], predict._estimate

    def interrupted(model, options, part):
        if len(estimated) == stopped:
            raise KeyboardInterrupt
        estimated.append(part)
        return estimate(model, options, part)

    with monkeypatch.context() as patch:
        patch.setattr(predict, "_estimate", interrupted)
        done = call("speech", "--output", "again.csv")
    assert done.status == 130 and "--resume" in done.err and not (folder / "again.csv").exists()
    with open(folder / ".again.csv.rows", "a") as file:
        file.write('{"file": "half a ro')  # killed while it wrote
    other = call("speech/00.wav", "--output", "again.csv", "--resume")
    assert (other.status, "is of another call" in other.err) == ((1, True) if stopped else (0, False))
    if stopped:
        done = call("speech", "--output", "again.csv", "--resume")
        assert done.status == 0 and "20 recordings; 1 could not be read" in done.err
        assert (folder / "again.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    (folder / "again.csv").unlink()
    assert {path.name for path in folder.glob(".*")} == {".again.csv.state", ".whole.csv.state"}


def test_a_finished_output_is_not_made_again(call, folder, monkeypatch):
    given = ["speech/06.wav", "speech/07.wav", "--output", "done.csv"]
    assert call(*given).status == 0
    estimated, estimate = [], predict._estimate
    monkeypatch.setattr(predict, "_estimate", lambda *part: estimated.append(part) or estimate(*part))
    written = (folder / "done.csv").read_bytes()
    done = call(*given, "--resume")
    expected = "done.csv: is finished already, 2 recordings; 1 could not be read, see the column error\n"
    assert (done.status, done.out, done.err, estimated) == (0, "", expected, [])
    other = call(*given, "--resume", "--scale", "unit")
    assert other.status == 1 and "the finished done.csv is of another call (other recordings, model or" in other.err
    assert not estimated and (folder / "done.csv").read_bytes() == written
    for change in (lambda: (folder / "done.csv").write_text("file\n"), (folder / "done.csv").unlink):
        change()  # by others: there is nothing to go on with
        assert call(*given, "--resume").status == 0 and (folder / "done.csv").read_bytes() == written
    assert len(estimated) == 2
    assert call(*given).status == 0 and len(estimated) == 3  # without --resume it is replaced


@pytest.mark.parametrize("output", [[], ["-o", "none.csv"], ["-o", "none.csv", "--resume"]])
def test_a_call_without_a_value_fails(call, folder, output):
    (folder / "other.txt").write_text("speech/07.wav\nspeech/nowhere.wav\n")
    done = call("other.txt", *output)
    name, again = "none.csv: " if output else "", "is finished already, " if output[2:] else ""
    expected = f"error: {name}{again}none of 2 recordings could be read, see the column error\n"
    assert (done.status, done.err) == (1, expected)
    rows = rows_of((folder / "none.csv").read_text() if output else done.out)
    assert [bool(row["error"]) for row in rows] == [True] * 2


def test_failures_of_a_table_on_standard_output_are_counted(call):
    done = call("speech/06.wav", "speech/07.wav")
    assert (done.status, done.err) == (0, "2 recordings; 1 could not be read, see the column error\n")


def test_rows_of_a_recording_that_has_changed_are_not_kept(call, folder, monkeypatch):
    estimate, parts = predict._estimate, []

    def interrupted(*given):
        if parts:
            raise KeyboardInterrupt
        parts.append(given)
        return estimate(*given)

    with monkeypatch.context() as patch:
        patch.setattr(predict, "_estimate", interrupted)
        assert call("speech", "--output", "changed.csv").status == 130
    os.utime(folder / "speech" / "00.wav", ns=(1, 1))
    assert "is of another call" in call("speech", "--output", "changed.csv", "--resume").err
    assert call("speech", "--output", "changed.csv").status == 0


def test_two_processes_write_the_same_and_end_with_a_command_that_is_killed(call, folder):
    options = ["--output", "two.jsonl", "--workers", "2"]
    command = [sys.executable, "-m", "speech_affect", "predict", "speech", "--model", "model", *options]
    killed = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    while not (folder / ".two.jsonl.state").exists():
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.communicate(timeout=200)  # the processes hold standard error open until they end
    assert not (folder / "two.jsonl").exists()
    assert call("speech", "--output", "two.jsonl", "--resume").status == 0
    call("speech", "--output", "one.jsonl")
    assert (folder / "one.jsonl").read_bytes() == (folder / "two.jsonl").read_bytes()


def test_a_process_that_is_ended_from_outside(call, monkeypatch):
    def submit(*given):
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor.submit", submit)
    done = call("speech", "--workers", "2")
    assert done.status == 1 and done.err.endswith("perhaps: try fewer --workers\n") and done.err.count("\n") == 1


def test_as_a_program_with_standard_input_and_silence(folder):
    command = [sys.executable, "-m", "speech_affect", "predict", "-", "--model", "model", "--window-s", "1"]
    recording = io.BytesIO()
    soundfile.write(recording, np.concatenate([talk(1, RATE), np.zeros(RATE)]), RATE, format="WAV")
    done = subprocess.run(command, cwd=folder, input=recording.getvalue(), capture_output=True)
    assert done.returncode == 0, done.stderr
    speech, silence = rows_of(done.stdout.decode())
    assert speech["file"] == "-" and 1 <= float(speech["valence"]) <= 7
    assert (silence["valence"], silence["speech_ratio"], silence["error"]) == ("", "0.0", "")
    assert done.stderr.decode().startswith("warning: no sound stands out") and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no file or folder 'nowhere'"),
        (["speech", "--hop-s", "1"], "--hop-s is of windows: give --window-s as well"),
        (["speech", "--window-s", "0.01"], "window_s"),
        (["speech", "--workers", "0"], "--workers is 0; give 1 or more"),
        (
            ["turns.csv", "--window-s", "1"],
            "these are segments, or windows: leave out --window-s or the table of segments",
        ),
        (["speech", "--format", "audformat", "--output", "values.json"], "known are .csv"),
        (["turns.csv", "speech/01.wav"], "some recordings have segments and others none; make two calls"),
        (["speech", "--resume"], "--resume needs the --output that was not finished"),
        (["-", "--workers", "2"], "standard input is read by one process; leave out --workers"),
        (["speech", "--output", "values.xlsx"], "known are .csv, .json, .jsonl, .parquet, .TextGrid"),
        (["speech", "--window-s", "1", "-o", "a.TextGrid"], "a TextGrid is of one recording in windows or segments"),
        (["speech/01.wav", "-o", "a.TextGrid"], "a TextGrid is of one recording in windows or segments"),
        (["speech/01.wav", "--window-s", "1", "--hop-s", ".5", "-o", "a.TextGrid"], "a TextGrid cannot overlap"),
        (["speech", "--model", "speech/01.wav"], "is a file, and none that was exported (.onnx); give a folder or"),
        (["speech/07.wav", "--on-error", "raise"], "speech/07.wav"),
        (["speech", "-o", "folder.csv"], "the output folder.csv is a folder; name a file"),
        (["speech", "-o", "model/config.json/a.csv"], "model/config.json is a file; name another"),
        (["speech", "-o", "nowhere/a.csv"], "the output nowhere/a.csv lies in a folder that is not there; make it"),
        (["speech", "-o", "/proc/a.csv"], "the folder /proc cannot be written to ("),
        (["speech", "--model", "teacher"], "no released model 'teacher'; those that are installed: student"),
    ],
)
def test_errors_are_one_line(call, folder, arguments, message):
    (folder / "turns.csv").write_text("file,start,end\nspeech/19.wav,0.5,1.5\n")
    (folder / "folder.csv").mkdir(exist_ok=True)
    before = sorted(folder.iterdir())
    done = call(*arguments)
    assert done.status == 1 and done.out == "" and message in done.err.splitlines()[-1]
    assert done.err.splitlines()[-1].startswith("error: ") and sorted(folder.iterdir()) == before
