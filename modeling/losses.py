"""Training losses, exact over all processes: concordance, classes and votes, uncertainty, distillation."""

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
        values: (batch,) or (batch, dimensions).
        counted: bool, of the same shape.
        reduce_over_processes: as in [`concordance`].

    Returns:
        () or (dimensions,).
    """
    sums = torch.stack([torch.where(counted, values, 0.0).sum(0), counted.to(values.dtype).sum(0)])
    if reduce_over_processes:
        sums = sum_over_processes(sums)
    return sums[0] / sums[1].clamp(min=1)


def class_loss(
    logits: torch.Tensor, labels: torch.Tensor, reduce_over_processes: bool = False, name: str = "labels"
) -> torch.Tensor:
    """
    Cross-entropy of classes, a scalar.

    Args:
        logits: (batch, classes).
        labels: (batch,) class indices, of an integer type; -100 where a clip has none.
        reduce_over_processes: as in [`concordance`].
        name: what errors call the labels.

    Raises:
        ValueError: the labels have another type or shape, or name a class that does not exist.
    """
    if not _is_integer(labels) or labels.shape != logits.shape[:1]:
        raise ValueError(f"{name} are {_described(labels)}; give {_indices(logits)}")
    labels = labels.long()
    known = labels != -100
    if (known & ((labels < 0) | (labels >= logits.shape[1]))).any():
        raise ValueError(f"{name} hold {int(labels.min())} to {int(labels.max())}; give {_indices(logits)}")
    values = F.cross_entropy(logits, labels, ignore_index=-100, reduction="none")
    return mean_over_clips(values, known, reduce_over_processes)


def vote_loss(
    logits: torch.Tensor, votes: torch.Tensor, reduce_over_processes: bool = False, name: str = "votes"
) -> torch.Tensor:
    """
    Cross-entropy to the graders' votes, `-sum_c votes_c log softmax(logits)_c`, a scalar.

    It is the mean over the graders of the cross-entropy to each one's choice.

    Args:
        logits: (batch, classes).
        votes: (batch, classes), the share of each class: not negative, each row with a sum of 1 (to 0.01, as half
            precision gives it). A row of NaN is a clip without votes.
        reduce_over_processes: as in [`concordance`].
        name: what errors call the votes.

    Raises:
        ValueError: another type or shape, or rows that are no distribution.
    """
    if not votes.is_floating_point() or votes.shape != logits.shape:
        raise ValueError(f"{name} are {_described(votes)}; give {_shares(logits)}")
    known = ~votes.isnan().all(dim=1)
    wrong = known & ~((votes >= 0).all(dim=1) & ((votes.sum(dim=1) - 1).abs() <= 0.01))
    if wrong.any():
        row = votes[wrong][0].tolist()
        raise ValueError(f"{name} have a row {row}, which is no distribution; give {_shares(logits)}")
    values = F.cross_entropy(logits, torch.where(known.unsqueeze(1), votes, 0.0).to(logits.dtype), reduction="none")
    return mean_over_clips(values, known, reduce_over_processes)


def emotion_loss(logits: torch.Tensor, labels: torch.Tensor, reduce_over_processes: bool = False) -> torch.Tensor:
    """
    Cross-entropy of emotion classes, to one class per clip ([`class_loss`]) or to the votes ([`vote_loss`]).

    Args:
        logits: (batch, classes).
        labels: (batch,) integer class indices, -100 where a clip has none; or (batch, classes) floating-point votes.
        reduce_over_processes: as in [`concordance`].

    Raises:
        ValueError: neither of the two.
    """
    if labels.ndim == 1 and _is_integer(labels):
        return class_loss(logits, labels, reduce_over_processes, "emotion_labels")
    if labels.ndim == 2 and labels.is_floating_point():
        return vote_loss(logits, labels, reduce_over_processes, "emotion_labels")
    raise ValueError(f"emotion_labels are {_described(labels)}; give {_indices(logits)}, or {_shares(logits)}")


def _is_integer(labels):
    return not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)


def _described(labels):
    return f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"


def _indices(logits):
    batch, classes = logits.shape
    return f"integer class indices of shape ({batch},), 0 to {classes - 1}, or -100 for none"


def _shares(logits):
    shape = tuple(logits.shape)
    return f"floating-point votes of shape {shape}, each row not negative with a sum of 1, or all NaN for none"


def uncertainty_losses(
    log_std: torch.Tensor,
    means: torch.Tensor,
    targets: torch.Tensor,
    variances: torch.Tensor | None = None,
    reduce_over_processes: bool = False,
) -> torch.Tensor:
    """
    Negative log-likelihood of the grades under a Gaussian, per dimension: how wide the model says a grade may stray.

    `log s + ((target - mean)^2 + variance) / (2 s^2)`, without the constant `log(2 pi) / 2` (Nix and Weigend 1994,
    ICNN, for one grade). Where the target is the mean of several grades and `variance` their population variance
    about it, this is exactly the mean over the single grades.

    The means get no gradient. The likelihood would pull them towards the conditional mean, which varies less than
    the labels and so costs concordance, and divide each clip's pull by `s^2`, so that a clip called uncertain stops
    being learnt (Seitzer et al. 2022, arXiv 2203.09168). So `s` describes the error of means that other losses train.
    What the two share (the embedding) is still shaped by both.

    Args:
        log_std: (batch, dimensions), logarithm of `s`.
        means: (batch, dimensions), the model's estimates.
        targets: (batch, dimensions); NaN where a clip has no rating, which leaves it out of that dimension.
        variances: (batch, dimensions), finite and not negative; NaN counts as 0, and so does `None`: the target is
            one grade.
        reduce_over_processes: as in [`concordance`].

    Returns:
        (dimensions,), of either sign; 0 where no clip is rated.

    Raises:
        ValueError: the variances have another shape than the targets, or one is negative or infinite.
    """
    rated = torch.isfinite(targets)
    squares = torch.where(rated, targets - means.detach(), 0.0).double() ** 2
    if variances is not None:
        _check_variances(variances, targets)
        squares = squares + torch.where(variances.isnan(), 0.0, variances).double()
    log_s = log_std.double()
    values = log_s + squares * torch.exp(-2 * log_s) / 2
    return mean_over_clips(values, rated, reduce_over_processes).to(log_std.dtype)


def _check_variances(variances, targets):
    if variances.shape != targets.shape:
        raise ValueError(
            f"label_variances have shape {tuple(variances.shape)}; they must be as the labels, {tuple(targets.shape)}"
        )
    wrong = (variances < 0) | variances.isinf()
    if wrong.any():
        raise ValueError(
            f"label_variances hold {int(wrong.sum())} number(s) that are negative or infinite; a variance is neither, "
            "and is 0 or NaN where a clip has no single grades"
        )


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
