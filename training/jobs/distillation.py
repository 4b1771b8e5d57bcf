"""What a student learns from its teachers: their outputs as targets, the losses on them, and their trainer."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from speech_affect.losses import ccc_losses, embedding_distillation_loss, mean_over_clips, weighted_mean

from ..settings.distillation import Distillation
from .trainer import AffectTrainer


TARGETS = ("teacher_logits", "teacher_embedding", "teacher_emotions")  # in a batch


def combine_teachers(
    logits: Sequence[torch.Tensor],
    embeddings: Sequence[torch.Tensor],
    weights: torch.Tensor,
    emotions: Sequence[torch.Tensor] = (),
) -> dict[str, torch.Tensor]:
    """Combine the outputs of several teachers to a student's targets, clip by clip.

    Args:
        logits: Of each teacher (clips, dimensions); NaN in a dimension that it does not have, where it does not count.
        embeddings: Of each teacher (clips, embedding_size).
        weights: (teachers, clips, dimensions), at least 0, and in each dimension of a clip one above 0.
        emotions: Of each teacher (clips, classes), probabilities of the student's classes; empty without classes.

    Returns:
        `logits`, the weighted mean in each dimension, NaN where no teacher with a weight has it; `embedding`, that of
        the teacher with the highest weight, the first of equals; and `emotions`, the weighted mean of the
        probabilities. For these two a teacher's weight is the mean over dimensions of its share in the sum.

    Raises:
        ValueError: The embeddings are needed of teachers in which they have different sizes.
    """
    counted = torch.where(torch.stack(list(logits)).isnan(), 0.0, weights)
    total = sum(weight * values.nan_to_num() for weight, values in zip(counted, logits, strict=True))
    shares = (weights / weights.sum(dim=0)).mean(dim=-1)
    best = shares.argmax(dim=0)
    targets = {"logits": total / counted.sum(dim=0), "embedding": embeddings[0]}
    if best.any():
        sizes = sorted({embedding.shape[1] for embedding in embeddings})
        if len(sizes) > 1:
            raise ValueError(f"the teachers' embeddings have sizes {sizes}; give all the same embedding_size")
        targets["embedding"] = torch.stack(list(embeddings))[best, torch.arange(len(best), device=best.device)]
    if emotions:
        targets["emotions"] = sum(share[:, None] * each for share, each in zip(shares, emotions, strict=True))
    return targets


def class_probabilities(
    logits: torch.Tensor, names: Sequence[str], wanted: Sequence[str], temperature: float
) -> torch.Tensor:
    """Compute the probabilities that a teacher gives to a student's classes.

    Args:
        logits: (clips, teacher's classes).
        names: Of the teacher's classes. Those that the student does not have are left out of the softmax.
        wanted: Names of the student's classes. One that the teacher does not have gets 0.
        temperature: What the logits are divided by.

    Returns:
        (clips, student's classes), each row with a sum of 1.

    Raises:
        ValueError: They have no class in common.
    """
    shared = [name for name in wanted if name in names]
    if not shared:
        raise ValueError(
            f"a teacher's classes are {', '.join(names)}, and its student's {', '.join(wanted)}: none in common; "
            "leave the teacher or emotion_weight out"
        )
    probabilities = logits.new_zeros(len(logits), len(wanted))
    known = logits[:, [list(names).index(name) for name in shared]]
    probabilities[:, [list(wanted).index(name) for name in shared]] = (known / temperature).softmax(dim=1)
    return probabilities


def emotion_distillation_loss(
    logits: torch.Tensor, targets: torch.Tensor, temperature: float, reduce_over_processes: bool = False
) -> torch.Tensor:
    """Compute `T^2 * KL(targets || softmax(logits / T))`, mean over clips (Hinton et al. 2015, arXiv 1503.02531).

    Args:
        logits: (clips, classes), of the student.
        targets: (clips, classes), the teacher's probabilities at this temperature; a row of NaN leaves a clip out.
        temperature: T.
        reduce_over_processes: As in `speech_affect.losses`.

    Returns:
        A scalar, at least 0.
    """
    counted, targets = ~targets.isnan().any(dim=1), targets.nan_to_num().to(logits.dtype)
    values = F.kl_div((logits / temperature).log_softmax(dim=1), targets, reduction="none").sum(dim=1)
    return temperature**2 * mean_over_clips(values, counted, reduce_over_processes)


class DistillationTrainer(AffectTrainer):
    """Add the teacher's part to the loss: CCC to its outputs, cosine to its embedding, KL to its classes.

    The batches hold `teacher_logits` (batch, dimensions), on the label scale, `teacher_embedding` (batch,
    embedding_size), and, if classes are distilled, `teacher_emotions` (batch, classes), probabilities.
    """

    def __init__(self, *args, distillation: Distillation, **kwargs):
        super().__init__(*args, **kwargs)
        self.distillation = distillation

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = dict(inputs)
        to_logits, to_embedding, to_emotions = (inputs.pop(name, None) for name in TARGETS)
        outputs = model(**inputs)
        if to_logits is None:  # evaluation, by the labels alone
            return (outputs.loss, outputs) if return_outputs else outputs.loss
        weights, config = self.distillation, self.accelerator.unwrap_model(model).config
        # all processes step together in training, so the sums may run over all of them
        several = model.training
        parts = {
            "outputs": weighted_mean(ccc_losses(outputs.logits, to_logits, several), config.ccc_weights),
            "embedding": embedding_distillation_loss(outputs.embedding, to_embedding, several),
        }
        loss = weights.label_weight * outputs.loss + weights.output_weight * parts["outputs"]
        loss = loss + weights.embedding_weight * parts["embedding"]
        if to_emotions is not None:
            logits = outputs.emotion_logits
            parts["emotion"] = emotion_distillation_loss(logits, to_emotions, weights.temperature, several)
            loss = loss + weights.emotion_weight * parts["emotion"]
        loss = loss + self.auxiliary_loss(outputs)
        self._keep_parts(model, {**outputs.loss_parts, **{f"distil_{name}": part for name, part in parts.items()}})
        return (loss, outputs) if return_outputs else loss
