"""An encoder that a run makes: smaller than another one, whose hidden states it learns to predict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_type_hints

from .checks import check_mapping, check_training, did_you_mean


@dataclass(frozen=True)
class DistilledEncoder:
    """A speech encoder of the source's family that learns from it on unlabelled speech alone (DistilHuBERT, Chang et
    al. 2022), before any system is trained.

    Args:
        distilled_from: Name of the source, an encoder of the recipe.
        hidden_states: Those of the source that it learns to predict: indices, or `last`.
        config: Settings in which its configuration differs from the source's, such as `encoder_layers`.
        training: Training arguments over those of the run. `max_steps` is needed; 0 leaves its first weights as they
            are.
        cosine_weight: Weight of `-log sigmoid(cosine)` beside the mean absolute difference, 0 or more.
    """

    distilled_from: str
    hidden_states: list[int | Literal["last"]]
    config: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    cosine_weight: float = 1.0

    @property
    def max_steps(self) -> int:
        """Number of updates."""
        return self.training["max_steps"]

    @property
    def branches(self) -> list[dict]:
        """Arguments of [`AffectBranchConfig`] of the predicted hidden states."""
        return [{"source": self.distilled_from, "hidden_state": state} for state in self.hidden_states]


def check_distilled(name: str, entry: dict, encoders: Mapping[str, dict]) -> None:
    """Check a recipe's settings of such an encoder, whose source must be among the recipe's encoders.

    Raises:
        ValueError: A setting is missing, does not exist or is not allowed.
    """
    place = f"encoder {name!r}"
    check_mapping(place, entry, get_type_hints(DistilledEncoder))
    sources = [other for other, settings in encoders.items() if not is_distilled(settings)]
    if entry["distilled_from"] not in sources:
        known = f"{', '.join(sources) or 'the recipe has none'}{did_you_mean(entry['distilled_from'], sources)}"
        raise ValueError(
            f"{place} has distilled_from: {entry['distilled_from']!r}; name an encoder that has an id: {known}"
        )
    states = entry.get("hidden_states") or []
    if not states or len(set(states)) != len(states):
        raise ValueError(f"{place} has hidden_states: {states}; give those of the source to predict, each once")
    if not 0 <= entry.get("cosine_weight", 1.0) < math.inf:
        raise ValueError(f"{place} has cosine_weight: {entry['cosine_weight']}; give a finite number of 0 or more")
    training = entry.get("training", {})
    check_training(f"training of {place}", training)
    if not isinstance(training.get("max_steps"), int) or training["max_steps"] < 0:
        raise ValueError(f"training of {place} needs max_steps, the number of updates; give 0 or more")


def is_distilled(entry: dict) -> bool:
    """Return whether the run makes this encoder, given its settings in the recipe."""
    return isinstance(entry, dict) and "distilled_from" in entry


def fetched(name: str, encoders: Mapping[str, dict]) -> dict:
    """Return the settings of the encoder that has to be fetched for this one: of itself, or of its source."""
    return encoders[encoders[name].get("distilled_from", name)]
