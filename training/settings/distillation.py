"""How a student learns from its teachers."""

import math
from dataclasses import asdict, dataclass
from typing import Literal


ALWAYS_TOLD = ("label_weight", "output_weight", "embedding_weight")


@dataclass(frozen=True)
class Distillation:
    """Weights in a distilled student's loss, at least 0, finite, and not all 0; and how several teachers are combined.

    Args:
        label_weight: Weight of the loss on the clip's own labels.
        output_weight: Weight of the CCC loss on the teacher's outputs.
        embedding_weight: Weight of `1 - cosine` between the embeddings.
        emotion_weight: Weight of the KL divergence of the student's classes from the teacher's.
        temperature: What logits of classes are divided by for it.
        teacher_weights: What the weights of several teachers are, clip by clip. `equal`: the same; `language`: those
            teachers alone that were trained on the clip's language (all, where none was or it is not known);
            `development`: in proportion to each teacher's CCC on the development clips of the clip's corpus.
        fill: Which clips have the teacher's outputs and classes as targets: `all`, or, in each dimension and for the
            classes by themselves, those alone that have no label (`missing`).
    """

    label_weight: float = 1.0
    output_weight: float = 1.0
    embedding_weight: float = 1.0
    emotion_weight: float = 0.0
    temperature: float = 2.0
    teacher_weights: Literal["equal", "language", "development"] = "equal"
    fill: Literal["all", "missing"] = "all"

    def __post_init__(self):
        weights = (self.label_weight, self.output_weight, self.embedding_weight, self.emotion_weight)
        if not (all(0 <= weight < math.inf for weight in weights) and any(weights)):
            raise ValueError(f"distillation weights are {weights}; each must be finite and >= 0, and one above 0")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature of distillation is {self.temperature}; give a finite number above 0")

    def told(self) -> dict:
        """Return the settings as JSON: without those that are not used, which came later than results that exist."""
        return {n: value for n, value in asdict(self).items() if n in ALWAYS_TOLD or value != getattr(type(self), n)}
