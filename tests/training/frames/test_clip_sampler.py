"""The order of training clips: each once, corpora in their shares, batches of similar length."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from speech_affect_training.frames import clip_sampler
from speech_affect_training.frames.clip_sampler import ClipSampler


@pytest.mark.parametrize("count, batch_size", [(1, 4), (4, 4), (64, 1), (500, 3)])
def test_the_sampler_gives_every_clip_once(count, batch_size):
    lengths = np.random.default_rng(0).integers(1, 99, count)
    sampler = ClipSampler([""] * count, 0, lengths=lengths, batch_size=batch_size)
    assert len(sampler) == count and sorted(sampler) == list(range(count))


def by_length(lengths, batch_size: int, seed: int) -> ClipSampler:
    return ClipSampler([""] * len(lengths), seed, lengths=lengths, batch_size=batch_size)


def test_batches_are_neighbours_in_length_within_a_bucket_alone(monkeypatch):
    lengths = np.random.default_rng(1).permutation(40)
    order = list(by_length(lengths, 8, seed=3))
    batches = [sorted(lengths[order[i : i + 8]]) for i in range(0, 40, 8)]
    assert sorted(batches) == [list(range(i, i + 8)) for i in range(0, 40, 8)]
    assert batches != sorted(batches) and batches != sorted(batches, reverse=True)
    monkeypatch.setattr(clip_sampler, "BATCHES_PER_BUCKET", 2)
    order = list(by_length(np.arange(40), 4, seed=0))
    batches = [sorted(order[i : i + 4]) for i in range(0, 40, 4)]
    # two of four neighbours would be a step of 3 apart at most, were all sorted together
    assert max(batch[-1] - batch[0] for batch in batches) > 3


def test_the_smaller_batch_is_last_and_its_clips_are_random():
    sizes = [[order[-2], order[-1]] for order in (list(by_length(range(42), 8, seed=s)) for s in range(20))]
    assert len({tuple(rest) for rest in sizes}) > 15


def test_seed_and_epoch_decide_the_order():
    lengths = np.random.default_rng(2).integers(1, 99, 60)
    sampler, again = (by_length(lengths, 8, seed=5) for _ in range(2))
    first = list(sampler)
    assert list(sampler) == first == list(again)
    for each in (sampler, again):
        each.set_epoch(3)
    assert list(sampler) == list(again) != first
    assert list(by_length(lengths, 8, seed=6)) != first


CORPORA = ["a"] * 30 + ["b"] * 6 + ["c"] * 64
SHARES = {"a": 3.0, "b": 1.0, "c": 1.0}


def test_every_batch_has_the_shares():
    order = list(ClipSampler(CORPORA, 0, SHARES))
    names = np.array(CORPORA)[order]
    assert Counter(names) == {"a": 60, "b": 20, "c": 20}
    for start in range(0, 100, 10):
        counts = Counter(names[start : start + 10])
        assert abs(counts["a"] - 6) <= 1 and abs(counts["b"] - 2) <= 1 and abs(counts["c"] - 2) <= 1
    assert names.tolist() != sorted(names.tolist()) and len(set(order)) == 30 + 6 + 20


def test_a_corpus_comes_in_passes_that_go_on_in_the_next_epoch():
    sampler = ClipSampler(CORPORA, 1, SHARES)
    drawn: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for epoch in range(16):
        sampler.set_epoch(epoch)
        for name in drawn:
            drawn[name] += [index for index in sampler if CORPORA[index] == name]
    assert Counter(drawn["c"]) == dict.fromkeys(range(36, 100), 5)  # 16 epochs of 20 are 5 passes over 64
    assert Counter(drawn["a"]) == dict.fromkeys(range(30), 32)
    assert set(Counter(drawn["b"]).values()) == {53, 54}  # 320 of 6


def test_shares_hold_with_batches_of_similar_length():
    lengths = np.random.default_rng(0).permutation(100)
    order = list(ClipSampler(CORPORA, 0, SHARES, lengths, batch_size=10))
    assert sorted(order) == sorted(ClipSampler(CORPORA, 0, SHARES))
    batches = sorted(sorted(lengths[order[start : start + 10]].tolist()) for start in range(0, 100, 10))
    assert all(shorter[-1] <= longer[0] for shorter, longer in pairwise(batches))


def test_seed_and_epoch_decide_the_order_by_shares():
    def make(seed: int, epoch: int) -> list[int]:
        sampler = ClipSampler(CORPORA, seed, SHARES)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert make(4, 2) == make(4, 2)
    assert len({tuple(order) for order in (make(4, 2), make(4, 3), make(5, 2))}) == 3
    assert len({tuple(sorted(order)) for order in (make(4, 2), make(4, 3), make(5, 2))}) == 3


def test_clips_that_change_are_numbered_by_epoch():
    plain, numbered = (ClipSampler(["a"] * 10, 3, by_epoch=by_epoch) for by_epoch in (False, True))
    for epoch in (0, 2):
        plain.set_epoch(epoch)
        numbered.set_epoch(epoch)
        assert list(numbered) == [10 * epoch + row for row in plain]


def test_what_remains_goes_to_the_largest_remainder():
    # 10 clips by 1 : 1 : 1.5 are 2.86, 2.86 and 4.29
    order = list(ClipSampler(["a", "b", *"cccccccc"], 0, {"a": 1, "b": 1, "c": 1.5}))
    assert [order.count(0), order.count(1), len(order)] == [3, 3, 10]


@pytest.mark.parametrize(
    "shares, message",
    [
        ({"a": 1.0, "b": 1.0}, "shares are of a, b; the training clips are of a, b, c"),
        ({"a": 1.0, "b": 0.001, "c": 1.0}, "the share of b is 0.001 of 2.001, which is none of 100 training clips"),
    ],
)
def test_shares_that_do_not_fit(shares, message):
    with pytest.raises(ValueError, match=message):
        ClipSampler(CORPORA, 0, shares)
