"""An exported model gives what the pipeline gives, for every kind of input, without torch."""

import io
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import onnx
import pytest
import soundfile
import torch

from speech_affect import (
    AffectFeatureExtractor,
    AffectStudentConfig,
    AffectStudentModel,
    SpeechEmotionRegressionPipeline,
)
from speech_affect.affect_result import affect_result, estimates_of
from speech_affect.onnx.export import export_onnx
from speech_affect.onnx.metadata import OnnxMetadata
from speech_affect.onnx.runtime import BLOCK_S, OnnxAffect, OnnxStream, run_session

from ..conftest import TASKS, talk


RATE = 16000


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = AffectStudentModel(AffectStudentConfig(**TASKS)).eval()
    # as training leaves them: raw energies would drive the outputs to the ends of the scale
    model.regressor.set_frame_statistics("mfb", torch.full((40,), -5.0), torch.full((40,), 3.0))
    with torch.no_grad():
        for layer in (model.regressor.output, model.regressor.emotion_output, model.regressor.uncertainty_output):
            layer.weight.mul_(3)
    return model


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return export_onnx(model, tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.fixture(scope="module")
def exported(path):
    return OnnxAffect(path)


@pytest.fixture(scope="module")
def pipeline(model):
    return SpeechEmotionRegressionPipeline(model, device="cpu")


def flat(result) -> list:
    """Names and numbers, however deep."""
    if isinstance(result, dict):
        return [item for name in result for item in (name, *flat(result[name]))]
    if isinstance(result, list):
        return [item for each in result for item in flat(each)]
    return [result]


def assert_same(result, expected) -> None:
    result, expected = flat(result), flat(expected)
    assert len(result) == len(expected) > 3
    for ours, theirs in zip(result, expected, strict=True):
        assert ours == theirs if isinstance(theirs, str) or theirs is None else abs(ours - theirs) < 1e-4


def wav(samples: np.ndarray, rate: int = RATE, format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format)
    return file.getvalue()


def test_every_kind_of_clip_gives_what_the_pipeline_gives(exported, pipeline, tmp_path):
    samples = talk(2.3)
    file = tmp_path / "talk.flac"
    soundfile.write(file, np.stack([samples, samples[::-1]], axis=1), 44100)
    for clip in (
        str(file),
        file.read_bytes(),
        samples,
        samples.tolist(),
        (samples * 32767).astype(np.int16),
        {"array": talk(2.3, 8000), "sampling_rate": 8000},
        {"bytes": wav(samples), "path": None},
        torch.from_numpy(samples),
    ):
        assert_same(exported(clip), pipeline(clip))
    with open(file, "rb") as opened:
        assert_same(exported(opened), pipeline(file.read_bytes()))
    assert_same(exported(talk(1.5, 44100), 44100), pipeline(talk(1.5, 44100), sampling_rate=44100))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_windows_and_segments(exported, pipeline, batch_size):
    samples = talk(5.25)
    for cut in (
        {"window_s": 1.5, "hop_s": 0.5},
        {"window_s": 2, "scale": "unit"},
        {"segments": [(3.0, 5.2), (0.1, 0.5), (3.5, 4.0)]},
    ):
        results = exported(samples, **cut, batch_size=batch_size)
        assert_same(results, pipeline(samples, **cut))
        assert [list(result)[:2] for result in results] == [["start_s", "end_s"]] * len(results)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_several_clips_in_order(exported, pipeline, batch_size):
    clips = [talk(seconds, seed=index) for index, seconds in enumerate((0.7, 3.1, 0.4, 1.9, 0.5))]
    expected = [pipeline(clip) for clip in clips]
    assert_same(exported(clips, batch_size=batch_size), expected)
    read = []
    results = exported((read.append(0) or clip for clip in clips), batch_size=batch_size)
    assert_same([next(results)], expected[:1])
    assert len(read) == min(batch_size, len(clips))  # no further than needed
    assert_same(list(results), expected[1:])
    assert exported([]) == []


def test_silence_has_no_estimate(exported, pipeline):
    clips = [talk(1), np.zeros(RATE, dtype=np.float32), np.zeros(31 * RATE, dtype=np.float32)]
    with pytest.warns(UserWarning, match="values are None there"):
        results = exported(clips, batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(results, [pipeline(clip) for clip in clips])
    assert results[1]["activation"] is None and results[1]["emotions"]["H"] is None
    assert results[0]["activation"] is not None


def test_long_audio_in_blocks_equals_the_whole(exported, model):
    encoded = wav(np.concatenate([talk(17, seed=1), talk(20.337, seed=3)]), format="FLAC")
    samples = soundfile.read(io.BytesIO(encoded), dtype="float32")[0]
    with torch.inference_mode():
        [expected] = estimates_of(model(**AffectFeatureExtractor()(samples, return_tensors="pt")))
    result = exported(encoded)
    assert_same(result, affect_result(expected, result["speech_ratio"], model.config))


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_stream_holds_no_more_than_a_block(exported, rate):
    stream = OnnxStream(exported._session, exported.metadata, rate)
    for second in range(23):
        stream.push(talk(1, rate, seed=second))
        assert len(stream._pending) < BLOCK_S * RATE + 2000
        assert sum(values.size for values in stream._state.values()) < 1000
    outputs = stream.finish()
    frames = (23 * RATE - 400) // 160 + 1
    assert outputs["next_pooled_count"] == [[-(-frames // 8)]]


def test_a_stream_that_ends_with_its_block(exported):
    # the overlap that is left is no frame
    block = round(BLOCK_S * RATE / 1280) * 1280
    for count in (block + 239, block + 240, block + 399, block + 400, 2 * block + 240, 2 * block + 401):
        stream, samples = OnnxStream(exported._session, exported.metadata, RATE), talk(count / RATE)
        stream.push(samples)
        whole = run_session(exported._session, {"input_values": samples[None], "num_samples": np.array([count])})
        np.testing.assert_allclose(stream.finish()["logits"], whole["logits"], atol=1e-5)
    stream = OnnxStream(exported._session, exported.metadata, RATE)
    stream.push(np.zeros(399, dtype=np.float32))
    with pytest.raises(ValueError, match="shorter than one frame of 400 samples"):
        stream.finish()


def test_clips_longer_than_an_encoder_takes_are_errors(path, tmp_path):
    limited = OnnxAffect(path)
    limited.metadata = replace(limited.metadata, longest_clip=30 * RATE)
    with pytest.raises(ValueError, match=r"longer than 30 s, .* give window_s, for windows no longer than that"):
        limited(talk(30.5))
    assert len(limited(talk(30.5), window_s=30)) == 2
    assert len(limited([talk(1), talk(2)], batch_size=2)) == 2


def test_clips_shorter_than_the_model_s_frame_are_errors(path):
    limited = OnnxAffect(path)
    limited.metadata = replace(limited.metadata, shortest_clip=2000)
    with pytest.raises(ValueError, match="a clip has 1999 samples at 16000 Hz; this model needs 2000"):
        limited(talk(1999 / RATE))
    assert limited(talk(2000 / RATE))


@pytest.mark.parametrize(
    ("clip", "options", "message"),
    [
        (talk(1), {"scale": "percent"}, "scale is 'percent'"),
        (talk(1), {"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        (talk(1), {"sampling_rate": 0}, "sampling_rate is 0"),
        (talk(0.05), {}, r"at least 0\.1 s"),
        ("missing.wav", {}, "is no file"),
        ([None], {}, "a clip is a NoneType"),
        (None, {}, "a clip is a NoneType"),
    ],
)
def test_errors(exported, clip, options, message):
    with pytest.raises(ValueError, match=message):
        exported(clip, **options)


def with_metadata(path, **changes) -> bytes:
    """The file with other metadata; None removes all of them."""
    other = onnx.load(path)
    for entry in other.metadata_props:
        entry.value = changes.get(entry.key, entry.value)
    if not changes:
        del other.metadata_props[:]
    return other.SerializeToString()


def test_files_of_others(path, tmp_path):
    with pytest.raises(ValueError, match="missing.onnx' is no file"):
        OnnxAffect(tmp_path / "missing.onnx")
    five = '["f", "m", "x", "y", "z"]'
    for content, message in (
        (b"", "other.onnx' cannot be loaded as an ONNX model"),
        (b"this is no model", "other.onnx' cannot be loaded as an ONNX model"),
        (with_metadata(path), "other.onnx' is no model of this package: its metadata lack 'model_type'"),
        (with_metadata(path, gender_names=five), "of this package: its output 'gender_logits' .* name 5 values"),
    ):
        (tmp_path / "other.onnx").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            OnnxAffect(tmp_path / "other.onnx")


def test_metadata_return_as_they_were(exported):
    strings = exported.metadata.to_strings()
    assert OnnxMetadata.from_strings(strings) == exported.metadata
    assert exported.metadata.id2label == {0: "activation", 1: "valence", 2: "dominance"}


HOSTILE_METADATA = [
    ("model_type", "5", "have model_type 5, which must be a text"),
    ("sampling_rate", "0", "have sampling_rate 0, which must be a whole number from 1"),
    ("sampling_rate", "1e9", "have sampling_rate 1000000000.0"),
    ("shortest_clip", str(10**30), "have shortest_clip 1000"),
    ("stream_hop", "-1", "have stream_hop -1, which must be null or a whole number"),
    ("frame_hop", str(10**6), "have stream_window .*, which must be at least frame_hop, 1000000"),
    ("frame_hop", "null", "have longest_clip None, which must be a limit"),
    ("label_range", "[7, 1]", r"have label_range \(7, 1\), which must be two finite numbers, the lower first"),
    ("label_range", "[1, Infinity]", "have label_range"),
    ("label_names", '["a", "b"]', "have label_names .*, which must be three names"),
    ("emotion_names", '["a", "a"]', "have emotion_names .*, which must be null or names, each once"),
    ("emotion_names", '[["a"]]', "have emotion_names"),
    ("predict_uncertainty", '"no"', "have predict_uncertainty 'no', which must be true or false"),
    ("label_names", "[" * 10**5, "lack 'label_names'"),
]


@pytest.mark.parametrize("name, value, message", HOSTILE_METADATA)
def test_hostile_metadata_are_errors(exported, name, value, message):
    with pytest.raises(ValueError, match=message):
        OnnxMetadata.from_strings({**exported.metadata.to_strings(), name: value})


def test_neither_torch_nor_transformers_is_imported(path, tmp_path):
    soundfile.write(tmp_path / "talk.wav", talk(1), RATE)
    code = f"""
import sys
from speech_affect_onnx import OnnxAffect
assert OnnxAffect({str(path)!r})({str(tmp_path / "talk.wav")!r})["activation"]
loaded = {{"torch", "transformers", "onnx", "scipy", "torchaudio", "huggingface_hub"}} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_onnxruntime_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "speech_affect.onnx.runtime")
    with pytest.raises(ImportError, match=r"pip install 'speech-affect\[onnx\]'"):
        __import__("speech_affect.onnx.runtime")
