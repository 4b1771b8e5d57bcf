"""The order of training clips: corpora in stated shares, and batches of clips of similar length."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch.utils.data import Sampler


# batches that are sorted by length together: more of them need less padding, fewer mix the clips better
BATCHES_PER_BUCKET = 50


class ClipSampler(Sampler[int]):
    """Order the clips of an epoch, as many as there are.

    Without shares each clip comes once, at random. With shares each corpus has its share of the epoch, spread evenly,
    so that every batch has about that share of it too. Its clips come in random passes, all of them before one comes
    again, which go on from epoch to epoch.

    With lengths the clips in that order are cut into buckets, each is sorted by length and cut into batches, and the
    batches are shuffled.

    For items that change from epoch to epoch a clip's number is its row plus the epoch times the number of rows.

    The order depends on seed and epoch alone, so it is the same in every process and after a resumption.

    Args:
        corpora: Name of each clip's corpus.
        seed: Of the order.
        shares: Of each corpus in an epoch, greater than 0; they are divided by their sum.
        lengths: Of each clip.
        batch_size: Clips per batch of similar length, of all processes together.
        by_epoch: Whether items change from epoch to epoch.

    Raises:
        ValueError: The shares are of other corpora, or one is so small that no clip would come.
    """

    def __init__(
        self,
        corpora: Sequence[str],
        seed: int,
        shares: Mapping[str, float] | None = None,
        lengths: Sequence[int] | None = None,
        batch_size: int = 1,
        by_epoch: bool = False,
    ):
        self.count = len(corpora)
        self.seed = seed
        self.lengths = None if lengths is None else np.asarray(lengths)
        self.batch_size = batch_size
        self.by_epoch = by_epoch
        self.epoch = 0
        self.members: list[np.ndarray] = []  # clips of each corpus that has a share
        self.quotas: list[int] = []  # clips that an epoch has of each
        if shares:
            self._divide(np.asarray(corpora), shares)

    def _divide(self, corpora: np.ndarray, shares: Mapping[str, float]) -> None:
        names = sorted(set(corpora))
        if names != sorted(shares):
            raise ValueError(
                f"shares are of {', '.join(sorted(shares))}; the training clips are of {', '.join(names)}"
            )
        exact = np.array([shares[name] for name in names]) / sum(shares.values()) * self.count
        quotas = np.floor(exact).astype(int)
        quotas[np.argsort(quotas - exact, kind="stable")[: self.count - quotas.sum()]] += 1
        for name, quota in zip(names, quotas, strict=True):
            if not quota:
                raise ValueError(
                    f"the share of {name} is {shares[name]:g} of {sum(shares.values()):g}, which is none of "
                    f"{self.count} training clips; give it more, or leave it out"
                )
        self.members = [np.flatnonzero(corpora == name) for name in names]
        self.quotas = quotas.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Give the next pass the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = self._by_share(generator) if self.members else generator.permutation(self.count)
        order = order if self.lengths is None else self._by_length(order, generator)
        return iter((order + self.epoch * self.count * self.by_epoch).tolist())

    def _by_share(self, generator: np.random.Generator) -> np.ndarray:
        drawn = np.concatenate([self._drawn(corpus) for corpus in range(len(self.members))])
        places = [(np.arange(quota) + generator.random(quota)) / quota for quota in self.quotas]
        return drawn[np.argsort(np.concatenate(places), kind="stable")]

    def _drawn(self, corpus: int) -> np.ndarray:
        """Return this epoch's stretch of a corpus's endless row of random passes."""
        members, quota = self.members[corpus], self.quotas[corpus]
        first, skipped = divmod(self.epoch * quota, len(members))
        passes = range(first, first + -(-(skipped + quota) // len(members)))
        orders = [np.random.default_rng([self.seed, number, corpus + 1]).permutation(members) for number in passes]
        return np.concatenate(orders)[skipped : skipped + quota]

    def _by_length(self, order: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        # the last, smaller batch holds random clips, not the longest or shortest
        whole, rest = np.split(order, [self.count - self.count % self.batch_size])
        buckets = np.split(whole, range(0, len(whole), BATCHES_PER_BUCKET * self.batch_size)[1:])
        by_length = np.concatenate([bucket[np.argsort(self.lengths[bucket], kind="stable")] for bucket in buckets])
        batches = generator.permutation(by_length.reshape(-1, self.batch_size))
        return np.concatenate([batches.ravel(), rest])
