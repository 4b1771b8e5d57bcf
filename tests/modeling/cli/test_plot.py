"""`speech-affect plot`: what the figure shows is what the pipeline gives."""

import numpy as np
import pytest
import soundfile
import torch
from matplotlib.figure import Figure
from transformers import pipeline

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel
from speech_affect.cli import figure, plot
from speech_affect.cli.main import main

from ..conftest import SIZES, talk


RATE = 16000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model, and a recording of 6 s with a second of silence, which is the working directory."""
    torch.manual_seed(0)
    AffectStudentModel(AffectStudentConfig(**SIZES)).save_pretrained(tmp_path / "model")
    AffectFeatureExtractor().save_pretrained(tmp_path / "model")
    samples = talk(6, RATE)
    samples[2 * RATE : 3 * RATE] = 0
    samples[RATE] = -0.75
    soundfile.write(tmp_path / "talk.wav", samples, RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """The figures that are saved."""
    saved, save = [], Figure.savefig

    def keep(figure, *given, **options):
        saved.append(figure)
        save(figure, *given, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_the_curve_the_waveform_and_the_plane(folder, figures):
    command = ["plot", "talk.wav", "-o", "curve.png", "--model", "model", "--window-s", "1"]
    assert main(command) == 0
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG") and len(list(folder.iterdir())) == 3
    windows = pipeline("speech-emotion-regression", model="model")("talk.wav", window_s=1)
    curve, wave, plane, _ = figures[0].get_axes()
    lines = {line.get_label(): line for line in curve.get_lines()}
    assert list(lines) == ["activation", "valence", "dominance"]
    assert len({line.get_linestyle() for line in lines.values()}) == 3  # told apart without their colours
    for name, line in lines.items():
        assert line.get_xdata() == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
        expected = [np.nan if window[name] is None else window[name] for window in windows]
        np.testing.assert_allclose(line.get_ydata().astype(float), expected, rtol=1e-5)
        assert np.isnan(expected[2]) and np.isfinite(expected[1])
    assert (curve.get_ylabel(), wave.get_xlabel()) == ("value (1 to 7)", "time, s")
    assert curve.get_xlim() == wave.get_xlim() == (0, 6)
    assert wave.collections[0].get_datalim(wave.transData).y0 == pytest.approx(-0.75)
    assert (plane.get_xlabel(), plane.get_ylabel()) == ("valence", "activation")
    steps = plane.collections[0].get_offsets()
    np.testing.assert_allclose(np.delete(steps, 2, 0)[0], [windows[0]["valence"], windows[0]["activation"]], rtol=1e-5)


@pytest.mark.parametrize(
    ("duration_s", "window_s", "hop_s"), [(1, 2, 0.5), (120, 2, 0.5), (121, 2, 1), (3600, 60, 30), (36000, 300, 150)]
)
def test_long_recordings_have_longer_windows(folder, figures, monkeypatch, duration_s, window_s, hop_s):
    asked = []

    def estimate(recording, **options):
        if "on_error" in options:
            return {"valence": 2.0}
        asked.append(options)
        return [{"start_s": 0, "end_s": 1, "valence": 2.0}]

    estimate.metadata = AffectStudentConfig(label_range=[0, 100])
    monkeypatch.setattr(plot, "open_estimator", lambda model: estimate)
    monkeypatch.setattr(figure, "waveform", lambda recording: (np.ones(10), duration_s))
    assert main(["plot", "talk.wav", "-o", "curve.svg"]) == 0
    assert asked[0] == {"window_s": window_s, "hop_s": hop_s, "batch_size": 8}
    curve, wave = figures[0].get_axes()  # a model without activation has no plane
    assert curve.get_ylabel() == "value (0 to 100)"
    assert wave.get_xlabel() == ("time, s" if duration_s <= 120 else "time, min:s")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["talk.wav", "-o", "curve.gif"], "has the suffix '.gif'; known are .png, .svg, .pdf"),
        (["talk.wav", "-o", "curve.png", "--hop-s", "1"], "--hop-s is of windows: give --window-s as well"),
        (["nowhere.wav", "-o", "curve.png"], "nowhere.wav"),
        (["empty.wav", "-o", "curve.png", "--model", "model"], "at least 0.1 s are needed"),
    ],
)
def test_what_is_refused_leaves_no_file(folder, capsys, arguments, message):
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    assert main(["plot", *arguments]) == 1
    assert message in capsys.readouterr().err and not list(folder.glob("curve.*"))
