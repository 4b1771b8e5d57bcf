"""Cached frames: identity of audio and settings, whole batches only, read where they lie; and their statistics."""

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from speech_affect_training.frames.frame_cache import FrameCache


@pytest.fixture
def cache(tmp_path):
    return FrameCache(tmp_path, "whisper-2", {"hidden_state": 2, "revision": "a"}, "float16")


TWO = {"ab": np.ones((4, 3), np.float32), "cd": np.full((2, 3), 2.0, np.float32)}


def test_frames_are_mapped_and_read_only(cache):
    cache.write_batch(TWO)
    read = cache.read("cd")
    assert read.dtype == np.float16
    np.testing.assert_array_equal(read, TWO["cd"])
    assert np.shares_memory(read, cache.read("cd")) and not read.flags.owndata  # memory-mapped
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 0


def test_frames_written_by_another_are_seen(cache):
    assert cache.missing(["ab", "cd", "ef"]) == ["ab", "cd", "ef"]
    other = replace(cache, settings=dict(cache.settings))
    other.write_batch(TWO)
    assert cache.missing(["ab", "cd", "ef"]) == ["ef"]
    other.write_batch({"ef": np.full((3, 3), 3.0)})
    np.testing.assert_array_equal(cache.read("ef"), np.full((3, 3), 3.0))
    with pytest.raises(FileNotFoundError, match="whisper-2-[0-9a-f]{16} has no frames of clip gh; extract them"):
        cache.read("gh")


@pytest.mark.parametrize("duplicate", [lambda cache: pickle.loads(pickle.dumps(cache)), copy.copy, copy.deepcopy])
def test_another_process_opens_its_own(cache, duplicate):
    cache.write_batch({"ab": np.ones((4000, 3), np.float32)})
    held = cache.read("ab")
    assert len(pickle.dumps(cache)) < 2000
    other = duplicate(cache)
    assert other == cache and other.folder == cache.folder
    assert not np.shares_memory(other.read("ab"), held)
    np.testing.assert_array_equal(other.read("ab"), held)


def test_other_settings_are_another_folder(cache):
    others = [replace(cache, settings={**cache.settings, **change}) for change in ({"hidden_state": 3}, {"x": "b"})]
    folders = {each.folder for each in (cache, *others, replace(cache, dtype="float32"), replace(cache, branch="a"))}
    assert len(folders) == 5


def test_values_that_do_not_fit_the_format_are_an_error(cache):
    with pytest.raises(ValueError, match="frames of whisper-2 reach 70000: not finite as float16"):
        cache.write_batch({"cd": np.ones((1, 3), np.float32), "ab": np.full((1, 3), 7e4, np.float32)})
    assert cache.missing(["ab", "cd"]) == ["ab", "cd"]
    with pytest.raises(ValueError, match=r"frames of whisper-2 have shape \(3,\); give \(frames, width\)"):
        cache.write_batch({"ab": np.ones(3, np.float32)})


def test_truncated_files_are_warned_of_once_and_made_anew(cache, caplog):
    cache.write_batch(TWO)
    cache.close()
    (data,) = cache.folder.glob("*.frames")
    data.write_bytes(data.read_bytes()[:-1])
    again = copy.copy(cache)
    assert again.missing(["ab", "cd"]) == ["cd"]
    assert "files are shorter than they were, 1 clips are made anew" in caplog.text
    again.write_batch({"cd": TWO["cd"]})
    caplog.clear()
    third = copy.copy(cache)
    assert third.missing(["ab", "cd"]) == [] and not caplog.records
    np.testing.assert_array_equal(third.read("cd"), TWO["cd"])


def test_damaged_files_are_deleted_and_made_anew(cache):
    cache.write_batch(TWO)
    cache.close()
    (data,) = cache.folder.glob("*.frames")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    again = copy.copy(cache)
    assert again.missing(["ab", "cd"]) == []
    np.testing.assert_array_equal(again.read("ab"), TWO["ab"])
    with pytest.raises(ValueError, match=r"frames is damaged \(clip cd\) and has been deleted; start the run again"):
        again.read("cd")
    assert again.missing(["ab", "cd"]) == ["ab", "cd"] == copy.copy(cache).missing(["ab", "cd"])
    again.write_batch(TWO)
    np.testing.assert_array_equal(copy.copy(cache).read("cd"), TWO["cd"])
    assert not data.exists()  # its name is not used again


@pytest.fixture
def noise(tmp_path):
    """A cache of four clips far from 0, one value of which is constant."""
    cache = FrameCache(tmp_path, "mfb", {}, "float32")
    generator = np.random.default_rng(0)
    for index, key in enumerate("abcd"):
        cache.write_batch({key: 100 + generator.standard_normal((3 + 5 * index, 4)) * [0.1, 1, 10, 0]})
    return cache


def test_statistics_are_those_of_all_frames_together(noise):
    mean, std = noise.statistics(list("abd"))
    frames = np.concatenate([noise.read(key) for key in "abd"]).astype(np.float64)
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, frames.std(axis=0), rtol=1e-6, atol=1e-6)
    assert std[3] == 0


def test_statistics_of_the_means_of_blocks(tmp_path):
    cache = FrameCache(tmp_path, "whisper-2", {}, "float16")
    cache.write_batch(
        {"a": np.array([[1.0], [3], [5], [9], [100]]), "b": np.array([[0.0], [2]]), "c": np.ones((1, 1))}
    )
    single = cache.statistics(list("abc"))
    mean, std = cache.statistics(list("abc"), block=2)  # 2, 7 and 1
    assert mean == pytest.approx(10 / 3) and std == pytest.approx(np.std([2, 7, 1]))
    assert cache.statistics(list("abc"), block=2) == (mean, std) and cache.statistics(list("abc")) == single
    with pytest.raises(ValueError, match="none of 1 clips has 2 frames of whisper-2; give longer ones"):
        cache.statistics(["c"], block=2)


def test_statistics_are_computed_once(noise, monkeypatch):
    opened, read = [], FrameCache.read
    monkeypatch.setattr(FrameCache, "read", lambda self, key: opened.append(key) or read(self, key))
    first = noise.statistics(list("abc"))
    again = copy.copy(noise).statistics(list("cba"))
    np.testing.assert_array_equal(first, again)
    assert opened == list("abc")
    assert not np.array_equal(noise.statistics(list("ab")), first) and opened == list("abcab")


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text.replace("3", "4"), lambda text: "[1]"])
def test_damaged_statistics_are_computed_again(noise, monkeypatch, damage):
    first = noise.statistics(list("abc"))
    (path,) = noise.folder.glob("statistics-*")
    whole = path.read_text()
    assert json.loads(whole)["clips"] == 3
    path.write_text(damage(whole))
    assert path.read_text() != whole
    np.testing.assert_array_equal(noise.statistics(list("abc")), first)
    assert path.read_text() == whole
    path.unlink()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("speech_affect_training.frames.frame_cache.write_json", full)
    np.testing.assert_array_equal(noise.statistics(list("abc")), first)  # they are not kept then
    assert not path.exists()
