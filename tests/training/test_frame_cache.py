"""Cached frames: identity of audio and settings, whole files only."""

import hashlib

import numpy as np
import pytest
from frame_cache import FrameCache, clip_fingerprint


@pytest.fixture
def cache(tmp_path):
    return FrameCache(tmp_path, "whisper-2", {"hidden_state": 2, "revision": "a"}, "float16")


def test_a_clip_is_known_by_its_content(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"some audio")
    expected = hashlib.sha256(b"some audio").hexdigest()
    assert clip_fingerprint({"path": str(path), "bytes": None}) == expected
    assert clip_fingerprint({"path": "elsewhere.wav", "bytes": b"some audio"}) == expected


def test_written_and_read(cache):
    frames = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
    assert not cache.has("ab12")
    cache.write("ab12", frames)
    assert cache.has("ab12")
    read = cache.read("ab12")
    assert isinstance(read, np.memmap) and read.dtype == np.float16
    np.testing.assert_array_equal(read, frames)


@pytest.mark.parametrize(
    "change",
    [{"settings": {"hidden_state": 3, "revision": "a"}}, {"settings": {"hidden_state": 2, "revision": "b"}}],
)
def test_other_settings_are_another_folder(cache, tmp_path, change):
    other = FrameCache(tmp_path, cache.branch, change["settings"], cache.dtype)
    assert other.folder != cache.folder
    assert FrameCache(tmp_path, cache.branch, dict(cache.settings), "float32").folder != cache.folder


def test_what_does_not_fit_the_format_is_refused(cache):
    with pytest.raises(ValueError, match="frames of whisper-2 reach 70000: not finite as float16"):
        cache.write("ab12", np.full((1, 3), 7e4, np.float32))
    assert not cache.has("ab12")


def test_an_interrupted_write_leaves_nothing(cache, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.write("ab12", np.zeros((1, 3), np.float32))
    assert not [path for path in cache.folder.rglob("*") if path.is_file()]
