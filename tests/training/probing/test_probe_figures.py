"""Figures of a probe show the rows of their split."""

import matplotlib.pyplot as plt
import pytest

from speech_affect_training.probing import probe_figures
from speech_affect_training.probing.probe_figures import draw_layers, draw_subspace


def rows(key: str, values: list[int], split: str) -> list[dict]:
    keys = ("activation", "valence", "dominance", "mean")
    offset = 0.5 if split == "test1" else 0.0
    return [
        {key: value, "split": split, "ccc": {k: offset + 0.01 * i + 0.1 * j for j, k in enumerate(keys)}}
        for i, value in enumerate(values)
    ]


@pytest.fixture
def result():
    both = ("development", "test1")
    return {
        "name": "hubert",
        "clips": {"train": 9, "development": 5, "test1": 7},
        "best_hidden_state": 3,
        "layers": [row for split in both for row in rows("hidden_state", list(range(25)), split)],
        "subspace": [row for split in both for row in rows("dimensions", [1, 2, 4, 6], split)],
    }


@pytest.fixture
def drawn(monkeypatch):
    """Axes of each figure that was saved."""
    axes = []
    finish = probe_figures._finish
    monkeypatch.setattr(probe_figures, "_finish", lambda f, a, path: (axes.append(a), finish(f, a, path)))
    return axes


@pytest.mark.parametrize(("draw", "count"), [(draw_layers, 25), (draw_subspace, 4)])
def test_lines_are_the_rows_of_the_split(draw, count, result, drawn, tmp_path):
    draw(tmp_path / "figure.png", result, "test1")
    lines = {line.get_label(): line for line in drawn[0].get_lines()}
    for j, name in enumerate(("activation", "valence", "dominance", "mean")):
        expected = [0.5 + 0.01 * i + 0.1 * j for i in range(count)]
        assert lines[name].get_ydata().tolist() == expected
        assert lines[name].get_xdata().tolist() == list(range(count))
    assert drawn[0].get_title().startswith("hubert, test1, 7 clips")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert not plt.get_fignums()


def test_the_best_state_is_marked_and_ticks_are_readable(result, drawn, tmp_path):
    draw_layers(tmp_path / "figure.png", result, "development")
    marks = [line for line in drawn[0].get_lines() if line.get_label() == "best on development"]
    assert list(marks[0].get_xdata()) == [3, 3]
    assert drawn[0].get_xticks().tolist() == list(range(0, 25, 2))
    draw_subspace(tmp_path / "figure.png", result, "test1")
    assert [label.get_text() for label in drawn[1].get_xticklabels()] == ["1", "2", "4", "6"]
    assert "hidden state 3" in drawn[1].get_title()
