"""Pre-training of a student: which frames of which encoder it learns to predict."""

import math
from dataclasses import dataclass
from typing import get_type_hints

from speech_affect import AffectEncoderConfig, AffectFusionConfig
from speech_affect.configuration_affect import AffectBranchConfig

from .checks import check_mapping, did_you_mean


@dataclass(frozen=True)
class Pretraining:
    """What the TC-GRU of a student learns before its own training: to predict an encoder's frames, from audio alone.

    Args:
        source: Name of a speech encoder.
        hidden_state: Which of its hidden states: an index, or `last`.
        max_steps: Number of updates, at least 1.
        learning_rate: Greater than 0; other training arguments are those of the system.
        unlabelled: Learn from the run's unlabelled audio too, beside the system's training clips.
    """

    source: str
    hidden_state: int | str = "last"
    max_steps: int = 2000
    learning_rate: float = 1e-3
    unlabelled: bool = False

    def __post_init__(self):
        if self.hidden_state == "weighted_sum":
            raise ValueError("hidden_state is 'weighted_sum', which is no single one; give an index or last")
        if self.max_steps < 1:
            raise ValueError(f"max_steps is {self.max_steps}; give 1 or more")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; give a finite number above 0")

    @property
    def branch(self) -> dict:
        """Arguments of [`AffectBranchConfig`] of the predicted frames."""
        return {"source": self.source, "hidden_state": self.hidden_state}


def read_pretraining(place: str, given: dict | None, encoders: dict) -> Pretraining | None:
    """Check the pre-training of a system, whose encoder must be in the recipe; messages begin with the place.

    Raises:
        ValueError: A setting does not exist or is not allowed.
    """
    if given is None:
        return None
    check_mapping(place, given, get_type_hints(Pretraining))
    source = given.get("source")
    if source not in encoders:
        known = ", ".join(encoders) or "the recipe has none"
        raise ValueError(f"{place} has source {source!r}; name an encoder: {known}{did_you_mean(source, encoders)}")
    try:
        pretraining = Pretraining(**given)
        AffectBranchConfig(**pretraining.branch)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    return pretraining


def frames_per_output(
    place: str, pretraining: Pretraining, branch: dict, encoders: dict[str, AffectEncoderConfig]
) -> int:
    """Return how many of the predicted frames one output of the student's TC-GRU spans.

    Args:
        place: Of the pre-training, in messages.
        pretraining: Which frames are predicted.
        branch: Arguments of [`AffectBranchConfig`] of the student.
        encoders: Configurations of the run's encoders by name.

    Raises:
        ValueError: It is no whole number, or the encoder reads text or does not have this hidden state.
    """
    source = pretraining.source
    try:
        config = AffectFusionConfig(
            branches=[branch, pretraining.branch], encoders={source: encoders[source].to_dict()}
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    own, predicted = config.branches
    if config.is_text_branch(predicted):
        raise ValueError(f"{place} has source {source!r}, which reads text; name an encoder of speech")
    span, hop = config.branch_hop(own) * own.conv_stride, config.branch_hop(predicted)
    if span % hop:
        raise ValueError(
            f"{place}: an output of the student spans {span} samples, which is no multiple of the {hop} of a frame of "
            f"{source!r}; choose hop_s and conv_stride of its branch accordingly"
        )
    return span // hop
