"""A stream gives the output of the whole clip, for every model that reads audio, however the audio is cut."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStream,
    AffectStudentConfig,
    AffectStudentModel,
    streaming,
)
from speech_affect.regressor import masked_mean

from .conftest import BACKBONES


HEADS = {"emotion_names": ["A", "H", "N"], "gender_names": ["f", "m"], "predict_uncertainty": True}
FIELDS = ("logits", "embedding", "uncertainty", "emotion_logits", "gender_logits")
WINDOW = 8000  # half a second in place of 30 s, so that short clips have several windows
STUDENTS = ["mfb", "mfb_f0", "running", "wide_stride"]
FUSIONS = ["fusion_embedding", "fusion_frame", "weighted_sum", "uneven_frames"]
FAMILIES = ["data2vec-audio", "hubert", "hubert-group", "wav2vec2", "wav2vec2-bert", "wavlm", "whisper"]
KINDS = [*STUDENTS, *FUSIONS, *FAMILIES, "whisper_unpadded"]


def encoder(family: str, **settings) -> dict:
    backbone = BACKBONES[family]()
    if family == "whisper":
        backbone.max_source_positions = WINDOW // 320
    return {"backbone": backbone, **settings}


def make_fusion(branches: list[dict], encoders: dict, **settings) -> AffectFusionModel:
    return AffectFusionModel(AffectFusionConfig(branches=branches, encoders=encoders, **HEADS, **settings))


@cache
def make_model(kind: str):
    """A small model; its weights and statistics are random, and its windows half a second where they can be."""
    torch.manual_seed(3)
    hubert, whisper = {"source": "hubert"}, {"source": "whisper", "hidden_state": 1}
    both = {"hubert": encoder("hubert", do_normalize=True), "whisper": encoder("whisper", pad_to_window=False)}
    if kind in STUDENTS:
        branch = {"source": "mfb_f0" if kind in ("mfb_f0", "running") else "mfb"}
        branch |= {"normalization": "running"} if kind == "running" else {}
        branch |= {"conv_kernel_size": 3, "conv_stride": 7} if kind == "wide_stride" else {}
        model = AffectStudentModel(AffectStudentConfig(branch=branch, **HEADS))
    elif kind == "fusion_embedding":
        model = make_fusion([{"source": "mfb_f0"}, hubert, {**hubert, "hidden_state": 1}, whisper], both)
    elif kind == "fusion_frame":
        acoustic = {"source": "mfb", "normalization": "running"}
        model = make_fusion([acoustic, hubert, whisper], both, fusion_level="frame")
    elif kind == "weighted_sum":
        branch = {**hubert, "hidden_state": "weighted_sum", "conv_stride": 2}
        model = make_fusion([branch], {"hubert": both["hubert"]})
    elif kind == "uneven_frames":  # a group of three frames is rarely full at the end
        acoustic = [{"source": "mfb"}, {"source": "mfb_f0", "hop_s": 0.03, "window_s": 0.04}]
        model = make_fusion(acoustic, {}, fusion_level="frame")
    elif kind == "whisper_unpadded":
        model = make_fusion([whisper], {"whisper": both["whisper"]})
    else:
        model = make_fusion([{"source": "e"}], {"e": encoder(kind, do_normalize=True)})
    for name, part in model.regressor.inputs.items():
        model.regressor.set_frame_statistics(name, *torch.rand(2, len(part.frame_mean)).add(0.5))
    for module in model.front_end.encoders.values():
        module.window_size = WINDOW
    return model.eval()


@cache
def speech(seconds: float, rate: int = 16000) -> np.ndarray:
    """A gliding, pausing voice in noise."""
    samples = round(seconds * rate)
    generator = np.random.default_rng(samples)
    phase = np.cumsum(2 * np.pi * (150 + 60 * np.sin(np.arange(samples) / rate * 3)) / rate)
    voice = np.sign(np.sin(phase)) * np.clip(np.sin(np.arange(samples) / rate * 8), 0, 1)
    return (0.3 * voice + 0.02 * generator.standard_normal(samples)).astype(np.float32)


def offline(model, clip, rate: int = 16000):
    with torch.no_grad():
        return model(**AffectFeatureExtractor()(clip, sampling_rate=rate, return_tensors="pt"))


def stream_all(model, pieces, rate: int = 16000):
    """The last output and all points of the curve."""
    stream = AffectStream(model, rate)
    points = [point for piece in pieces for point in stream.push(piece).points]
    return stream.finish(), points + stream.final_points


def assert_same(got, expected, tolerance: float = 1e-5):
    for field in FIELDS:
        torch.testing.assert_close(got[field], expected[field], atol=tolerance, rtol=0)


def assert_same_points(got, expected):
    assert [(p.start_s, p.end_s) for p in got] == [(p.start_s, p.end_s) for p in expected]
    for one, other in zip(got, expected, strict=True):
        for field in streaming.OUTPUT_FIELDS:
            torch.testing.assert_close(getattr(one, field), getattr(other, field), atol=1e-5, rtol=0)


CUTS = st.lists(st.one_of(st.integers(1, 3), st.integers(1, 500), st.integers(1, 9000)), max_size=30)


def check_cutting(kind: str, samples: int, sizes: list[int]):
    """Sizes come in turn, what is left is one piece."""
    clip = speech(2.6)[:samples]
    pieces = np.split(clip, np.minimum(np.cumsum(sizes), samples))
    output, points = stream_all(make_model(kind), pieces)
    assert_same(output, offline(make_model(kind), clip))
    assert_same_points(points, stream_all(make_model(kind), [clip])[1])


@pytest.mark.parametrize("kind", ["mfb", "mfb_f0"])
@given(samples=st.integers(1600, 41600), sizes=CUTS)
@example(samples=1600, sizes=[])
@example(samples=16000, sizes=[4000] * 4)
@example(samples=16001, sizes=[16000, 1])
@settings(max_examples=15, deadline=None, derandomize=True)
def test_students_for_any_cutting(kind, samples, sizes):
    check_cutting(kind, samples, sizes)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"mfb", "mfb_f0"}))
@given(samples=st.integers(1600, 41600), sizes=CUTS)
@example(samples=3 * WINDOW, sizes=[WINDOW, WINDOW])  # windows exactly full
@example(samples=3 * WINDOW + 100, sizes=[100])  # a remainder that is shorter than a frame
@settings(max_examples=2, deadline=None, derandomize=True)
def test_every_model_for_any_cutting(kind, samples, sizes):
    check_cutting(kind, samples, sizes)


@pytest.mark.parametrize("kind", ["mfb", "fusion_embedding"])
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_rates_of_microphones(kind, rate):
    clip = (speech(1.37, rate) * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    pieces = np.split(clip, np.arange(1, len(clip), rate // 50))  # 20 ms each
    assert_same(stream_all(make_model(kind), pieces, rate)[0], offline(make_model(kind), clip, rate))


@pytest.mark.parametrize("kind", ["mfb", "fusion_embedding", "fusion_frame"])
def test_the_curve_by_hand(kind):
    model, clip = make_model(kind), speech(2.3)
    points = stream_all(model, [clip])[1]
    assert [(p.start_s, p.end_s) for p in points] == [(0, 1), (1, 2), (2, pytest.approx(2.3))]
    with torch.no_grad():
        hidden, _ = model.regressor(*model.front_end(torch.from_numpy(clip)[None]))
        for second, point in enumerate(points):
            pooled = []
            for (sequence, mask), hop in zip(hidden, model.regressor.hidden_hops, strict=True):
                inside = torch.arange(sequence.shape[1]) * hop // 16000 == second
                pooled.append(masked_mean(sequence, mask & inside))
            heads = model.regressor.heads(model.regressor.embed(torch.cat(pooled, dim=-1)))
            for name, values in model.estimates(heads).items():
                torch.testing.assert_close(getattr(point, name), values[0], atol=1e-5, rtol=0)


def test_points_come_when_their_second_is_over():
    stream, clip = AffectStream(make_model("mfb"), 44100), speech(3.5, 44100)
    arrived = {}
    for start in range(0, len(clip), 4000):  # 2.993 s have the last frame of the third second, but not all of it
        update = stream.push(clip[start : start + 4000])
        for point in update.points:
            assert point.end_s == point.start_s + 1
            arrived[point.start_s] = update.duration_s
    assert list(arrived) == [0, 1, 2]
    assert all(second + 1 <= at <= second + 1 + streaming.STEP_S + 0.1 for second, at in arrived.items())
    stream.finish()
    assert [(point.start_s, point.end_s) for point in stream.final_points] == [(3, 3.5)]


@pytest.mark.parametrize("kind", ["mfb_f0", "fusion_frame"])
def test_an_estimate_is_what_finish_would_give_at_its_time(kind):
    model, clip = make_model(kind), speech(1.7)
    stream = AffectStream(model)
    first = stream.push(clip[:7000])
    for start in range(7000, len(clip), 7000):
        update = stream.push(clip[start : start + 7000])
        assert_same(update.estimate, offline(model, clip[: start + 7000]))
    assert_same(stream.finish(), offline(model, clip))
    assert_same(first.estimate, offline(model, clip[:7000]))


def test_estimates_that_nobody_reads_cost_nothing(monkeypatch):
    model = make_model("fusion_embedding")
    calls = []
    heads = model.regressor.heads
    monkeypatch.setattr(model.regressor, "heads", lambda embedding: calls.append(1) or heads(embedding))
    stream = AffectStream(model)
    update = stream.push(speech(0.9))
    assert not calls
    assert update.estimate is update.estimate and len(calls) == 1


def test_there_is_no_estimate_before_a_tenth_of_a_second():
    stream = AffectStream(make_model("mfb"))
    assert stream.push(speech(0.3)[:1599]).estimate is None
    with pytest.raises(ValueError, match=r"the stream has 0.100 s of audio; at least 0.1 s and one frame of each"):
        stream.finish()
    assert stream.push(speech(0.3)[1599:1600]).estimate is not None
    assert_same(stream.finish(), offline(make_model("mfb"), speech(0.3)[:1600]))
    wide = AffectStream(AffectStudentModel(AffectStudentConfig(branch={"window_s": 0.2, "hop_s": 0.1})).eval())
    assert wide.push(speech(0.3)[:2000]).estimate is None  # less than one frame


def held_bytes(value, seen: set) -> int:
    """Of the arrays and tensors that a stream holds; its model's do not count."""
    if id(value) in seen or isinstance(value, torch.nn.Module):
        return 0
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes()
    if isinstance(value, np.ndarray):
        return value.nbytes if value.base is None else held_bytes(value.base, seen)
    if isinstance(value, dict):
        return sum(held_bytes(part, seen) for part in value.values())
    if isinstance(value, (list, tuple)):
        return sum(held_bytes(part, seen) for part in value)
    return held_bytes(vars(value), seen) if hasattr(value, "__dict__") else 0


