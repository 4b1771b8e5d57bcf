"""The pipeline gives what the models give, for every kind of input, in windows, segments and batches."""

import io
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import Dataset
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from speech_affect import (
    DIMENSIONS,
    AffectFeatureExtractor,
    AffectStudentConfig,
    AffectStudentModel,
    SpeechEmotionRegressionPipeline,
)

from .conftest import TASKS, talk


TASK = "speech-emotion-regression"


def spread(model):
    """Random weights whose outputs differ from clip to clip."""
    torch.manual_seed(0)
    with torch.no_grad():
        for head in ("output", "uncertainty_output", "emotion_output", "gender_output"):
            layer = getattr(model.regressor, head)
            if layer is not None:
                layer.weight.mul_(3)
    return model


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return spread(AffectStudentModel(AffectStudentConfig(**TASKS))).eval()


@pytest.fixture(scope="module")
def estimate(student):
    return SpeechEmotionRegressionPipeline(student, device="cpu")


def flat(results) -> np.ndarray:
    """(results, numbers), of all values."""
    results = results if isinstance(results, list) else [results]
    rows = []
    for result in results:
        rows.append([result[name] for name in (*DIMENSIONS, "speech_ratio")])
        for head in ("uncertainty", "emotions", "genders"):
            rows[-1] += list(result.get(head, {}).values())
    return np.array(rows, dtype=float)


def same(results, others, atol=1e-5):
    np.testing.assert_allclose(flat(results), flat(others), atol=atol, rtol=0)


@torch.no_grad()
def test_values_are_those_of_the_model(student, estimate):
    clip = talk(2)
    output = student(**AffectFeatureExtractor()(clip, return_tensors="pt"))
    result = estimate(clip)
    assert list(result) == [*DIMENSIONS, "speech_ratio", "uncertainty", "emotions", "genders"]
    assert [result[name] for name in DIMENSIONS] == pytest.approx(output.logits[0].tolist(), abs=1e-5)
    assert list(result["uncertainty"].values()) == pytest.approx(output.uncertainty[0].tolist(), abs=1e-5)
    assert result["emotions"] == pytest.approx(
        dict(zip(TASKS["emotion_names"], output.emotion_logits[0].softmax(-1).tolist(), strict=True)), abs=1e-5
    )
    assert list(result["genders"]) == TASKS["gender_names"] and sum(result["genders"].values()) == pytest.approx(1)
    assert 0.2 < result["speech_ratio"] < 0.9
    assert np.ptp(flat([estimate(talk(1, seed=seed)) for seed in range(4)]), axis=0)[:3].min() > 0.01


def test_an_extractor_that_pads_on_the_left(student, estimate, tmp_path):
    AffectFeatureExtractor(padding_side="left").save_pretrained(tmp_path)
    left = AffectFeatureExtractor.from_pretrained(tmp_path)
    assert left.padding_side == "left"
    clips = [talk(1), talk(2, seed=1), talk(1.5, seed=2)]
    padded = SpeechEmotionRegressionPipeline(student, feature_extractor=left, device="cpu")(clips, batch_size=3)
    same(padded, [estimate(clip) for clip in clips])


def test_all_kinds_of_input(estimate, tmp_path):
    clip = talk(1)
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip, 16000, subtype="FLOAT")
    expected = estimate(clip)

    class Pipe:
        def __init__(self):
            self.read = io.BytesIO(path.read_bytes()).read

    with open(path, "rb") as opened:
        dicts = [{"raw": clip, "sampling_rate": 16000}, {"array": clip.tolist(), "sampling_rate": 16000}]
        dicts += [{"path": str(path), "bytes": None}, {"path": None, "bytes": path.read_bytes()}]
        files = [path, str(path), path.read_bytes(), opened, Pipe()]
        clips = [*files, clip, torch.from_numpy(clip), clip.tolist(), clip[None], clip[:, None], *dicts]
        for kind in clips:
            same(estimate(kind), expected, atol=1e-6)
    clips = [Pipe() if isinstance(kind, Pipe) else kind for kind in clips if kind is not opened]
    results = estimate(clips, batch_size=4)
    assert isinstance(results, list) and len(results) == len(clips)
    same(results, [expected] * len(clips))


