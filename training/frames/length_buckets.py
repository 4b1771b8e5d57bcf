"""Batches of clips of similar length: little padding, in an order that every epoch has anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


# batches that are sorted by length together: more leave less padding, fewer more chance which clips meet
BATCHES_PER_BUCKET = 50


class LengthBucketSampler(Sampler[int]):
    """
    Clips in an order that gives batches of similar length.

    Shuffled clips are cut into buckets, each is sorted by length and cut into batches, and the batches are shuffled.
    The order depends on seed and epoch alone, so it is the same in every process and after a resumption.

    Args:
        lengths: of the clips, in any unit.
        batch_size: clips in a batch of all processes together.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next pass is that of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        shuffled = generator.permutation(len(self))
        # clips over from the last batch are any, not the longest or shortest, and come last
        whole, rest = np.split(shuffled, [len(self) - len(self) % self.batch_size])
        buckets = np.split(whole, range(0, len(whole), BATCHES_PER_BUCKET * self.batch_size)[1:])
        by_length = np.concatenate([bucket[np.argsort(self.lengths[bucket], kind="stable")] for bucket in buckets])
        batches = generator.permutation(by_length.reshape(-1, self.batch_size))
        return iter([*batches.ravel().tolist(), *rest.tolist()])
