import math
from pathlib import Path

import pytest
import torch

from speech_affect import pitch
from speech_affect.pitch import PitchTracker, pitch_features


SAMPLING_RATE = 16000
CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpora/emodb-msp"


def tone(f0_hz, seconds=0.5, sampling_rate=SAMPLING_RATE):
    return torch.sin(2 * math.pi * f0_hz * torch.arange(int(seconds * sampling_rate)) / sampling_rate)


def sawtooth(f0_hz, seconds=0.5, sampling_rate=SAMPLING_RATE):
    """Sum of the harmonics below half the sampling rate: no aliases, which would have another period."""
    harmonics = range(1, math.ceil(sampling_rate / 2 / f0_hz))
    return sum(tone(f0_hz * k, seconds, sampling_rate) / k for k in harmonics) / 2


def speech_like(seed=0, seconds=1.6):
    """Voiced glides of changing loudness between hiss and pauses, `(1, samples)`: the decisions are not trivial."""
    generator = torch.Generator().manual_seed(seed)
    time_s = torch.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    f0_hz = 140 + 60 * torch.sin(2 * math.pi * 1.3 * time_s + seed)
    phase = 2 * math.pi * torch.cumsum(f0_hz.double(), 0) / SAMPLING_RATE
    voiced = sum(torch.sin(k * phase) / k for k in range(1, 12)).float()
    loudness = torch.sin(2 * math.pi * 1.7 * time_s).clamp(min=0) ** 2
    return (0.2 * loudness * voiced + 0.01 * torch.randn(len(time_s), generator=generator))[None]


@pytest.mark.parametrize("make", [tone, sawtooth])
@pytest.mark.parametrize("f0_hz", [80, 120, 220, 440])
def test_f0_of_periodic_signals(make, f0_hz):
    found, voicing = PitchTracker()(0.5 * make(f0_hz)[None])
    assert (found / f0_hz - 1).abs().max() < 0.01
    assert voicing[:, 3:-3].min() > 0.95  # frames whose analysis window lies within the clip


@pytest.mark.parametrize("sampling_rate", [8000, 44100])
def test_f0_at_other_sampling_rates(sampling_rate):
    found, _ = PitchTracker(sampling_rate)(0.5 * sawtooth(180, sampling_rate=sampling_rate)[None])
    window, hop = round(0.025 * sampling_rate), round(0.010 * sampling_rate)
    assert found.shape == (1, 1 + (sampling_rate // 2 - window) // hop)
    assert (found / 180 - 1).abs().max() < 0.01


def test_f0_keeps_within_its_range():
    beyond = PitchTracker()(0.5 * tone(608)[None])[0]  # within the first lag searched, but above 600 Hz
    assert (beyond <= 600).all() and ((beyond > 0) & (beyond < 60)).sum() == 0


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (719, 2), (720, 3), (16000, 98)])
def test_number_of_frames_is_that_of_an_uncentred_transform(samples, frames):
    found, voicing = PitchTracker()(torch.randn(2, samples))
    assert found.shape == voicing.shape == (2, frames)
    assert found.dtype == voicing.dtype == torch.float32


def test_frames_are_centred_on_the_middle_of_their_window():
    time_s = torch.arange(SAMPLING_RATE, dtype=torch.float64) / SAMPLING_RATE
    chirp = torch.sin(2 * math.pi * (100 * time_s + 100 * time_s**2)).float()  # 100 + 200 t Hz: 2 Hz a frame
    found, _ = PitchTracker()(chirp[None])
    expected = 100 + 200 * (torch.arange(found.shape[1]) * 160 + 200) / SAMPLING_RATE
    assert (found[0] - expected)[3:-3].abs().max() < 0.5  # a quarter of a frame


def test_silence_and_white_noise_are_unvoiced():
    f0_hz, voicing = PitchTracker()(torch.zeros(2, 8000))
    assert (f0_hz == 0).all() and (voicing == 0).all()
    noise = torch.randn(1, 5 * SAMPLING_RATE, generator=torch.Generator().manual_seed(3))
    for amplitude in (0.2, 1e-3):
        f0_hz, voicing = PitchTracker()(amplitude * noise)
        assert (f0_hz > 0).float().mean() < 0.005
        assert voicing.max() < 0.5


def test_voicing_is_the_share_of_periodic_energy():
    """A tone of power 1/2 in white noise of power `p`: the autocorrelation at the period is 1 / (1 + 2p)."""
    noise = torch.randn(4, SAMPLING_RATE, generator=torch.Generator().manual_seed(1))
    for power in (0.05, 0.15, 0.25):
        _, voicing = PitchTracker()(tone(100, seconds=1.0) + math.sqrt(power) * noise)
        assert voicing[:, 3:-3].mean() == pytest.approx(1 / (1 + 2 * power), abs=0.04)