def test_a_list_of_numbers_is_one_clip_and_other_lists_are_several(estimate):
    first, second = talk(0.5), talk(0.7, seed=1)
    expected = [estimate(first), estimate(second)]
    assert isinstance(estimate(first.tolist()), dict)
    for several in ([first, second], (first, second), [first.tolist(), second], [first.tolist(), second.tolist()]):
        results = estimate(several)
        assert isinstance(results, list)
        same(results, expected, atol=1e-6)
    assert estimate([]) == []


def test_generators_datasets_and_other_iterables_are_lazy(estimate):
    clips = [talk(0.5, seed=seed) for seed in range(5)]
    expected = estimate(clips)
    taken = []

    def generator():
        for index, clip in enumerate(clips):
            taken.append(index)
            yield clip

    results = iter(estimate(generator()))
    first = next(results)
    assert len(taken) < 5
    same([first, *results], expected, atol=1e-6)

    class Rows(Dataset):
        def __len__(self):
            return len(clips)

        def __getitem__(self, index):
            return {"audio": {"array": clips[index], "sampling_rate": 16000}, "label": 3}

    class Column:
        def __iter__(self):
            return iter(clips)

    for several in (KeyDataset(Rows(), "audio"), Column(), map(np.copy, clips)):
        results = estimate(several, batch_size=2)
        assert not isinstance(results, list)
        same(list(results), expected)


def test_windows_equal_separate_calls_on_the_cut_audio(estimate, tmp_path):
    rate = 44100
    path = tmp_path / "clip.flac"
    soundfile.write(path, talk(25, rate), rate)
    samples, _ = soundfile.read(path, dtype="float32")
    curve = estimate(str(path), window_s=4, hop_s=1.5)
    assert [piece["start_s"] for piece in curve] == [1.5 * index for index in range(15)]
    assert curve[-1]["end_s"] == 25 and all(list(piece)[:2] == ["start_s", "end_s"] for piece in curve)
    cut = [samples[round(p["start_s"] * rate) : round(p["end_s"] * rate)] for p in curve]
    same(curve, estimate(cut, sampling_rate=rate), atol=1e-6)
    same(curve, estimate(str(path), window_s=4, hop_s=1.5, batch_size=8))


def test_segments_keep_the_order_given(estimate):
    clip = talk(40)
    segments = [(30, 34.5), (0.25, 39.5), (0, 2), (2, 2.2), (0.25, 39.5)]
    results = estimate(clip, segments=segments)
    assert [(result["start_s"], result["end_s"]) for result in results] == segments
    same(results, [estimate(clip[round(16000 * start) : round(16000 * end)]) for start, end in segments])
    for batch_size in (2, 3, 16):
        same(results, estimate(clip, segments=segments, batch_size=batch_size))
    assert estimate(clip, segments=[]) == []
    # an empty result does not end the iteration over the other clips
    assert estimate([clip, clip[:16000], clip], segments=[], batch_size=2) == [[], [], []]


def test_channels_are_averaged_where_they_are_those_of_one_clip(estimate):
    first, second = talk(0.5), talk(0.5, seed=1)
    stereo = np.stack([first, second])
    mean = estimate((first + second) / 2)
    for clip in (stereo, stereo.T, torch.from_numpy(stereo)):
        same(estimate({"array": clip, "sampling_rate": 16000}), mean)
        same(estimate([clip]), [mean])


def test_results_come_one_by_one(estimate):
    clips = [talk(0.5, seed=seed) for seed in range(3)]
    expected = estimate(clips)
    for batch_size in (1, 2):
        results = estimate((clip for clip in clips), batch_size=batch_size)
        same(next(results), expected[0])
        same(list(results), expected[1:])  # none is lost, and none comes twice
        assert next(results, None) is None
        results = estimate(KeyDataset([{"audio": clip} for clip in clips], "audio"), batch_size=batch_size)
        assert len(results) == 3
        same([next(results), *results], expected)


@pytest.fixture(scope="module")
def long_clips():
    """Both sides of 30 s, where estimates become streams, mixed."""
    return [talk(seconds, seed=seed) for seed, seconds in enumerate((31.2, 1, 30, 0.5, 47, 2, 0.1))]


