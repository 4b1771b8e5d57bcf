"""Classifiers on the embedding in training: they tell speakers, corpora or languages apart, and are not saved."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from transformers import TrainerCallback

from speech_affect.losses import class_loss

from ..corpora.clip_table import ClipTable
from ..frames.frame_dataset import class_indices
from ..settings.auxiliary import TASKS, Auxiliary
from ..settings.labels import UNKNOWN, UNLABELLED
from ..settings.systems import SystemSpec


NO_CLASS = (None, "", UNKNOWN, UNLABELLED)
HEADS = "auxiliary"  # name of the classifiers in the model
PART = "auxiliary_"  # what the names of their targets in a batch, and of their parts of the loss, begin with


def auxiliary_targets(spec: SystemSpec, table: ClipTable) -> dict[str, np.ndarray]:
    """Return for each auxiliary task of a system the class (clips,) of its training clips, -100 where it is not known.

    Raises:
        ValueError: A task has fewer than two classes.
    """
    targets = {}
    for task in spec.auxiliary:
        names = getattr(table, TASKS[task])
        known = sorted(set(names).difference(NO_CLASS))
        if len(known) < 2:
            raise ValueError(
                f"system {spec.name!r} has auxiliary: {task}, but the known {TASKS[task]} of its training clips are "
                f"{', '.join(known) or 'none'}; there must be two, or leave the task out"
            )
        targets[task] = class_indices(names, known)
    return targets


class AuxiliaryHeads(nn.Module):
    """A classifier per task.

    Args:
        tasks: Their settings.
        classes: Number of classes of each.
        width: Of the embedding.
    """

    def __init__(self, tasks: Mapping[str, Auxiliary], classes: Mapping[str, int], width: int):
        super().__init__()
        self.tasks = dict(tasks)
        self.classifiers = nn.ModuleDict(
            {name: _classifier(width, task.hidden_size, classes[name]) for name, task in self.tasks.items()}
        )
        self.set_step(0, 1)

    def set_step(self, step: int, steps: int) -> None:
        """Set how far the training is: the number of updates made, and of all, from which the ramps follow."""
        self.ramps = {
            name: 2 / (1 + math.exp(-10 * step / (task.ramp_steps or steps))) - 1 for name, task in self.tasks.items()
        }

    def forward(self, embedding: torch.Tensor, targets: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute the cross-entropy of each task, a scalar: in training that of the batches of all processes as one.

        Args:
            embedding: (batch, width).
            targets: Task -> (batch,) class indices; -100 where a clip has none, which leaves it out.
        """
        losses = {}
        for name, classifier in self.classifiers.items():
            if name in targets:
                read = _Reversed.apply(embedding, self.ramps[name]) if self.tasks[name].reversed else embedding
                losses[name] = class_loss(classifier(read).float(), targets[name], self.training, PART + name)
        return losses

    def weighted(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor | float:
        """Return what the tasks add to the loss, of its parts; 0 without any, as in evaluation."""
        return sum(task.weight * parts[PART + name] for name, task in self.tasks.items() if PART + name in parts)


def add_auxiliary(model, tasks: Mapping[str, Auxiliary], targets: Mapping[str, np.ndarray]) -> None:
    """Give a model its auxiliary classifiers: its `forward` takes their targets too, and adds them to `loss_parts`.

    They lie in the model so that they are trained, sharded and resumed with it; [`without_auxiliary`] drops them.
    """
    classes = {name: int(values.max()) + 1 for name, values in targets.items()}
    heads, forward = AuxiliaryHeads(tasks, classes, model.config.embedding_size), model.forward

    def forward_with_auxiliary(**inputs):
        given = {name: inputs.pop(PART + name) for name in tasks if PART + name in inputs}
        outputs = forward(**inputs)
        if given:
            outputs.loss_parts |= {PART + name: loss for name, loss in heads(outputs.embedding, given).items()}
        return outputs

    setattr(model, HEADS, heads)
    model.forward = forward_with_auxiliary


def without_auxiliary(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of a model without those of its auxiliary classifiers."""
    return {name: value for name, value in weights.items() if not name.startswith(f"{HEADS}.")}


class AuxiliaryRamp(TrainerCallback):
    """Tell the classifiers, before each update, how far the training is; so a resumed one goes on where it was."""

    def __init__(self, heads: AuxiliaryHeads):
        self.heads = heads

    def on_step_begin(self, args, state, control, **kwargs):
        self.heads.set_step(state.global_step, state.max_steps)


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a negative factor (Ganin and Lempitsky 2015)."""

    @staticmethod
    def forward(ctx, values, factor: float):
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.factor * gradient, None


def _classifier(width: int, hidden_size: int | None, classes: int) -> nn.Module:
    if hidden_size is None:
        return nn.Linear(width, classes)
    return nn.Sequential(nn.Linear(width, hidden_size), nn.ReLU(), nn.Linear(hidden_size, classes))
