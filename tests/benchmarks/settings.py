"""What every benchmark is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """
    Args:
        quick: toy sizes and two rounds.
        cores: that may be used; measurements are pinned to the first, second processes to the second.
        folder: for temporary files.
        audio: what the files are, in words.
        files: 16 kHz speech, a few seconds each.
    """

    quick: bool
    cores: list[int]
    folder: Path
    audio: str
    files: list[Path]

    def rounds(self, full: int) -> int:
        """How often each contender has its turn."""
        return 2 if self.quick else full