@pytest.mark.parametrize("kind", ["mfb", "running", "fusion_embedding", "fusion_frame"])
def test_what_is_held_does_not_grow(kind):
    stream, clip = AffectStream(make_model(kind), 44100), speech(2.0, 44100)
    held = []
    for _ in range(3):
        for start in range(0, len(clip), 44100):
            stream.push(clip[start : start + 44100])
        held.append(held_bytes(stream._state, set()))
    assert 0 < held[-1] <= held[0] + 2000  # where in a window the stream stands may differ


def test_a_large_piece_goes_through_the_model_in_blocks(monkeypatch):
    clip, lengths = speech(25.0), []
    model = make_model("mfb")
    kind = type(model.front_end.acoustic["mfb"])
    features = kind.features
    monkeypatch.setattr(kind, "features", lambda self, x: lengths.append(x.shape[1]) or features(self, x))
    output, points = stream_all(model, [clip])
    assert max(lengths) <= (streaming.BLOCK_S + streaming.STEP_S + 0.1) * 16000
    assert len(points) == 25
    assert_same(output, offline(model, clip))


def test_an_error_leaves_the_stream_as_it_was(monkeypatch):
    monkeypatch.setattr(streaming, "BLOCK_S", 0.3)  # the first blocks of the broken piece are good
    model, clip = make_model("mfb"), speech(2.0)
    stream = AffectStream(model)
    stream.push(clip[:9000])
    broken = clip[9000:].copy()
    broken[-1] = np.nan
    with pytest.raises(ValueError, match="audio has NaN or infinite samples"):
        stream.push(broken)
    assert stream.duration_s == 9000 / 16000
    stream.push(clip[9000:])
    assert_same(stream.finish(), offline(model, clip))


