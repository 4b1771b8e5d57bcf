"""Cached frames: identity of audio and settings, whole batches only, read where they lie."""

import copy
import hashlib
import pickle

import numpy as np
import pytest

from speech_affect_training.files import clip_fingerprint
from speech_affect_training.frames.frame_cache import FrameCache


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


def test_what_is_read_is_not_copied_and_cannot_be_changed(cache):
    cache.write_batch({"ab": np.ones((4, 3), np.float32), "cd": np.ones((2, 3), np.float32)})
    read = cache.read("ab")
    assert np.shares_memory(read, cache.read("ab")) and not read.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 0


def test_what_another_wrote_is_seen(cache, tmp_path):
    assert cache.missing(["ab", "cd", "ef"]) == ["ab", "cd", "ef"]
    other = FrameCache(tmp_path, "whisper-2", dict(cache.settings), "float16")
    other.write_batch({"cd": np.full((2, 3), 2.0), "ab": np.full((1, 3), 1.0)})
    assert cache.missing(["ab", "cd", "ef"]) == ["ef"] and cache.fingerprints == {"ab", "cd"}
    other.write("ef", np.full((3, 3), 3.0))
    np.testing.assert_array_equal(cache.read("ef"), np.full((3, 3), 3.0))


def test_frames_that_are_not_there(cache):
    with pytest.raises(FileNotFoundError, match="whisper-2-[0-9a-f]{16} has no frames of clip ab12; extract them"):
        cache.read("ab12")


@pytest.mark.parametrize("duplicate", [lambda cache: pickle.loads(pickle.dumps(cache)), copy.copy, copy.deepcopy])
def test_another_process_opens_its_own(cache, duplicate):
    cache.write("ab12", np.ones((4000, 3), np.float32))
    held = cache.read("ab12")
    assert len(pickle.dumps(cache)) < 2000
    other = duplicate(cache)
    assert other == cache and other.folder == cache.folder
    assert not np.shares_memory(other.read("ab12"), held)
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
        cache.write_batch({"cd": np.ones((1, 3), np.float32), "ab12": np.full((1, 3), 7e4, np.float32)})
    assert not cache.has("ab12") and not cache.has("cd")
    with pytest.raises(ValueError, match=r"frames of whisper-2 have shape \(3,\); give \(frames, width\)"):
        cache.write("ab12", np.ones(3, np.float32))


def test_files_that_were_cut_off_are_told_once_and_made_anew(cache, caplog):
    cache.write_batch({"ab": np.ones((4, 3)), "cd": np.full((2, 3), 2.0)})
    cache.close()
    (data,) = cache.folder.glob("*.frames")
    data.write_bytes(data.read_bytes()[:-1])
    again = copy.copy(cache)
    assert again.missing(["ab", "cd"]) == ["cd"]
    assert "files are shorter than they were, 1 clips are made anew" in caplog.text
    again.write("cd", np.full((2, 3), 2.0))
    caplog.clear()
    third = copy.copy(cache)
    assert third.missing(["ab", "cd"]) == [] and not caplog.records
    np.testing.assert_array_equal(third.read("cd"), np.full((2, 3), 2.0))


def test_damaged_files_are_struck_off_and_made_anew(cache):
    cache.write_batch({"ab": np.ones((4, 3)), "cd": np.full((2, 3), 2.0)})
    cache.close()
    (data,) = cache.folder.glob("*.frames")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    again = copy.copy(cache)
    assert again.missing(["ab", "cd"]) == []
    np.testing.assert_array_equal(again.read("ab"), np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"frames is damaged \(clip cd\) and has been deleted; start the run again"):
        again.read("cd")
    assert again.missing(["ab", "cd"]) == ["ab", "cd"] == copy.copy(cache).missing(["ab", "cd"])
    again.write_batch({"ab": np.ones((4, 3)), "cd": np.full((2, 3), 2.0)})
    np.testing.assert_array_equal(copy.copy(cache).read("cd"), np.full((2, 3), 2.0))
    assert not data.exists()  # its name is not used again
