"""What `speech-affect serve` hands to the page; the page itself is tested in a browser."""

import runpy
import sys

import pytest

import speech_affect
from speech_affect.cli.main import main


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """The arguments that the page was started with."""
    calls: list[list[str]] = []
    monkeypatch.setattr(runpy, "run_path", lambda path, run_name: calls.append(sys.argv[1:]))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return calls


def test_models_are_named_as_in_other_commands(started, tmp_path):
    assert main(["serve"]) == 0
    assert main(["serve", "--model", "student_nano", "--teacher", str(tmp_path), "--port", "8000"]) == 0
    nano = str(speech_affect.released("student_nano"))
    assert started == [[], ["--model", nano, "--teacher", str(tmp_path), "--port", "8000"]]


def test_a_model_that_there_is_not(started, capsys):
    assert main(["serve", "--model", "pupil"]) == 1 and not started
    assert "'pupil' is no folder, nor a Hub id (owner/model)" in capsys.readouterr().err
