"""Running means of a hidden sequence that comes in pieces: over all of it, and over each second."""

from __future__ import annotations

import torch


class StreamPool:
    """
    Sums and counts in double precision, on the CPU: some accelerators have none.

    Attributes are replaced, never changed in place, so that copies share what they hold.

    Args:
        hop: samples between two of its frames.
        sampling_rate: in hertz.
    """

    def __init__(self, hop: int, sampling_rate: int):
        self.hop, self.sampling_rate = hop, sampling_rate
        self.count = 0
        self.total: torch.Tensor | float = 0.0
        self.seconds: dict[int, tuple[torch.Tensor, int]] = {}  # sum and count of those not yet given out

    @property
    def mean(self) -> torch.Tensor:
        return self.total / self.count

    @property
    def whole_seconds(self) -> int:
        """Seconds that have all their frames."""
        return self.count * self.hop // self.sampling_rate

    def add(self, hidden: torch.Tensor) -> None:
        """(frames, width)"""
        hidden = hidden.to("cpu", torch.float64)
        self.total = self.total + hidden.sum(dim=0)
        places = (self.count + torch.arange(len(hidden))) * self.hop // self.sampling_rate
        numbers, counts = places.unique_consecutive(return_counts=True)
        added = dict(self.seconds)
        for number, part in zip(numbers.tolist(), hidden.split(counts.tolist()), strict=True):
            total, count = added.get(number, (0.0, 0))
            added[number] = (total + part.sum(dim=0), count + len(part))
        self.seconds = added
        self.count += len(hidden)

    def mean_of(self, second: int) -> torch.Tensor:
        total, count = self.seconds[second]
        return total / count

    def forget(self, past: int) -> None:
        """Seconds before this one have been given out."""
        self.seconds = {number: part for number, part in self.seconds.items() if number >= past}
