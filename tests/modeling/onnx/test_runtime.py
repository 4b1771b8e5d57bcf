"""An exported model gives what the pipeline gives, for every kind of input, without torch."""

import io
import pickle
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import onnx
import pytest
import soundfile
import torch
from datasets import Dataset

from speech_affect import (
    AffectFeatureExtractor,
    AffectStudentConfig,
    AffectStudentModel,
    SpeechEmotionRegressionPipeline,
)
from speech_affect.affect_result import affect_result, estimates_of
from speech_affect.onnx.export import export_onnx
from speech_affect.onnx.metadata import OnnxMetadata
from speech_affect.onnx.runtime import BLOCK_S, OnnxAffect, OnnxStream
from speech_affect.onnx.session import run_session

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
def streaming_path(path):
    return path.with_name("model_streaming.onnx")


@pytest.fixture(scope="module")
def streaming(streaming_path):
    return OnnxAffect(streaming_path)


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


def test_the_streaming_graph_alone_takes_clips_and_long_audio(exported, streaming, streaming_path):
    clips = [talk(seconds, seed=index) for index, seconds in enumerate((0.7, 31.3, 1.9))]
    expected = exported(clips, batch_size=2)
    assert_same(streaming(clips, batch_size=2), expected)
    assert_same(OnnxAffect(streaming_path.read_bytes())(clips), expected)


def test_long_audio_without_its_streaming_graph_is_an_error(path, streaming_path, model, tmp_path):
    alone = OnnxAffect(shutil.copy(path, tmp_path))
    beside = tmp_path / "model_streaming.onnx"
    long = talk(30.5)
    assert len(alone(long, window_s=30)) == 2
    with pytest.raises(ValueError, match=r"takes the streaming graph, and '.*model_streaming.onnx' is not there"):
        alone(long)
    with pytest.raises(ValueError, match=r"streaming graph; give the bytes of model_streaming\.onnx, or window_s"):
        OnnxAffect(path.read_bytes())(long)
    other = AffectStudentModel(AffectStudentConfig(**TASKS))
    for write in (
        lambda: shutil.copy(path, beside),
        lambda: export_onnx(other, tmp_path / "other.onnx").with_name("other_streaming.onnx").replace(beside),
        lambda: export_onnx(model, tmp_path / "int8.onnx", int8=True).with_name("int8_streaming.onnx").replace(beside),
    ):
        write()
        with pytest.raises(ValueError, match="is no streaming graph of the model beside it; export both again"):
            alone(long)
    shutil.copy(streaming_path, beside)
    assert_same(alone(long), OnnxAffect(path)(long))


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_stream_holds_no_more_than_a_block(streaming, rate):
    stream = OnnxStream(streaming._session, streaming.metadata, rate)
    for second in range(23):
        stream.push(talk(1, rate, seed=second))
        assert len(stream._pending) < BLOCK_S * RATE + 2000
        assert sum(values.size for values in stream._state.values()) < 1000
    outputs = stream.finish()
    frames = (23 * RATE - 400) // 160 + 1
    assert outputs["next_pooled_count"] == [[-(-frames // 8)]]


def test_a_stream_that_ends_with_its_block(exported, streaming):
    # the overlap that is left is no frame
    block = round(BLOCK_S * RATE / 1280) * 1280
    for count in (block + 239, block + 240, block + 399, block + 400, 2 * block + 240, 2 * block + 401):
        stream, samples = OnnxStream(streaming._session, streaming.metadata, RATE), talk(count / RATE)
        stream.push(samples)
        whole = run_session(exported._session, {"input_values": samples[None], "num_samples": np.array([count])})
        np.testing.assert_allclose(stream.finish()["logits"], whole["logits"], atol=1e-5)
    stream = OnnxStream(streaming._session, streaming.metadata, RATE)
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
        ((talk(1) * 32767).astype(np.int64), {}, "audio has integers of type int64 up to"),
        (np.zeros((2, RATE)), {}, r"audio has shape \(2, 16000\), which may be clips or the channels of one"),
        ((talk(1), RATE), {}, "a clip is a tuple of samples and a number"),
        ("missing.wav", {"window_s": "1"}, "window_s is '1', a str; give a number of seconds"),
        ("missing.wav", {"on_error": "no"}, "on_error is 'no'; it is 'raise', or 'skip'"),
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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "missing.onnx",
            r"^'missing.onnx' is no file; give the path of one that speech_affect\.onnx\.export wrote, or its",
        ),
        ("owner/model", r"for one on the Hub, the path that huggingface_hub\.hf_hub_download returns"),
        (".", r"^'.' is a folder; give the file in it that speech_affect\.onnx\.export wrote, model\.onnx$"),
        (b"\x08" * 3_000_000, r"^the given file of 3,000,000 bytes cannot be loaded as an ONNX model"),
        ("x" * 90_000, "is no file"),
        (None, "^the model is a NoneType; give the path of an exported file, or its bytes$"),
        (torch.nn.Linear(1, 1), "^the model is a Linear; give"),
    ],
    ids=lambda value: f"{value!s:.20}",
)
def test_what_is_no_exported_file_is_said_in_a_sentence(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        OnnxAffect(given)
    assert len(str(error.value)) < 500


def test_files_of_others(path, tmp_path):
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


def test_pickling_keeps_path_and_options(path, tmp_path, monkeypatch, exported):
    clip = talk(1.2)
    shutil.copy(path, tmp_path / "copy.onnx")
    monkeypatch.chdir(tmp_path)
    providers = [("CPUExecutionProvider", {})]
    pickled = pickle.dumps(OnnxAffect("copy.onnx", num_threads=2, providers=providers))
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    restored = pickle.loads(pickled)
    assert restored(clip) == exported(clip)
    assert restored._session.get_session_options().intra_op_num_threads == 2
    assert restored._options == (2, providers)
    assert pickle.loads(pickle.dumps(OnnxAffect(path.read_bytes())))(clip) == exported(clip)
    (tmp_path / "copy.onnx").unlink()
    with pytest.raises(ValueError, match=r"copy\.onnx' is no file"):
        pickle.loads(pickled)


def test_datasets_map_in_two_processes(exported):
    clips = [talk(0.5, seed=seed).tolist() for seed in range(4)]
    results = Dataset.from_dict({"samples": clips}).map(lambda row: exported(row["samples"]), num_proc=2)
    assert_same([row["valence"] for row in results], [exported(clip)["valence"] for clip in clips])


@pytest.mark.parametrize(
    "providers", [["NoProvider"], ["CPUExecutionProvider", ("NoProvider", {})], [], "CPUExecutionProvider", [None]]
)
def test_providers_that_are_not_there(path, providers):
    with pytest.raises(ValueError, match=r"^providers is .*; give a list .* this onnxruntime has: .*CPUExecution"):
        OnnxAffect(path, providers=providers)


def test_a_provider_that_does_not_start(path, monkeypatch):
    # as where its libraries are missing: onnxruntime falls back to the processor, with a warning
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(ValueError, match="onnxruntime has CUDAExecutionProvider, but could not start it"),
    ):
        OnnxAffect(path, providers=["CUDAExecutionProvider"])


