"""The page's numbers are the pipeline's, within a time."""

import csv
import io
import json
import shutil
from base64 import b64decode

import pytest
import soundfile
from deadline import Deadline
from space_sounds import voice
from transformers import pipeline

import speech_affect  # noqa: F401


RMSE = {"activation": 0.5, "valence": 1.25, "dominance": 0.75}


@pytest.fixture(scope="module")
def estimator(checkpoint):
    from estimator import Estimator

    return Estimator(str(checkpoint))


def test_equal_to_the_pipeline(estimator, checkpoint, clip):
    expected = pipeline("speech-emotion-regression", model=str(checkpoint))
    estimate = estimator.estimate(str(clip), 6.3, Deadline(30.0))
    assert (estimate.window_s, estimate.hop_s) == (2.0, 0.5)
    assert estimate.whole == expected(str(clip))
    assert estimate.windows == expected(str(clip), window_s=2.0, hop_s=0.5, batch_size=8)
    assert estimator.estimate(str(clip), 6.3, Deadline(30.0), "unit", 3.0, 3.0).windows == expected(
        str(clip), window_s=3.0, hop_s=3.0, batch_size=8, scale="unit"
    )


def test_files_to_download_hold_every_digit(estimator, clip):
    from download import as_csv, as_json, download_links

    estimate = estimator.estimate(str(clip), 6.3, Deadline(30.0))
    rows = list(csv.DictReader(io.StringIO(as_csv(estimate))))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == estimate.windows
    links = download_links(estimate, estimator)
    encoded = links.split('href="data:application/json;base64,')[1].split('"')[0]
    assert json.loads(b64decode(encoded)) == as_json(estimate, estimator)
    assert json.loads(b64decode(encoded))["windows"] == estimate.windows


def test_a_short_clip_has_no_curve_but_a_line(estimator, tmp_path):
    from download import as_csv

    soundfile.write(tmp_path / "short.wav", voice(3.9), 16000)
    estimate = estimator.estimate(str(tmp_path / "short.wav"), 3.9, Deadline(30.0))
    assert estimate.windows == [] and estimate.window_s is None
    [row] = csv.DictReader(io.StringIO(as_csv(estimate)))
    assert {name: float(value) for name, value in row.items()} == estimate.whole


def test_work_stops_at_the_time_limit(estimator, clip):
    from declined import Refusal

    with pytest.raises(Refusal, match=r"took longer than 1e-06 s and was stopped"):
        estimator.estimate(str(clip), 6.3, Deadline(1e-6))
    assert estimator.estimate(str(clip), 6.3, Deadline(30.0)).windows  # the next one has its own time


@pytest.mark.parametrize(
    ("duration_s", "expected"), [(4, (2, 0.5)), (120, (2, 0.5)), (121, (2, 1)), (900, (10, 5)), (72000, (600, 300))]
)
def test_windows_stay_under_some_hundred(duration_s, expected):
    from estimator import curve_windows

    assert curve_windows(duration_s) == expected
    assert duration_s / expected[1] <= 240


def test_a_model_that_reads_text_is_refused(monkeypatch):
    import estimator

    class Reads:
        config = type("Config", (), {"reads_text": True})

    auto = type("Auto", (), {"from_pretrained": staticmethod(lambda *_, **__: Reads)})
    monkeypatch.setattr(estimator, "AutoModel", auto)
    monkeypatch.setattr(estimator, "AutoFeatureExtractor", auto)
    with pytest.raises(ValueError, match="this model reads transcripts; give one that hears audio alone"):
        estimator.Estimator("any")


@pytest.mark.parametrize(
    ("duration_s", "window_s", "hop_s"), [(900.0, 400.0, 0.4), (900.0, 5.0, 7.2), (6.3, 5.1, 0.1), (6.3, 2.0, None)]
)
def test_as_many_windows_as_a_page_has_room_for(duration_s, window_s, hop_s):
    from declined import Refusal
    from estimator import _check_windows

    if hop_s in (0.4, 0.1):
        with pytest.raises(Refusal, match=r"at most 2000 windows, and 50 that overlap, are estimated: give a longer"):
            _check_windows(duration_s, window_s, hop_s)
    else:
        _check_windows(duration_s, window_s, hop_s)


def test_a_window_that_is_no_number(estimator, clip):
    from declined import Refusal

    with pytest.raises(Refusal, match=r"window_s is no number of seconds\."):
        estimator.estimate(str(clip), 6.3, Deadline(30.0), "label", "abc")


@pytest.mark.parametrize(
    ("told", "corpus", "clips"),
    [
        ({"corpus": {"name": "emodb"}, "typical_error": {"clips": 98, "rmse": RMSE}}, "emodb", 98),
        ({"corpus": {"name": "emodb"}}, "emodb", None),
        ({"corpus": {"name": "emodb"}, "typical_error": {"clips": 98, "rmse": {"valence": 1}}}, "emodb", None),
        ({"corpus": {"name": "emodb"}, "typical_error": [1]}, "emodb", None),
        ({"typical_error": {"clips": 98, "rmse": RMSE}}, None, None),
        ([], None, None),
        ("no JSON", None, None),
        (None, None, None),
    ],
)
def test_what_a_run_tells(checkpoint, tmp_path, told, corpus, clips):
    from download import as_json
    from estimator import Estimator

    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    if told is not None:
        (folder / "run.json").write_text(told if isinstance(told, str) else json.dumps(told))
    estimator = Estimator(str(folder))
    assert estimator.corpus == corpus
    assert estimator.bytes == (folder / "model.safetensors").stat().st_size
    expected = None if clips is None else {"rmse": RMSE, "clips": clips}
    soundfile.write(tmp_path / "a.wav", voice(1.0), 16000)
    estimate = estimator.estimate(str(tmp_path / "a.wav"), 1.0, Deadline(30.0))
    assert as_json(estimate, estimator)["typical_error"] == expected
