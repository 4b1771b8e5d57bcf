"""Identity of the clips that a system is scored on."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class SplitKey:
    """A split of the corpus, such a split under a condition, or all clips in cross-validation.

    Its text is `test1`, `test1@white_10db` or `cv5`: so it stands in the names of files and in `results.json`.

    Args:
        split: Name of the split; `cv` for all clips, each predicted by the fold that was not trained on its speaker.
        condition: Name of the condition that its clips were degraded by, such as `white_10db`; empty for none.
        folds: Number of folds of cross-validation; 0 for a split.
    """

    split: str
    condition: str = ""
    folds: int = 0

    def __str__(self) -> str:
        return f"{self.split}{self.folds or ''}{'@' if self.condition else ''}{self.condition}"

    @classmethod
    def parse(cls, text: str) -> SplitKey:
        """Read the key that `str` wrote."""
        split, _, condition = text.partition("@")
        folds = re.fullmatch(r"cv(\d+)", split)
        return cls("cv", condition, int(folds[1])) if folds else cls(split, condition)
