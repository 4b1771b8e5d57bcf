"""Audio for the encoders: its duration known beforehand, and the same whichever process loads it."""

import types

import numpy as np
import pytest
import soundfile
import torch

from speech_affect_training.audio import clip_loading
from speech_affect_training.audio.augmentation import augmented_copies
from speech_affect_training.audio.clip_loading import SourceClip, clip_duration_s, load_batches, loading_workers
from speech_affect_training.audio.degradation import degraded_clips
from speech_affect_training.corpora.clip_table import ClipTable
from speech_affect_training.corpora.unlabelled import unlabelled_pieces
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.settings.augmentation import AugmentationSettings
from speech_affect_training.settings.conditions import Condition


@pytest.fixture
def sources(write_clip):
    """Five clips of one speaker, 0.3 to 0.7 s."""
    audio = [write_clip(name, 0.3 + 0.1 * index) for index, name in enumerate("abcde")]
    return [(clip_fingerprint(clip), clip, "1") for clip in audio]


def test_the_duration_of_a_file_and_of_bytes(write_clip, tmp_path):
    audio = write_clip("a", 0.4)
    encoded = {"path": None, "bytes": (tmp_path / "audio" / "a.wav").read_bytes()}
    assert clip_duration_s(audio) == clip_duration_s(encoded) == SourceClip("ab", audio).duration_s == 0.4
    with pytest.raises(ValueError, match="nowhere.wav' is no file"):
        clip_duration_s({"path": "nowhere.wav", "bytes": None})


def test_any_audio_becomes_mono_at_16_khz(tmp_path):
    path = tmp_path / "stereo.wav"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    soundfile.write(path, np.stack([tone, np.zeros(8000)], axis=1), 8000, subtype="FLOAT")
    waveform = SourceClip("ab", {"path": "not read", "bytes": path.read_bytes()}).waveform()
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform[100:-100], expected[100:-100], atol=1e-3)


def test_the_duration_of_a_copy_is_known_before_it_is_computed(sources):
    settings = AugmentationSettings(join_probability=0.5)
    copies = augmented_copies(sources, 4, settings)
    assert {copy.joined for copy in copies} == {True, False}
    for copy in copies:
        made = copy.load()
        assert clip_duration_s(copy) == pytest.approx(len(made["array"]) / made["sampling_rate"], rel=5e-3)


def test_durations_of_degraded_clips_and_pieces(sources, make_table, tmp_path):
    table: ClipTable = make_table(5, fingerprints=[fingerprint for fingerprint, _, _ in sources])
    audio = {fingerprint: clip for fingerprint, clip, _ in sources}
    for clip in degraded_clips(table, audio, Condition("white", 10)):
        made = clip.load()
        assert clip.duration_s == len(made["array"]) / made["sampling_rate"]
    for piece in unlabelled_pieces([tmp_path / "audio"]):
        made = piece.load()
        assert piece.duration_s == len(made["array"]) / made["sampling_rate"]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_whichever_process_loads_them(sources, monkeypatch, workers):
    monkeypatch.setattr(clip_loading, "loading_workers", lambda: workers)
    copies = augmented_copies(sources, 1, AugmentationSettings())
    batches = [[sources[0][1], copies[1]], [copies[0]], [sources[4][1], sources[3][1]]]
    loaded = list(load_batches(batches))
    assert [inputs["input_values"].shape[0] for inputs in loaded] == [2, 1, 2]
    assert loaded[2]["attention_mask"].sum(dim=1).tolist() == [11200, 9600]
    np.testing.assert_array_equal(loaded[1]["input_values"][0], torch.from_numpy(copies[0].load()["array"]))
    assert hasattr(loaded[0].to("cpu"), "data")


@pytest.mark.parametrize(
    "device, local, cpus, expected",
    [("cpu", None, 64, 0), ("cuda", None, 16, 4), ("cuda", "8", 32, 4), ("cuda", "1", 64, 8), ("cuda", "8", 4, 0)],
)
def test_a_gpu_has_cores_that_load_for_it(monkeypatch, device, local, cpus, expected):
    state = types.SimpleNamespace(device=types.SimpleNamespace(type=device), num_processes=4)
    monkeypatch.setattr(clip_loading, "PartialState", lambda: state)
    monkeypatch.setattr(clip_loading.cores, "available_cores", lambda: cpus)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if local:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    assert loading_workers() == expected