def test_kinds_of_pieces():
    model, clip = make_model("mfb"), speech(0.7)
    expected = offline(model, clip)
    stereo = np.stack([clip + 0.1, clip - 0.1])
    for pieces in (
        [clip[:3].tolist(), torch.from_numpy(clip[3:])],
        [stereo[:, :1], stereo[:, 1:2], stereo[:, 2:]],  # fewer samples than channels
        [clip.astype(np.float64), [], np.zeros((2, 0))],
        [clip[None]],
    ):
        assert_same(stream_all(model, pieces)[0], expected)


@pytest.mark.parametrize(
    "piece, message",
    [
        (np.zeros((480, 2)), r"has shape \(480, 2\), which is 480 channels; .* transpose it"),
        (0.5, r"audio has shape \(\)"),
        (torch.zeros(9).to_sparse(), "audio is a Tensor that is no array of numbers"),
        ([0, 12000, -9], "audio has integers of type int64 up to 12000, whose full scale is unknown"),
        # one piece does not tell the scale of all of them
        (
            np.array([0, 2**30], np.int32),
            "audio has integers of type int32 up to 1073741824, whose full scale",
        ),
    ],
)
def test_pieces_are_checked(piece, message):
    with pytest.raises(ValueError, match=message):
        AffectStream(make_model("mfb")).push(piece)


