"""What must not change an estimate, for every kind of model and encoder, with one tolerance each.

Where audio is cut into chunks stands in test_streaming.py, for the same models; text encoders in test_text_encoder.py,
but for the thread count.
"""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from torchaudio.functional import resample

from speech_affect import AffectFeatureExtractor, AffectFusionConfig, AffectFusionModel

from . import test_text_encoder
from .conftest import BACKBONES
from .test_streaming import FIELDS, KINDS, make_model, offline, speech


MODELS = sorted({*KINDS, *BACKBONES})
# of label points on a scale of 1 to 7, logits, and embeddings in -1..1; with rounding alone between two results
BATCH_TOLERANCE = PADDING_TOLERANCE = 1e-5
THREADS_TOLERANCE = 1e-5
GAIN_TOLERANCE = 1e-3
# label points: two resamplings fade out between 7 and 8 kHz in different ways
RATE_TOLERANCE = 0.35
# their inputs are waveforms of unit variance, or spectra of which each band has unit variance or no mean
GAIN_IS_REMOVED = sorted({"running", "weighted_sum", *BACKBONES} - {"whisper"})
SECONDS = (0.9, 0.31, 1.3, 0.62)  # windows of encoders are half a second here: one or several, with and without rest


@pytest.fixture(scope="module")
def clips() -> list[torch.Tensor]:
    return [torch.from_numpy(speech(seconds)) for seconds in SECONDS]


def padded(clips, more: int = 0) -> dict:
    lengths = torch.tensor([len(clip) for clip in clips])
    values = torch.nn.functional.pad(pad_sequence(clips, batch_first=True), (0, more))
    return {
        "input_values": values,
        "attention_mask": (torch.arange(values.shape[1]) < lengths.unsqueeze(1)).long(),
    }


@torch.no_grad()
def estimate(model, **inputs) -> dict[str, torch.Tensor]:
    output = model(**inputs)
    return {name: output[name] for name in FIELDS}


