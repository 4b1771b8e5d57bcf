"""Clips and segments that cannot be estimated: refused, or named in their own rows, while the others keep theirs."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from transformers.pipelines.pt_utils import KeyDataset

from speech_affect import AffectStudentConfig, AffectStudentModel, SpeechEmotionRegressionPipeline
from speech_affect.onnx.export import export_onnx
from speech_affect.onnx.runtime import OnnxAffect

from .conftest import TASKS, talk
from .onnx.test_runtime import assert_same
from .test_pipeline_affect import same, spread


@pytest.fixture(scope="module")
def estimate():
    torch.manual_seed(0)
    model = spread(AffectStudentModel(AffectStudentConfig(**TASKS)))
    # as training leaves them: raw energies would drive the outputs to the ends of the scale
    model.regressor.set_frame_statistics("mfb", torch.full((40,), -5.0), torch.full((40,), 3.0))
    return SpeechEmotionRegressionPipeline(model.eval(), device="cpu")


@pytest.fixture(scope="module")
def exported(estimate, tmp_path_factory):
    return OnnxAffect(export_onnx(estimate.model, tmp_path_factory.mktemp("onnx") / "model.onnx"))


def test_one_segment_that_is_too_short_or_rounded_does_not_lose_the_others(estimate):
    clip = talk(2)
    segments = [{"start": 0.2, "end": 1.0}, (1.0, 1.05), (1.2, 2.01), (1.5, None), (timedelta(seconds=0.5), pd.NaT)]
    with pytest.warns(UserWarning, match="a segment is under 0.1 s: its values are None"):
        results = estimate(clip, segments=iter(segments), batch_size=2)
    times = [(0.2, 1.0), (1.0, 1.05), (1.2, 2.0), (1.5, 2.0), (0.5, 2.0)]
    assert [(result["start_s"], result["end_s"]) for result in results] == times
    short = results.pop(1)
    assert short["error"].startswith("a clip lasts 0.050 s") and short["speech_ratio"] is short["valence"] is None
    assert not any(short["emotions"].values()) and list(short)[-1] == "error"
    cut = [clip[round(16000 * start) : round(16000 * end)] for start, end in times if end != 1.05]
    same(results, [estimate(piece) for piece in cut])
    with pytest.raises(
        ValueError, match="segment 1, from 1.0 s to 2.2 s, lies behind the end of the audio at 2.000 s"
    ):
        estimate(clip, segments=[(0, 1), (1, 2.2)])
    good, bad = estimate(clip, segments=[(0, 1), (1, 2.2)], on_error="skip")
    same(good, estimate(clip[:16000]))
    assert bad["end_s"] == 2.2 and bad["error"].startswith("segment 1, from 1.0 s to 2.2 s, lies behind")


class Column(Sequence):
    """As a column of `datasets`, whose decoder fails at one row."""

    def __init__(self, clips):
        self._clips = clips

    def __len__(self):
        return len(self._clips)

    def __getitem__(self, index):
        if self._clips[index] is None:
            raise RuntimeError("Could not open input file")
        return self._clips[index]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_bad_clips_are_skipped_in_place(estimate, batch_size, tmp_path):
    good = talk(0.5)
    (tmp_path / "text.wav").write_text("no audio")
    clips = [good, "nowhere.wav", str(tmp_path / "text.wav"), good[:800], talk(31), [0, 9, 3], (good, 16000), good]
    errors = {1: "'nowhere.wav' is no file", 2: "cannot be read as audio", 3: "a clip lasts 0.050 s"}
    errors |= {5: "integers of type int64", 6: "a tuple of samples and a number"}
    options = {"on_error": "skip", "batch_size": batch_size}
    expected = estimate([clips[0], clips[4], clips[7]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (
            clips,
            tuple(clips),
            iter(clips),
            Column(clips),
            KeyDataset([{"audio": c} for c in clips], "audio"),
        ):
            results = list(estimate(given, **options))
            assert len(results) == len(clips)
            for index, part in errors.items():
                row = results[index]
                assert part in row["error"] and row["speech_ratio"] is row["valence"] is None
            same([results[0], results[4], results[7]], expected)
    results = list(estimate(Column([good, None, good]), **options))
    assert "error" not in results[2] and "RuntimeError('Could not open input file')" in results[1]["error"]
    assert estimate("nowhere.wav", on_error="skip")["error"].startswith("'nowhere.wav' is no file")
    with pytest.raises(ValueError, match="'nowhere.wav' is no file"):
        estimate(clips, batch_size=batch_size)


def test_a_bad_clip_keeps_the_rows_of_its_windows_and_segments(estimate, tmp_path):
    path = tmp_path / "clip.flac"
    soundfile.write(path, talk(36), 16000)
    expected = estimate(path, segments=[(0, 4), (4, 8)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # it fails at 18 s, after a block of 10 s
    assert "cannot be read as audio" in estimate(path, on_error="skip")["error"]
    windows = estimate(path, window_s=4, on_error="skip")
    same(windows[:2], expected)
    assert [list(row.values())[:2] for row in windows[2:]] == [[None, None]] and "error" in windows[2]
    rows = estimate(path, segments=[(20, 24), (0, 4), (30, None)], on_error="skip")
    assert [(row["start_s"], row["end_s"], "error" in row) for row in rows] == [
        *((20, 24, True), (0, 4, False), (30, None, True))
    ]
    same(rows[1], expected[0])
    assert [row["error"] for row in estimate("nowhere.wav", window_s=1, on_error="skip")]
    assert [len(rows) for rows in estimate([talk(1), "nowhere.wav"], segments=[(0, 1)], on_error="skip")] == [1, 1]


def test_bad_clips_and_segments_are_as_in_the_pipeline(estimate, exported):
    good = talk(1)
    clips = [good, "nowhere.wav", good[:800], talk(31), [0, 9, 3], (good, 16000), np.stack([good, good])]
    cut = [(0.5, 1.01), (0.2, 0.25), {"start": 0.7, "end": None}, (0.5, 3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for options in ({}, {"window_s": 0.5}, {"segments": cut}):
            for batch_size in (1, 3):
                options |= {"on_error": "skip", "batch_size": batch_size}
                expected = estimate(clips, **options)
                assert_same(exported(clips, **options), expected)
                assert_same(list(exported(iter(clips), **options)), expected)
        assert [row["end_s"] for row in exported(good, segments=iter(cut), on_error="skip")] == [1, 0.25, 1, 3]
    rows = KeyDataset([{"audio": clip} for clip in clips[:2]], "audio")
    assert ["error" in result for result in exported(rows, on_error="skip")] == [False, True]


def test_what_the_model_refuses_is_the_error_of_that_clip(exported):
    limited = copy.copy(exported)
    limited.metadata = replace(limited.metadata, shortest_clip=2000)
    results = limited([talk(1), talk(1999 / 16000), talk(1)], batch_size=3, on_error="skip")
    assert ["error" in result for result in results] == [False, True, False]
    assert_same(results[::2], [limited(talk(1))] * 2)
    limited.metadata = replace(limited.metadata, longest_clip=30 * 16000)
    results = limited([talk(30.5), talk(1)], on_error="skip")
    assert results[0]["error"].startswith("a clip is longer than 30 s")
    assert_same(results[1], limited(talk(1)))
