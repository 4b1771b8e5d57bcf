"""How a student learns from its teachers."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Distillation:
    """Weights in a distilled student's loss: at least 0, finite, and not all 0.

    Args:
        label_weight: Weight of the loss on the clip's own labels.
        output_weight: Weight of the CCC loss on the teacher's outputs.
        embedding_weight: Weight of `1 - cosine` between the embeddings.
        emotion_weight: Weight of the KL divergence of the student's classes from the teacher's.
        temperature: What logits of classes are divided by for it.
    """

    label_weight: float = 1.0
    output_weight: float = 1.0
    embedding_weight: float = 1.0
    emotion_weight: float = 0.0
    temperature: float = 2.0

    def __post_init__(self):
        weights = (self.label_weight, self.output_weight, self.embedding_weight, self.emotion_weight)
        if not (all(0 <= weight < math.inf for weight in weights) and any(weights)):
            raise ValueError(f"distillation weights are {weights}; each must be finite and >= 0, and one above 0")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature of distillation is {self.temperature}; give a finite number above 0")