@pytest.mark.parametrize("num_threads", [0, -1, 1.5, "2", None])
def test_numbers_of_threads(path, num_threads):
    with pytest.raises(ValueError, match="num_threads is .*; give a whole number of at least 1"):
        OnnxAffect(path, num_threads=num_threads)


def test_metadata_return_as_they_were(exported):
    strings = exported.metadata.to_strings()
    assert OnnxMetadata.from_strings(strings) == exported.metadata
    assert exported.metadata.id2label == {0: "activation", 1: "valence", 2: "dominance"}


HOSTILE_METADATA = [
    ("weights_sha256", "null", "have weights_sha256 None, which must be a text"),
    ("model_type", "5", "have model_type 5, which must be a text"),
    ("sampling_rate", "0", "have sampling_rate 0, which must be a whole number from 1"),
    ("sampling_rate", "1e9", "have sampling_rate 1000000000.0"),
    ("shortest_clip", str(10**30), "have shortest_clip 1000"),
    ("stream_hop", "-1", "have stream_hop -1, which must be null or a whole number"),
    ("frame_hop", str(10**6), "have stream_window .*, which must be at least frame_hop, 1000000"),
    ("frame_hop", "null", "have longest_clip None, which must be a limit"),
    ("label_range", "[7, 1]", r"have label_range \(7, 1\), which must be two finite numbers, the lower first"),
    ("label_range", "[1, Infinity]", "have label_range"),
    ("label_names", '["a", "a"]', "have label_names .*, which must be names"),
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


def test_without_onnxruntime_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for name in ("runtime", "session"):
        monkeypatch.delitem(sys.modules, f"speech_affect.onnx.{name}")
    with pytest.raises(ImportError, match="exported models run in onnxruntime: pip install onnxruntime"):
        __import__("speech_affect.onnx.runtime")
