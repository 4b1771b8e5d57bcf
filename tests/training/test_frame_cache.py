"""Cached frames: identity of audio and settings, whole files only, held in memory up to a bound."""

import copy
import hashlib
import pickle

import frame_cache
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
    assert read.dtype == np.float16
    np.testing.assert_array_equal(read, frames)


def test_what_was_read_is_held_and_not_read_again(cache):
    cache.write("ab12", np.ones((4, 3), np.float32))
    read = cache.read("ab12")
    assert not isinstance(read, np.memmap)
    cache.path("ab12").unlink()
    assert cache.read("ab12") is read


def test_no_more_is_held_than_fits(cache, monkeypatch):
    monkeypatch.setattr(frame_cache, "HELD_BYTES", 50)
    for index, fingerprint in enumerate(("aa", "bb", "cc", "dd")):
        cache.write(fingerprint, np.full((4 if index < 3 else 1, 3), index, np.float32))
    # 24 bytes, 24 bytes, 24 that do not fit, and 6 that do not fit either
    kinds = [isinstance(cache.read(fingerprint), np.memmap) for fingerprint in ("aa", "bb", "cc", "dd")]
    assert kinds == [False, False, True, True]
    for index, fingerprint in enumerate(("aa", "bb", "cc", "dd")):
        for _ in range(2):
            assert (cache.read(fingerprint) == index).all()


@pytest.mark.parametrize("duplicate", [lambda cache: pickle.loads(pickle.dumps(cache)), copy.copy, copy.deepcopy])
def test_another_process_holds_its_own(cache, duplicate):
    cache.write("ab12", np.ones((4000, 3), np.float32))
    held = cache.read("ab12")
    assert len(pickle.dumps(cache)) < 2000
    other = duplicate(cache)
    assert other == cache and other.folder == cache.folder and cache.read("ab12") is held
    assert other.read("ab12") is not held
    np.testing.assert_array_equal(other.read("ab12"), held)


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