def assert_near(got, expected, tolerance: float) -> None:
    for name, values in expected.items():
        torch.testing.assert_close(got[name], values, atol=tolerance, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


def distance(one, other) -> float:
    return (one["embedding"] - other["embedding"]).abs().max().item()


def test_the_table_has_every_family_and_kind():
    assert set(BACKBONES) < set(MODELS) and set(KINDS) < set(MODELS)
    assert {"mfb", "mfb_f0", "weighted_sum", "fusion_embedding", "fusion_frame"} <= set(MODELS)
    # every way of cutting is tried in test_streaming.py, but on one family of two that differ in nothing but the name
    assert set(MODELS) - set(KINDS) == {"wav2vec2-group"}


@pytest.mark.parametrize("kind", MODELS)
def test_who_else_is_in_the_batch(kind, clips):
    model = make_model(kind)
    alone = [estimate(model, input_values=clip[None]) for clip in clips]
    assert distance(alone[0], alone[2]) > 100 * BATCH_TOLERANCE  # another clip is another matter
    for order in ([0, 1, 2, 3], [2, 0], [3, 3, 1]):
        together = estimate(model, **padded([clips[index] for index in order]))
        for row, index in enumerate(order):
            assert_near(
                {name: values[row : row + 1] for name, values in together.items()}, alone[index], BATCH_TOLERANCE
            )


@pytest.mark.parametrize("kind", MODELS)
def test_how_much_padding_there_is_and_what_lies_in_it(kind, clips):
    model = make_model(kind)
    expected = estimate(model, **padded(clips))
    batch = padded(clips, more=7001)
    assert_near(estimate(model, **batch), expected, PADDING_TOLERANCE)
    loud = 0.9 * torch.sin(2 * torch.pi * 210 * torch.arange(batch["input_values"].shape[1]) / 16000)
    batch["input_values"] = torch.where(batch["attention_mask"].bool(), batch["input_values"], loud)
    assert_near(estimate(model, **batch), expected, PADDING_TOLERANCE)


@pytest.mark.parametrize("kind", MODELS)
def test_which_side_is_padded(kind, clips):
    model = make_model(kind)
    right, left = (
        AffectFeatureExtractor(padding_side=side)([clip.numpy() for clip in clips], return_tensors="pt")
        for side in ("right", "left")
    )
    expected = estimate(model, **right)
    assert left["attention_mask"][1].tolist() == right["attention_mask"][1].flip(0).tolist()
    assert_near(estimate(model, **left), expected, PADDING_TOLERANCE)
    # on both sides, with what is no number in it
    both = {name: torch.nn.functional.pad(values, (0, 999)) for name, values in left.items()}
    both["input_values"].masked_fill_(both["attention_mask"] == 0, torch.nan)
    assert_near(estimate(model, **both), expected, PADDING_TOLERANCE)


@pytest.fixture
def with_threads():
    """Runs a function with so many threads."""
    before = torch.get_num_threads()

    def run(threads: int, function):
        torch.set_num_threads(threads)
        assert torch.get_num_threads() == threads
        return function()

    yield run
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", MODELS)
def test_how_many_threads_there_are(kind, clips, with_threads):
    model = make_model(kind)
    one, two, three = (with_threads(threads, lambda: estimate(model, **padded(clips))) for threads in (1, 2, 3))
    assert_near(two, one, THREADS_TOLERANCE)
    assert_near(three, one, THREADS_TOLERANCE)


@pytest.mark.parametrize("family", sorted(test_text_encoder.BACKBONES))
def test_how_many_threads_there_are_for_text(family, with_threads):
    text = {"backbone": test_text_encoder.BACKBONES[family]()}
    model = AffectFusionModel(AffectFusionConfig(branches=[{"source": "text"}], encoders={"text": text})).eval()
    ids = torch.arange(5, 19).repeat(2, 1)
    with torch.no_grad():
        one, two = (with_threads(threads, lambda: model(input_ids=ids).logits) for threads in (1, 2))
    torch.testing.assert_close(two, one, atol=THREADS_TOLERANCE, rtol=0)


@pytest.mark.parametrize("kind", MODELS)
def test_the_order_of_channels(kind):
    left, right = speech(0.9), 0.5 * speech(0.9)[::-1]
    model = make_model(kind)

    def of_channels(channels, axis: int):
        return offline(model, {"array": np.stack(channels, axis), "sampling_rate": 16_000})

    stereo, swapped = (of_channels(channels, 0) for channels in ((left, right), (right, left)))
    for name in FIELDS:
        assert torch.equal(stereo[name], swapped[name])
    three, turned = (of_channels(c, 1) for c in ((left, right, -left), (-left, left, right)))
    assert_near({name: turned[name] for name in FIELDS}, {name: three[name] for name in FIELDS}, BATCH_TOLERANCE)


@pytest.mark.parametrize("kind", GAIN_IS_REMOVED)
@pytest.mark.parametrize("gain", [0.3, 3.0])
def test_gain_that_normalisation_removes(kind, gain, clips):
    clip = clips[0] / 4
    model = make_model(kind)
    expected = estimate(model, input_values=clip[None])
    assert_near(estimate(model, input_values=gain * clip[None]), expected, GAIN_TOLERANCE)


@torch.no_grad()
def test_gain_does_not_change_pitch(clips):
    model = make_model("mfb_f0")
    (plain, _), (quiet, _) = (model.front_end(gain * clips[0][None]) for gain in (1.0, 0.3))
    torch.testing.assert_close(quiet["mfb_f0"][..., 40:], plain["mfb_f0"][..., 40:], atol=1e-4, rtol=1e-4)
    # energies fall by 2 ln 0.3, but for those at the floor
    fallen = (plain["mfb_f0"] - quiet["mfb_f0"])[..., :40]
    assert fallen.median().item() == pytest.approx(-2 * np.log(0.3), abs=1e-3)


@pytest.mark.parametrize("kind", MODELS)
def test_copies_at_higher_rates(kind):
    model, clip = make_model(kind), speech(0.9)
    expected = offline(model, clip).logits
    for rate in (44100, 48000):
        copy = resample(torch.from_numpy(clip), 16000, rate, lowpass_filter_width=64)  # longer than the package's own
        got = offline(model, copy.numpy(), rate).logits
        torch.testing.assert_close(got, expected, atol=RATE_TOLERANCE, rtol=0)
