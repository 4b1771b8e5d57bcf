"""Identity of the clips that a system is scored on."""

from __future__ import annotations

import re
from dataclasses import dataclass


BY_WORD = "_by_word"  # at the end of a key's text


@dataclass(frozen=True, order=True)
class SplitKey:
    """A split of the corpus, such a split under a condition, or clips that several models predicted, each its part.

    Its text is `test1`, `test1@white_10db`, `cv5`, `left_out` or `cv5_by_word`: so it stands in the names of files and
    in `results.json`.

    Args:
        split: Name of the split; `cv` for all clips, each predicted by the fold that was not trained on its speaker;
            `left_out` for those of corpora that were left out, each predicted by the models trained on the others.
        condition: Name of the condition that its clips were degraded by, such as `white_10db`; empty for none.
        folds: Number of folds of cross-validation; 0 for a split.
        by_word: Whether it is scored against the ratings of each clip's emotion word, beside what listeners rated.
    """

    split: str
    condition: str = ""
    folds: int = 0
    by_word: bool = False

    def __str__(self) -> str:
        view = BY_WORD if self.by_word else ""
        return f"{self.split}{self.folds or ''}{view}{'@' if self.condition else ''}{self.condition}"

    @property
    def pooled(self) -> bool:
        """Whether several models predicted its clips, none of which need be that of the checkpoint."""
        return self.split in ("cv", "left_out")

    @classmethod
    def parse(cls, text: str) -> SplitKey:
        """Read the key that `str` wrote."""
        split, _, condition = text.partition("@")
        split, by_word = split.removesuffix(BY_WORD), split.endswith(BY_WORD)
        folds = re.fullmatch(r"cv(\d+)", split)
        return cls("cv", condition, int(folds[1]), by_word) if folds else cls(split, condition, by_word=by_word)
