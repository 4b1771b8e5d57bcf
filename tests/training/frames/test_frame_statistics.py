"""Mean and deviation of cached frames, against numpy over all frames at once."""

import json

import numpy as np
import pytest

from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.frames.frame_statistics import frame_statistics


@pytest.fixture
def cache(tmp_path):
    cache = FrameCache(tmp_path, "mfb", {}, "float32")
    generator = np.random.default_rng(0)
    for index, key in enumerate("abcd"):
        cache.write(key, 100 + generator.standard_normal((3 + 5 * index, 4)) * [0.1, 1, 10, 0])
    return cache


def test_they_are_those_of_all_frames_together(cache):
    mean, std = frame_statistics(cache, list("abd"))
    frames = np.concatenate([cache.read(key) for key in "abd"]).astype(np.float64)
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, frames.std(axis=0), rtol=1e-6, atol=1e-6)
    assert std[3] == 0


def test_each_clip_is_read_once_and_never_again(cache, monkeypatch):
    opened = []
    read = FrameCache.read
    monkeypatch.setattr(FrameCache, "read", lambda self, key: opened.append(key) or read(self, key))
    first = cache.statistics(list("abc"))
    assert opened == list("abc")
    again = FrameCache(cache.root, "mfb", {}, "float32").statistics(list("cba"))
    np.testing.assert_array_equal(first, again)
    assert opened == list("abc")
    assert not np.array_equal(cache.statistics(list("ab")), first)
    assert opened == list("abcab")
    (kept, _) = sorted(cache.folder.glob("statistics-*"), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads(kept.read_text())["clips"] == 3 and not list(cache.folder.glob("*.tmp"))


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text.replace("3", "4"), lambda text: "[1]"])
def test_a_damaged_file_is_not_believed(cache, damage):
    first = cache.statistics(list("abc"))
    (path,) = cache.folder.glob("statistics-*")
    whole = path.read_text()
    path.write_text(damage(whole))
    assert path.read_text() != whole
    np.testing.assert_array_equal(cache.statistics(list("abc")), first)
    assert path.read_text() == whole


def test_where_nothing_can_be_kept_they_are_worked_out_each_time(cache, monkeypatch):
    expected = cache.statistics(list("abc"))
    (path,) = cache.folder.glob("statistics-*")
    path.unlink()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("speech_affect_training.frames.frame_statistics.json.dump", full)
    np.testing.assert_array_equal(cache.statistics(list("abc")), expected)
    assert not path.exists() and not list(cache.folder.glob("*.tmp"))
