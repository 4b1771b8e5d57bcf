"""Length buckets: every clip once, batches of similar length, an order that seed and epoch decide."""

import numpy as np
import pytest

from speech_affect_training.frames import length_buckets
from speech_affect_training.frames.length_buckets import LengthBucketSampler


def padding(lengths: np.ndarray, order: list[int], batch_size: int) -> float:
    """Share of a padded epoch that is padding."""
    batches = [lengths[order[i : i + batch_size]] for i in range(0, len(order), batch_size)]
    return 1 - lengths.sum() / sum(batch.max() * len(batch) for batch in batches)


@pytest.mark.parametrize("count, batch_size", [(1, 4), (4, 4), (7, 4), (64, 1), (23, 8), (500, 3)])
def test_every_clip_once(count, batch_size):
    lengths = np.random.default_rng(0).integers(1, 99, count)
    sampler = LengthBucketSampler(lengths, batch_size, seed=0)
    assert len(sampler) == count and sorted(sampler) == list(range(count))


def test_within_a_bucket_batches_are_exactly_neighbours_in_length():
    lengths = np.random.default_rng(1).permutation(40)
    order = list(LengthBucketSampler(lengths, 8, seed=3))
    batches = [sorted(lengths[order[i : i + 8]]) for i in range(0, 40, 8)]
    assert sorted(batches) == [list(range(i, i + 8)) for i in range(0, 40, 8)]
    assert batches != sorted(batches) and batches != sorted(batches, reverse=True)


def test_clips_meet_others_from_bucket_to_bucket(monkeypatch):
    monkeypatch.setattr(length_buckets, "BATCHES_PER_BUCKET", 2)
    lengths = np.arange(40)
    order = list(LengthBucketSampler(lengths, 4, seed=0))
    batches = [sorted(order[i : i + 4]) for i in range(0, 40, 4)]
    # two of four neighbours would be a step of 3 apart at most, were all sorted together
    assert max(batch[-1] - batch[0] for batch in batches) > 3
    assert padding(lengths + 1, order, 4) < padding(lengths + 1, list(np.random.default_rng(0).permutation(40)), 4)


def test_the_smaller_batch_is_last_and_its_clips_are_any():
    sizes = [[order[-2], order[-1]] for order in (list(LengthBucketSampler(range(42), 8, seed=s)) for s in range(20))]
    assert len({tuple(rest) for rest in sizes}) > 15


def test_seed_and_epoch_decide_the_order():
    lengths = np.random.default_rng(2).integers(1, 99, 60)
    sampler, again = (LengthBucketSampler(lengths, 8, seed=5) for _ in range(2))
    first = list(sampler)
    assert list(sampler) == first == list(again)
    again.set_epoch(3)
    third = list(again)
    assert third != first
    sampler.set_epoch(3)
    assert list(sampler) == third
    assert list(LengthBucketSampler(lengths, 8, seed=6)) != first


def test_little_padding_where_clips_differ():
    lengths = np.random.default_rng(0).uniform(275, 1100, 20_000).round()  # frames of 10 ms; 2.75 to 11 s
    assert padding(lengths, list(np.random.default_rng(0).permutation(20_000)), 64) > 0.35
    assert padding(lengths, list(LengthBucketSampler(lengths, 64, seed=0)), 64) < 0.02