def test_padding_and_batching_change_nothing():
    clips = [speech_like(seed)[0, :samples] for seed, samples in enumerate((400, 1111, 9600, 17001, 25600))]
    batch = torch.nn.utils.rnn.pad_sequence([*clips, torch.zeros(30000)], batch_first=True)
    f0_hz, voicing = PitchTracker()(batch)
    for row, clip in enumerate(clips):
        alone_f0_hz, alone_voicing = PitchTracker()(clip[None])
        frames = alone_f0_hz.shape[1]
        torch.testing.assert_close(f0_hz[row, :frames], alone_f0_hz[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(voicing[row, :frames], alone_voicing[0], rtol=1e-5, atol=1e-5)
    assert 0.2 < (f0_hz[3:5] > 0).float().mean() < 0.8  # both decisions occur


@pytest.mark.parametrize("settings", [{}, {"hop_s": 0.02, "window_s": 0.04}, {"window_s": 0.05}])
def test_context_is_bounded_as_stated(settings):
    tracker = PitchTracker(**settings)
    signal = speech_like()
    f0_hz, voicing = tracker(signal)
    for frame in range(0, f0_hz.shape[1], 11):
        start = frame * tracker.hop_samples
        first, end = start - tracker.lookback_samples, start + tracker.window_samples + tracker.lookahead_samples
        other = torch.sign(torch.sin(torch.arange(signal.shape[1]) * 0.05))[None]  # loud, of another pitch
        other[:, max(first, 0) : end] = signal[:, max(first, 0) : end]
        other_f0_hz, other_voicing = tracker(other)
        torch.testing.assert_close(other_f0_hz[0, frame], f0_hz[0, frame], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(other_voicing[0, frame], voicing[0, frame], rtol=1e-5, atol=1e-5)


def test_look_ahead_is_bounded_as_stated_where_the_octave_is_ambiguous():
    """A pure tone fits 100 Hz nearly as well as 200 Hz: what the neighbours are decides as far as the path reaches."""
    tracker = PitchTracker()
    signal, other = tone(200, seconds=1.0)[None], (tone(200, seconds=1.0) + 0.5 * tone(100, seconds=1.0))[None]
    expected = tracker(signal)[0]
    for frame in range(30, 60, 7):
        end = frame * tracker.hop_samples + tracker.window_samples + tracker.lookahead_samples
        changed = torch.cat([signal[:, :end], other[:, end:]], dim=1)
        torch.testing.assert_close(tracker(changed)[0][:, : frame + 1], expected[:, : frame + 1], rtol=1e-5, atol=0)
        nearer = end - 4 * tracker.hop_samples  # the look-ahead is used, not just claimed
        changed = torch.cat([signal[:, :nearer], other[:, nearer:]], dim=1)
        assert tracker(changed)[0][0, frame] == pytest.approx(100, abs=1)


def test_silence_is_judged_against_the_last_third_of_a_second_only():
    signal = 0.01 * tone(150, seconds=1.2)[None]
    signal[:, 1600:3200] = 0.9 * tone(150, seconds=0.1)
    f0_hz, voicing = PitchTracker()(signal)
    # The tone after the burst is at 1/90 of its peak: silence until 0.32 s after its end (frame 20), then speech.
    assert (f0_hz[0, 24:48] == 0).all() and voicing[0, 24:48].max() < 0.25
    assert (f0_hz[0, 56:] > 0).all() and voicing[0, 56:-3].min() > 0.9


def test_the_path_bridges_frames_that_favour_another_octave():
    """A strong subharmonic for 20 ms: each frame by itself prefers 100 Hz, its neighbours keep it on 200 Hz."""
    signal = tone(200, seconds=0.8)
    signal[6000:6320] += 0.25 * tone(100, seconds=0.8)[6000:6320]
    f0_hz, _ = PitchTracker()(signal[None])
    assert (f0_hz[0] / 200 - 1).abs().max() < 0.05


def test_has_no_state_and_ignores_reduced_precision():
    signal = speech_like()
    expected, _ = PitchTracker()(signal)
    tracker = PitchTracker().to(torch.bfloat16)
    assert not tracker.state_dict() and not list(tracker.buffers())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        f0_hz, voicing = tracker(signal.requires_grad_())
    assert torch.equal(f0_hz, expected)
    assert f0_hz.dtype == voicing.dtype == torch.float32 and not voicing.requires_grad
    assert tracker(signal.half())[0].dtype == torch.float32


@pytest.mark.parametrize("rows", [1, 3])
def test_blocks_of_long_audio_change_nothing(monkeypatch, rows):
    signal = torch.cat([speech_like(seed) for seed in range(6)], dim=1)
    signal = torch.cat([signal.roll(5000 * row, dims=1) for row in range(rows)])
    tracker, lengths = PitchTracker(), []
    monkeypatch.setattr(pitch, "BLOCK_FRAMES", 10**9)
    expected = tracker(signal)
    monkeypatch.setattr(pitch, "BLOCK_FRAMES", 10)
    track = tracker._track
    monkeypatch.setattr(tracker, "_track", lambda samples: lengths.append(samples.shape[1]) or track(samples))
    for found, whole in zip(tracker(signal), expected, strict=True):
        torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)
    context = tracker.lookback_frames + tracker.lookahead_frames
    assert len(lengths) > 1 and max(lengths) <= 6 * context * tracker.hop_samples + tracker.window_samples


def test_pitch_features_by_hand():
    f0_hz = torch.tensor([[0.0, 100.0, 200.0, 0.0, 50.0, 50.0]])
    voicing = torch.tensor([[0.1, 0.9, 0.8, 0.2, 0.7, 1.0]])
    features = pitch_features(f0_hz, voicing)
    assert features.shape == (1, 6, 3)
    assert features[0, :, 0].tolist() == [0.0, 0.0, 1.0, 0.0, -1.0, -1.0]
    assert features[0, :, 1].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert torch.equal(features[..., 2], voicing)
    assert pitch_features(f0_hz[:, :1], voicing[:, :1]).shape == (1, 1, 3)


@pytest.mark.parametrize(("f0_shape", "voicing_shape"), [((1, 5), (1, 4)), ((5,), (5,))])
def test_pitch_features_of_other_shapes(f0_shape, voicing_shape):
    with pytest.raises(ValueError, match=r"must both be \(batch, frames\), not"):
        pitch_features(torch.ones(f0_shape), torch.ones(voicing_shape))


@pytest.mark.parametrize(
    ("input_values", "message"),
    [
        (torch.zeros(16000), r"must be floating point.*\(batch, samples\), not torch.float32 \(16000,\)"),
        (torch.zeros(1, 16000, dtype=torch.int16), r"must be floating point.* not torch.int16 \(1, 16000\)"),
        (torch.zeros(1, 399), r"has 399 samples; one frame needs at least 400 \(0.025 s at 16000 Hz\)"),
    ],
)
def test_inputs_that_do_not_fit(input_values, message):
    with pytest.raises(ValueError, match=message):
        PitchTracker()(input_values)


@pytest.fixture(scope="module")
def real_clips():
    """30 clips over all speakers, each `(samples,)`."""
    soundfile = pytest.importorskip("soundfile")
    paths = sorted((CORPUS / "Audios").glob("*.wav"))[::17][:30]
    if len(paths) < 30:
        pytest.skip(f"the real-speech corpus is not at {CORPUS}")
    return [torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in paths]


def praat_f0_hz(parselmouth, clip, frames):
    """Praat's autocorrelation method on exactly our frames, `(frames,)`.

    Praat centres its frames in the file: zeros that make the file just long enough for its 50 ms windows, 12.5 ms of
    them in front, put its frame `i` at `12.5 ms + 10 ms * i` of the clip.
    """
    samples = 800 + (frames - 1) * 160 + 1  # one to spare: Praat divides in floating point and rounds down
    padded = torch.zeros(samples, dtype=torch.float64)
    kept = clip[: samples - 200]
    padded[200 : 200 + len(kept)] = kept
    sound = parselmouth.Sound(padded.numpy(), SAMPLING_RATE)
    pitch = sound.to_pitch_ac(time_step=0.010, pitch_floor=60.0, pitch_ceiling=600.0)
    assert pitch.n_frames == frames and abs(pitch.xs()[0] - 0.025) < 1e-4
    return torch.from_numpy(pitch.selected_array["frequency"])


def test_agrees_with_praat_on_real_speech(real_clips):
    parselmouth = pytest.importorskip("parselmouth")
    tracker = PitchTracker()
    ours = [tracker(clip[None])[0][0] for clip in real_clips]
    praat = torch.cat([praat_f0_hz(parselmouth, clip, len(f0)) for clip, f0 in zip(real_clips, ours, strict=True)])
    ours = torch.cat(ours)
    both = (ours > 0) & (praat > 0)
    assert both.sum() > 2000
    deviation = (ours[both] / praat[both] - 1).abs()
    assert (deviation > 0.2).double().mean() < 0.01  # 0.004 measured
    assert deviation.median() < 0.002  # 0.0007 measured
    assert both.sum() / (praat > 0).sum() > 0.95  # 0.989 measured
    assert ((ours > 0) & (praat == 0)).sum() / (ours > 0).sum() < 0.08  # 0.051 measured
