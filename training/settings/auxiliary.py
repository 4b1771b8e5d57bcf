"""Classifiers on the embedding that exist in training alone: what they tell apart, and with which weight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_type_hints

from .checks import check_mapping, check_names


# what is told apart -> the column of a clip table that has it
TASKS = {"speaker": "speakers", "corpus": "corpora", "language": "languages"}


@dataclass(frozen=True)
class Auxiliary:
    """A classifier on the embedding, which is thrown away after training.

    Args:
        weight: Weight of its cross-entropy in the loss, finite and greater than 0.
        reversed: The embedding gets the gradient with the opposite sign: the classifier learns, the embedding unlearns
            (Ganin and Lempitsky 2015, arXiv 1409.7495). At update s that gradient is multiplied by
            `2 / (1 + exp(-10 s / ramp_steps)) - 1`, which rises from 0 to 1.
        ramp_steps: Of `reversed`: 1 or more; by default the number of updates of the training.
        hidden_size: Width of a hidden layer of the classifier; by default it is linear.
    """

    weight: float = 1.0
    reversed: bool = False
    ramp_steps: int | None = None
    hidden_size: int | None = None

    def __post_init__(self):
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight is {self.weight}; give a finite number above 0")
        for name in ("ramp_steps", "hidden_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give 1 or more")
        if self.ramp_steps is not None and not self.reversed:
            raise ValueError("ramp_steps is of a reversed gradient; give reversed: true too, or leave it out")


def read_auxiliary(place: str, given: dict) -> dict[str, Auxiliary]:
    """Check the auxiliary classifiers of a system; messages begin with the place.

    Raises:
        ValueError: A task or a setting does not exist or is not allowed.
    """
    check_names(place, given, TASKS, "task")
    read = {}
    for task, settings in given.items():
        entry = f"{task} in {place}"
        check_mapping(entry, settings, get_type_hints(Auxiliary))
        try:
            read[task] = Auxiliary(**settings)
        except ValueError as error:
            raise ValueError(f"{entry}: {error}") from error
    return read
