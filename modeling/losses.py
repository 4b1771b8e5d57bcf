"""Training losses: concordance (exact over all processes), emotion classes, distillation."""

import torch
import torch.distributed as dist
from torch.nn import functional as F


class _AllReduceSum(torch.autograd.Function):
    """Sum over processes; the gradient is the sum of all processes' gradients, so DDP's mean gives the exact one."""

    @staticmethod
    def forward(ctx, tensor):
        tensor = tensor.clone()
        dist.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """Differentiable sum of a tensor over all data-parallel processes; itself when there is one."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        return _AllReduceSum.apply(tensor)
    return tensor


def concordance(predictions: torch.Tensor, targets: torch.Tensor, reduce_over_processes: bool) -> torch.Tensor:
    """
    Lin's concordance correlation coefficient per dimension, over the batches of all processes as one.

    `2 cov(x, y) / (var x + var y + (mean x - mean y)^2)` with population moments (Lin 1989, Biometrics 45:255),
    summed in float64.

    Args:
        predictions: (batch, dimensions).
        targets: (batch, dimensions); NaN where a clip has no rating, which leaves it out of that dimension.
        reduce_over_processes: sum the moments over data-parallel processes; every process must then call this.

    Returns:
        (dimensions,) in [-1, 1], float64; 0 where fewer than two clips are rated or nothing varies.
    """
    rated = torch.isfinite(targets)
    x = torch.where(rated, predictions, 0.0).double()
    y = torch.where(rated, targets, 0.0).double()
    sums = torch.stack([rated.double().sum(0), x.sum(0), y.sum(0), (x * x).sum(0), (y * y).sum(0), (x * y).sum(0)])
    if reduce_over_processes:
        sums = sum_over_processes(sums)
    n = sums[0].clamp(min=1)
    mean_x, mean_y = sums[1] / n, sums[2] / n
    spread = sums[3] / n - mean_x**2 + sums[4] / n - mean_y**2 + (mean_x - mean_y) ** 2
    covariance = sums[5] / n - mean_x * mean_y
    varies = spread > 1e-12
    return torch.where(varies, 2 * covariance / torch.where(varies, spread, 1.0), 0.0)


def ccc_losses(predictions: torch.Tensor, targets: torch.Tensor, reduce_over_processes: bool = False) -> torch.Tensor:
    """`1 - CCC` per dimension, (dimensions,) in [0, 2]; arguments as in [`concordance`]."""
    return (1 - concordance(predictions, targets, reduce_over_processes)).to(predictions.dtype)


def weighted_mean(values: torch.Tensor, weights) -> torch.Tensor:
    """Mean of (dimensions,) values under weights of which only the ratios matter."""
    weights = torch.as_tensor(weights, dtype=values.dtype, device=values.device)
    return (values * weights).sum() / weights.sum()


def mean_over_clips(values: torch.Tensor, counted: torch.Tensor, reduce_over_processes: bool) -> torch.Tensor:
    """
    Mean of per-clip losses over the counted clips of all processes; 0 when there are none.

    Args:
        values: (batch,).
        counted: (batch,) bool.
        reduce_over_processes: as in [`concordance`].
    """
    sums = torch.stack([torch.where(counted, values, 0.0).sum(), counted.to(values.dtype).sum()])
    if reduce_over_processes:
        sums = sum_over_processes(sums)
    return sums[0] / sums[1].clamp(min=1)


def emotion_loss(logits: torch.Tensor, labels: torch.Tensor, reduce_over_processes: bool = False) -> torch.Tensor:
    """
    Cross-entropy of emotion classes.

    Args:
        logits: (batch, classes).
        labels: (batch,) class indices; -100 where a clip has none.
        reduce_over_processes: as in [`concordance`].
    """
    values = F.cross_entropy(logits, labels, ignore_index=-100, reduction="none")
    return mean_over_clips(values, labels != -100, reduce_over_processes)


def embedding_distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, reduce_over_processes: bool = False
) -> torch.Tensor:
    """
    `1 - cosine` between the student's and the teacher's utterance embedding, a scalar in [0, 2].

    Args:
        student, teacher: (batch, embedding_size), equal shapes.
        reduce_over_processes: as in [`concordance`].

    Raises:
        ValueError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's embedding is {tuple(student.shape)} and the teacher's {tuple(teacher.shape)}: "
            "give both configs the same embedding_size"
        )
    values = 1 - F.cosine_similarity(student, teacher, dim=-1)
    return mean_over_clips(values, torch.ones_like(values, dtype=torch.bool), reduce_over_processes)
