"""Whoever writes over a file leaves the earlier one whole until the new one is."""

import os
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect.onnx.export import export_onnx
from speech_affect_training.frames.frame_statistics import _write as write_statistics
from speech_affect_training.jobs.job import _write_json as write_notes
from speech_affect_training.jobs.prediction import Predictions, write_predictions
from speech_affect_training.jobs.run_lock import OWNER, only_run_in
from speech_affect_training.probing.probe import _write_csv as write_probe
from speech_affect_training.reports.figures import draw_ccc
from speech_affect_training.reports.model_card import write_card
from speech_affect_training.reports.report import _write_text as write_report


def predictions(path: Path, turn: int) -> None:
    values = np.full((2, 3), float(turn))
    write_predictions(path, Predictions(["a", "b"], values, values))


def probe(path: Path, turn: int) -> None:
    row = {"ccc": dict.fromkeys(("activation", "valence", "dominance", "mean"), 0.5), "split": "test1", "penalty": 1.0}
    rows = {"layers": [{**row, "hidden_state": turn}], "subspace": []}
    write_probe(path, {"salient_dimensions": [0, 1], "best_hidden_state": 0, **rows})


def figure(path: Path, turn: int) -> None:
    means = dict.fromkeys(("activation", "valence", "dominance", "mean"), 0.1 * turn)
    scores = {
        "n": 3,
        "ccc": means,
        "ci95": {key: [0.0, 0.5] for key in means},
        "ccc_per_seed": {key: [0.1] for key in means},
    }
    system = {"name": f"system{turn}", "splits": {"test1": scores}}
    draw_ccc(path, [system], "test1", "made up")


def onnx(path: Path, turn: int) -> None:
    sizes = {"conv_channels": 4, "gru_hidden_size": 4, "embedding_size": 4 + turn}
    export_onnx(AffectStudentModel(AffectStudentConfig(**sizes)).eval(), path)


def owner(path: Path, turn: int) -> None:
    with only_run_in(path.parent):
        pass


WRITERS = {
    "predictions.csv": predictions,
    "notes.json": lambda path, turn: write_notes(path, {"turn": turn}),
    "results.json": lambda path, turn: write_report(path, f"turn {turn}"),
    "statistics.json": lambda path, turn: write_statistics(path, {"mean": [turn]}),
    "README.md": lambda path, turn: write_card(ModelCard(f"---\nlicense: mit\n---\n# turn {turn}"), path),
    "probe.csv": probe,
    "ccc.png": figure,
    "model.onnx": onnx,
    OWNER: owner,
}


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_where_the_rename_fails_the_earlier_file_is_whole(tmp_path, monkeypatch, name):
    path, write = tmp_path / name, WRITERS[name]
    write(path, 1)
    whole = path.read_bytes()
    renamed = []

    def killed(source, target, **options):
        renamed.append((Path(source), Path(target)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        patch.setattr(Path, "replace", killed)
        write(path, 2)
    assert path.read_bytes() == whole
    ((source, target),) = renamed
    assert target == path and source.parent == path.parent  # across file systems a rename copies
    write(path, 2)
    assert name == OWNER or path.read_bytes() != whole