def test_after_the_end():
    stream = AffectStream(make_model("mfb"))
    stream.push(speech(0.3))
    stream.finish()
    for call in (lambda: stream.push(speech(0.3)), stream.finish):
        with pytest.raises(ValueError, match="this stream is finished; make a new AffectStream"):
            call()


def test_models_are_checked():
    model = AffectStudentModel(AffectStudentConfig())
    with pytest.raises(ValueError, match=r"training mode.*call model.eval\(\)"):
        AffectStream(model.train())
    stream = AffectStream(model.eval())
    update = stream.push(speech(0.3))
    model.train()
    for call in (lambda: stream.push(speech(0.3)), lambda: update.estimate, stream.finish):
        with pytest.raises(ValueError, match=r"training mode.*call model.eval\(\)"):
            call()
    assert model.training
    with pytest.raises(ValueError, match="sampling_rate is 999; 1000 to 768000 Hz"):
        AffectStream(model.eval(), 999)
    with pytest.raises(ValueError, match="built with_front_end=False and takes no audio; attach_front_end first"):
        AffectStream(AffectStudentModel(AffectStudentConfig(), with_front_end=False).eval())
    text = {"backbone": {"model_type": "roberta", "hidden_size": 16, "num_attention_heads": 2, "vocab_size": 9}}
    config = AffectFusionConfig(branches=[{"source": "mfb"}, {"source": "t"}], encoders={"t": text})
    with pytest.raises(ValueError, match="this model reads a transcript, which a stream of audio does not have"):
        AffectStream(AffectFusionModel(config).eval())


def test_a_stream_runs_in_half_precision_with_float32_on_the_label_scale(tmp_path):
    AffectStudentModel(AffectStudentConfig(**HEADS)).save_pretrained(tmp_path)
    model = AffectStudentModel.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    output, points = stream_all(model, np.split(speech(1.7), [5, 9000]))
    assert output.embedding.dtype == torch.bfloat16
    for logits in (output.logits, points[0].logits):
        assert logits.dtype == torch.float32 and not logits.requires_grad and not logits.is_inference()
    assert_same(output, offline(model, speech(1.7)), 0.05)