@torch.no_grad()
def test_long_clips_equal_the_model_on_the_whole_waveform(student, estimate, long_clips):
    extractor = AffectFeatureExtractor()
    results = estimate(long_clips)
    for clip, result in zip(long_clips, results, strict=True):
        output = student(**extractor(clip, return_tensors="pt"))
        assert [result[name] for name in DIMENSIONS] == pytest.approx(output.logits[0].tolist(), abs=1e-5)
        assert list(result["uncertainty"].values()) == pytest.approx(output.uncertainty[0].tolist(), abs=1e-5)
    for batch_size in (2, 4, 16):
        same(estimate(long_clips, batch_size=batch_size), results)


def test_long_and_short_pieces_of_one_recording(estimate, long_clips):
    whole = estimate(long_clips[4])
    curve = estimate(long_clips[4], window_s=35, hop_s=6)
    assert [piece["end_s"] for piece in curve] == [35, 41, 47]
    cut = [long_clips[4][16000 * start : 16000 * stop] for start, stop in ((0, 35), (6, 41), (12, 47))]
    same(curve, estimate(cut))
    same(estimate(long_clips[4], segments=[(0, 47)]), whole)


def test_silence_has_no_values(estimate):
    silence = np.zeros(16000, dtype=np.float32)
    with pytest.warns(UserWarning, match="values are None there"):
        result = estimate(silence)
    assert result["speech_ratio"] == 0 and not any(result[name] for name in DIMENSIONS)
    assert set(result["uncertainty"].values()) == set(result["emotions"].values()) == {None}
    gap = np.concatenate([talk(4), np.zeros(64000, dtype=np.float32), talk(4)])
    with pytest.warns(UserWarning):
        curve = estimate(gap, window_s=2, batch_size=4)
    assert [piece["activation"] is None for piece in curve] == [False, False, True, True, False, False]
    with pytest.warns(UserWarning):
        assert estimate(np.zeros(35 * 16000, dtype=np.float32))["valence"] is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate(talk(1))


def test_options_at_construction_and_at_call(student):
    clip = talk(3)
    options = {"window_s": 1, "hop_s": 0.5, "scale": "unit", "batch_size": 2}
    estimate = SpeechEmotionRegressionPipeline(student.train(), device="cpu", **options)
    assert not student.training
    curve = estimate(clip)
    assert len(curve) == 5 and 0 <= curve[0]["valence"] <= 1
    assert [piece["start_s"] for piece in estimate(clip, window_s=2, hop_s=None)] == [0, 2]
    with pytest.raises(ValueError, match="window_s and segments are both given; give one, and None for the other"):
        estimate(clip, segments=[(0, 1)])
    assert len(estimate(clip, window_s=None, hop_s=None, segments=[(0, 1)])) == 1
    assert isinstance(estimate(clip, window_s=None, hop_s=None), dict)
    slower = SpeechEmotionRegressionPipeline(student, device="cpu", sampling_rate=8000)
    same(slower(clip), estimate(clip, sampling_rate=8000, window_s=None, hop_s=None, scale="label"), atol=1e-6)


@pytest.mark.parametrize(
    "clip, options, error, message",
    [
        ("nowhere.wav", {}, ValueError, "'nowhere.wav' is no file"),
        (None, {}, ValueError, "a clip is a NoneType"),
        (np.zeros(1599, dtype=np.float32), {}, ValueError, "a clip lasts 0.100 s; at least 0.1 s"),
        (np.zeros(0, dtype=np.float32), {"window_s": 1}, ValueError, "a clip lasts 0.000 s"),
        (np.zeros(16000), {"sampling_rate": 0}, ValueError, "sampling_rate is 0; 1000 to 768000"),
        (np.zeros(16000), {"scale": "stars"}, ValueError, "scale is 'stars'"),
        (np.zeros(16000), {"segments": [(0, 2)]}, ValueError, r"segment 0, from 0.0 s to 2.0 s, lies behind"),
        (np.zeros((2, 16000)), {}, ValueError, r"audio has shape \(2, 16000\), which may be clips or the channels"),
        (torch.zeros(2, 16000), {}, ValueError, r"audio has shape \(2, 16000\), which may be clips or the channels"),
        ((np.zeros(16000), 16000), {}, ValueError, "a clip is a tuple of samples and a number; give {'array'"),
        ([0, 3, -9] * 9000, {}, ValueError, "audio has integers of type int64 up to 9, whose full scale is unknown"),
        ("nowhere.wav", {"window_s": "1"}, ValueError, "window_s is '1', a str; give a number of seconds"),
        ("nowhere.wav", {"segments": 5, "on_error": "skip"}, ValueError, "segments is 5; give a list"),
        ("nowhere.wav", {"hop_s": 1, "on_error": "skip"}, ValueError, "hop_s is 1 without window_s"),
        ("nowhere.wav", {"on_error": "ignore"}, ValueError, "on_error is 'ignore'; it is 'raise', or 'skip'"),
        (np.zeros(16000), {"windows": 1}, TypeError, "unexpected option 'windows'; those of this pipeline are sampl"),
    ],
)
def test_errors(estimate, clip, options, error, message):
    with pytest.raises(error, match=message):
        estimate(clip, **options)


