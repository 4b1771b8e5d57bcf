"""Figures show what they are given: curves, points and colours are read back from the canvas."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from speech_affect_training.reports import figures
from speech_affect_training.reports.evaluation import Evaluation
from speech_affect_training.reports.figures import draw_ccc, draw_circumplex, draw_conditions, draw_scatter


KEYS = ("activation", "valence", "dominance", "mean")
CORPUS = {"name": "made up", "label_range": [1.0, 7.0], "word_labelled": [], "averaged": list(KEYS[:3])}


@pytest.fixture
def drawn(monkeypatch):
    """Keeps figures open, to be looked into; returns them in order."""
    found = []
    save = figures.save_figure

    def keep(figure, path):
        save(figure, path)
        found.append(figure)

    monkeypatch.setattr(figures, "save_figure", keep)
    return found


def check_png(path):
    with Image.open(path) as image:
        assert image.format == "PNG" and min(image.size) > 200
    assert not [other for other in path.parent.iterdir() if other.name.startswith(".")]
    assert not plt.get_fignums()


def scores(value: float) -> dict:
    return {
        "n": 10,
        "ccc": {key: value + i / 10 for i, key in enumerate(KEYS)},
        "ccc_std_over_seeds": dict.fromkeys(KEYS, 0.05),
        "ci95": {key: [value - 0.1, value + 0.4] for key in KEYS},
        "ccc_per_seed": {key: [value, value + 0.1] for key in KEYS},
    }


def without(value: dict, *keys: str) -> dict:
    """Scores of a split in which nobody rated some dimensions."""
    return {
        name: {k: None if k in keys else v for k, v in one.items()} if name != "n" else one
        for name, one in value.items()
    }


def test_what_nobody_rated_is_called_so(tmp_path, drawn, evaluation):
    corpus = {**CORPUS, "word_labelled": ["valence"]}
    systems = [{"name": name, "splits": {"test1": without(scores(0.3), "dominance")}} for name in "ab"]
    draw_ccc(tmp_path / "ccc.png", systems, "test1", corpus)
    rated = evaluation()
    labels = rated.labels.copy()
    labels[:, 2] = labels[0, 1] = np.nan
    part = rated.with_labels(labels)
    draw_scatter(tmp_path / "scatter.png", {"mfb": part}, "test1", corpus)
    draw_circumplex(tmp_path / "circumplex.png", {"mfb": part}, "test1", corpus)
    for name in ("ccc", "scatter", "circumplex"):
        check_png(tmp_path / f"{name}.png")
    bars, scatter, circumplex = drawn
    assert [axes.get_title() for axes in bars.axes] == ["activation", "valence (by word)", "dominance"]
    assert [len(axes.containers) for axes in bars.axes] == [2, 2, 0]
    assert [text.get_text() for text in bars.axes[2].texts] == ["not rated"]
    assert [label.get_text() for label in bars.axes[0].get_yticklabels()] == ["a", "b"]
    titles = [axes.get_title() for axes in scatter.axes]
    assert titles[0].startswith("mfb: activation, ") and titles[1].startswith("mfb: valence (by word), ")
    assert titles[2] == "mfb: dominance, not rated"
    assert [len(axes.collections[0].get_offsets()) for axes in circumplex.axes[:2]] == [4, 4]
    labels[:, 1] = np.nan
    draw_circumplex(tmp_path / "none.png", {"mfb": rated.with_labels(labels)}, "test1", corpus)
    assert not (tmp_path / "none.png").exists()


@pytest.fixture
def evaluation(make_table):
    """Makes predictions of five clips, so far from the labels with the first seed, and right with the second."""
    labels = np.array([[7.0, 4, 2], [4, 7, 3], [1, 4, 4], [4, 1, 5], [4, 4, 6]])

    def make(shift: float = 0.0) -> Evaluation:
        return Evaluation(make_table(5, labels=labels), np.stack([labels + shift, labels]))

    return make


def test_ccc(tmp_path, drawn):
    systems = [{"name": name, "splits": {"test1": scores(v)}} for name, v in (("mfb", -0.3), ("pupil", 0.5))]
    draw_ccc(tmp_path / "ccc.png", systems, "test1", CORPUS)
    check_png(tmp_path / "ccc.png")
    (figure,) = drawn
    assert [axes.get_title() for axes in figure.axes] == list(KEYS[:3])
    for index, axes in enumerate(figure.axes):
        bars = axes.containers[0].patches
        assert [bar.get_width() for bar in bars] == pytest.approx([-0.3 + index / 10, 0.5 + index / 10])
        assert axes.get_xlim()[0] == pytest.approx(-0.42)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["mfb", "pupil"]
    # top to bottom
    assert bars[0].get_y() > bars[1].get_y()


def test_listeners_are_a_line(tmp_path, drawn):
    corpus = {**CORPUS, "listeners": {"test1": {"ccc": {"activation": 0.8, "valence": 0.6, "dominance": None}}}}
    systems = [{"name": "mfb", "splits": {"test1": scores(0.3), "cv5": scores(0.3)}}]
    for split in ("test1", "cv5"):
        draw_ccc(tmp_path / "ccc.png", systems, split, corpus)
    check_png(tmp_path / "ccc.png")
    with_line, without_line = drawn
    lines = [[line for line in axes.lines if line.get_linestyle() == "--"] for axes in with_line.axes]
    assert [[line.get_xdata()[0] for line in found] for found in lines] == [[0.8], [0.6], []]
    (legend,) = with_line.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one further listener"]
    assert not without_line.legends
    assert with_line.get_supxlabel() == "CCC on made up, test1, 10 clips"


def test_listeners_and_words_are_told_apart(tmp_path, drawn, evaluation):
    by_word = {"a": ["dominance"], "b": list(KEYS[:3])}
    rated = {"test1": {"rated": dict.fromkeys(KEYS[:3], 3)}}
    corpora = {name: {"word_labelled": words, "splits": rated} for name, words in by_word.items()}
    corpus = {**CORPUS, "corpora": corpora, "word_labelled": ["dominance"], "averaged": list(KEYS[:2])}
    systems = [{"name": "mfb", "splits": {split: scores(0.3) for split in ("test1", "test1_by_word")}}]
    table = replace(evaluation().table, corpora=["a", "a", "a", "b", "b"])
    one = replace(evaluation(0.5), table=table)
    for split in systems[0]["splits"]:
        draw_ccc(tmp_path / "ccc.png", systems, split, corpus)
        draw_scatter(tmp_path / "scatter.png", {"mfb": one}, split, corpus)
    names = [figure.get_supxlabel() for figure in drawn]
    assert names[0] == "CCC on a, test1, by listeners, 10 clips"
    assert names[2] == "CCC on made up, test1, by the emotion's word, 10 clips"
    assert names[1].startswith("label (a, test1, by listeners;")
    assert names[3].startswith("label (made up, test1, by the emotion's word;")
    assert all("by word" not in axes.get_title() for figure in drawn for axes in figure.axes)
    # activation is 7, 4, 1 and 4, 4, predicted 0.5 too high: 12 / (12 + 0.25), and 0 where labels are constant
    assert drawn[1].axes[0].get_title() == f"mfb: activation, {12 / 12.25 / 2:.2f}"


def test_scatter(tmp_path, drawn, evaluation):
    draw_scatter(tmp_path / "s.png", {"mfb": evaluation(0.5), "pupil": evaluation()}, "test1", CORPUS)
    check_png(tmp_path / "s.png")
    axes = drawn[0].axes
    assert len(axes) == 6 and axes[0].get_title().startswith("mfb: activation, 0.9")
    assert axes[4].get_title() == "pupil: valence, 1.00"
    points = axes[1].lines[1]
    np.testing.assert_array_equal(points.get_xdata(), evaluation().labels[:, 1])
    np.testing.assert_array_equal(points.get_ydata(), evaluation().labels[:, 1] + 0.5)


@pytest.mark.parametrize("systems, panels", [(1, 2), (2, 3), (3, 6), (8, 9)])
def test_circumplex(tmp_path, drawn, evaluation, systems, panels):
    shown = {f"system{index}": evaluation(index / 10) for index in range(systems)}
    draw_circumplex(tmp_path / "c.png", shown, "test1", CORPUS)
    check_png(tmp_path / "c.png")
    axes = drawn[0].axes
    assert len(axes) == panels
    titles = [a.get_title() for a in axes if a.axison]
    assert titles == ["labels", *shown]
    for index in range(systems):
        (points,) = axes[index + 1].collections
        predictions = evaluation(index / 10).logits[0]
        np.testing.assert_allclose(points.get_offsets(), predictions[:, [1, 0]])  # valence across, activation up
    (labels,) = axes[0].collections
    np.testing.assert_allclose(labels.get_offsets(), evaluation().labels[:, [1, 0]], atol=0.4)
    np.testing.assert_array_equal(labels.get_facecolors(), axes[1].collections[0].get_facecolors())


def test_conditions(tmp_path, drawn):
    values = {"white_20db": 0.5, "white_-5db": 0.1, "white_10db": 0.4, "room_0.3s": 0.6, "room_1s": 0.2}
    systems = [
        {
            "name": name,
            "splits": {"test1": scores(0.7 + shift)},
            "conditions": {"test1": {condition: scores(value + shift) for condition, value in values.items()}},
        }
        for name, shift in (("mfb", -0.1), ("pupil", 0.0))
    ]
    draw_conditions(tmp_path / "n.png", systems, "test1", CORPUS)
    check_png(tmp_path / "n.png")
    figure = drawn[0]
    assert len(figure.axes) == 6
    white, room = figure.axes[:3], figure.axes[3:]
    for axes, ticks, expected in (
        (white, ["clean", "20", "10", "-5"], [0.7, 0.5, 0.4, 0.1]),
        (room, ["clean", "0.3", "1"], [0.7, 0.6, 0.2]),
    ):
        for index, panel in enumerate(axes):
            assert [label.get_text() for label in panel.get_xticklabels()] == ticks
            for line, shift in zip(panel.lines, (-0.1, 0.0), strict=True):
                np.testing.assert_allclose(line.get_ydata(), np.array(expected) + index / 10 + shift)
    assert white[0].get_xlabel() == "white noise, signal-to-noise ratio, dB"
    assert room[0].get_xlabel() == "reverberation time, s"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["mfb", "pupil"]


def test_the_legend_of_many_systems_fits(tmp_path, drawn):
    known = {"splits": {"test1": scores(0.7)}, "conditions": {"test1": {"white_20db": scores(0.5)}}}
    systems = [{"name": f"student_augmented_{index}", **known} for index in range(8)]
    draw_conditions(tmp_path / "n.png", systems, "test1", CORPUS)
    (figure,) = drawn
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0 and legend.x1 <= figure.bbox.x1 and legend.y0 >= 0
    assert all(legend.y1 <= axes.get_window_extent().y0 for axes in figure.axes)