def test_a_model_that_reads_text_is_refused():
    model = types.SimpleNamespace(config=types.SimpleNamespace(reads_text=True))
    with pytest.raises(ValueError, match=r"with its AutoProcessor: model\(\*\*processor\(audio=..., text=..., "):
        SpeechEmotionRegressionPipeline(model)


@pytest.fixture
def folder(student, tmp_path):
    student.save_pretrained(tmp_path / "model")
    AffectFeatureExtractor().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_by_name_without_trusting_any_code(folder, estimate, tmp_path):
    clip = talk(1)
    loaded = pipeline(TASK, model=folder, device="cpu")
    assert type(loaded) is SpeechEmotionRegressionPipeline and "custom_pipelines" not in loaded.model.config.to_dict()
    same(loaded(clip), estimate(clip))
    same(pipeline(TASK, model=folder, device="cpu", window_s=1)(clip), estimate(clip, window_s=1))
    halved = pipeline(TASK, model=folder, device="cpu", dtype=torch.bfloat16)
    assert halved.model.dtype == torch.bfloat16
    same(halved(talk(31)), estimate(talk(31)), atol=0.2)
    same(pipeline(TASK, model=loaded.model, device="cpu")(clip), estimate(clip))
    for options in ({"task": TASK, "trust_remote_code": True}, {}, {"trust_remote_code": True}):  # without a task too
        trusted = pipeline(model=folder, device="cpu", **options)
        assert type(trusted) is SpeechEmotionRegressionPipeline
        same(trusted(clip), estimate(clip))
    again = tmp_path / "again"
    loaded.save_pretrained(again)
    names = {path.name for path in Path(folder).iterdir()}
    assert {path.name for path in again.iterdir()} == names
    assert {"pipeline_affect.py", "audio_pieces.py", "speech_activity.py", "affect_result.py", "streaming.py"} <= names
    assert (again / "config.json").read_text() == (Path(folder) / "config.json").read_text()
    same(pipeline(TASK, model=str(again), device="cpu")(clip), estimate(clip))


def test_files_may_be_closed_as_soon_as_the_next_is_asked_for(estimate, tmp_path):
    clips = [talk(32), talk(0.5, seed=1), talk(31, seed=2)]

    def generator():
        for index, clip in enumerate(clips):
            soundfile.write(tmp_path / f"{index}.wav", clip, 16000, subtype="FLOAT")
            with open(tmp_path / f"{index}.wav", "rb") as opened:
                yield opened

    same(list(estimate(generator(), batch_size=3)), estimate(clips))


def test_more_workers_are_not_used(estimate):
    clips = [talk(0.5), talk(31)]
    same(estimate(clips, num_workers=2), estimate(clips))


@torch.no_grad()
def test_scores_of_the_stock_pipeline_are_the_outputs(student, folder):
    clips = [talk(0.5), talk(1, seed=1), talk(0.7, seed=2)]
    results = pipeline("audio-classification", model=folder)(clips, batch_size=3)
    for clip, result in zip(clips, results, strict=True):
        expected = student(torch.from_numpy(clip)[None]).logits[0].tolist()
        scores = {entry["label"]: entry["score"] for entry in result}
        assert scores == pytest.approx(dict(zip(DIMENSIONS, expected, strict=True)), abs=1e-5)
