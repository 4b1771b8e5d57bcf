"""Training losses, exact over all processes: concordance, classes and votes, uncertainty, distillation.

With `reduce_over_processes` the sums are those of all data-parallel processes, and every process must call the
function; `name` is what errors call the labels.
"""

import torch
import torch.distributed as dist
from torch.nn import functional as F

from .checks import check_losses


# scales of ratings in a batch: an index beyond is a wrong column
MOST_SCALES = 1000


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


def sum_over_processes(tensor: torch.Tensor, reduce_over_processes: bool) -> torch.Tensor:
    """Sum a tensor over the data-parallel processes, differentiably, if that is wanted and there are several."""
    if reduce_over_processes and _several_processes():
        return _AllReduceSum.apply(tensor)
    return tensor


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def model_loss(
    config,
    heads: dict,
    labels: torch.Tensor | None,
    rating_variances: torch.Tensor | None,
    emotion_targets: torch.Tensor | None,
    gender_targets: torch.Tensor | None,
    rating_scales: torch.Tensor | None,
    reduce_over_processes: bool,
) -> tuple[torch.Tensor | None, dict[str, torch.Tensor] | None]:
    """Compute the loss of a model and its parts, of those tasks whose targets are given.

    Args:
        config: the model's.
        heads: of [`AffectRegressor.heads`].
        labels, rating_variances, emotion_targets, gender_targets, rating_scales: as the model's `forward` takes them.

    Returns:
        the weighted sum, and each part before it is weighted; None and None without labels.

    Raises:
        ValueError: labels of the wrong shape or beyond `config.label_range`, or targets of a task that the model does
            not have.
    """
    parts: dict[str, torch.Tensor] = {}
    second: dict[str, torch.Tensor] = {}
    total, unit = 0.0, heads["unit"]
    low, high = config.label_range
    if labels is not None:
        if labels.shape != unit.shape:
            raise ValueError(f"labels have shape {tuple(labels.shape)}; they must be {tuple(unit.shape)}")
        check_losses(config)
        targets = _to_unit_scale(labels, unit.dtype, low, high)
        # NaN for a dimension that nobody rated
        losses = ccc_losses(unit, targets, reduce_over_processes, rating_scales)
        parts.update(zip(config.id2label.values(), losses, strict=True))
        total = weighted_mean(losses, config.ccc_weights)
    if emotion_targets is not None:
        second["emotion"] = emotion_loss(_logits(config, heads, "emotion"), emotion_targets, reduce_over_processes)
    if gender_targets is not None:
        logits = _logits(config, heads, "gender")
        second["gender"] = class_loss(logits, gender_targets, reduce_over_processes, "gender_targets")
    if rating_variances is not None:
        if labels is None or heads["log_std"] is None:
            raise ValueError(
                "rating_variances are read beside labels, by a model with config.predict_uncertainty=True; here it is "
                f"{config.predict_uncertainty}, and labels are {'missing' if labels is None else 'given'}"
            )
        rating_variances = rating_variances.to(unit.dtype) / ((high - low) / 2) ** 2
    if labels is not None and heads["log_std"] is not None:
        second["uncertainty"] = uncertainty_losses(
            heads["log_std"], unit, targets, rating_variances, reduce_over_processes
        ).mean()
    for name, value in second.items():
        total = total + getattr(config, f"{name}_loss_weight") * value
    parts.update(second)
    return (total, parts) if parts else (None, None)


def _to_unit_scale(labels: torch.Tensor, dtype: torch.dtype, low: float, high: float) -> torch.Tensor:
    targets = (labels.to(dtype) - (high + low) / 2) / ((high - low) / 2)
    # with room for labels in half precision
    if not torch.compiler.is_compiling() and (targets.abs() > 1.01).any():
        rated = labels[~labels.isnan()]
        raise ValueError(
            f"labels reach from {rated.min():g} to {rated.max():g}, but config.label_range is {low:g} to {high:g}: "
            "give the configuration the range of your ratings, label_range=(lowest, highest)"
        )
    return targets


def _logits(config, heads, name: str) -> torch.Tensor:
    if heads[name] is None:
        raise ValueError(f"{name}_targets given, but config.{name}_names is empty: this model has no classes")
    return heads[name]


def concordance(
    predictions: torch.Tensor,
    targets: torch.Tensor,
    reduce_over_processes: bool,
    rating_scales: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute Lin's concordance correlation coefficient per dimension, over the batches of all processes as one.

    `2 cov(x, y) / (var x + var y + (mean x - mean y)^2)` with population moments (Lin 1989, Biometrics 45:255),
    summed in float64.

    Args:
        predictions: (batch, dimensions).
        targets: (batch, dimensions); NaN where a clip has no rating, which leaves it out of that dimension.
        rating_scales: (batch,) integer index of the scale that each clip was rated on: the coefficient is computed
            within each scale, and averaged over those with two rated clips or more, by their numbers of rated clips.

    Returns:
        (dimensions,) in [-1, 1], float64; 0 where nothing varies, NaN (without a gradient) where fewer than two clips
        are rated.

    Raises:
        ValueError: rating_scales of another type or shape, or beyond [`MOST_SCALES`].
    """
    rated = torch.isfinite(targets)
    x = torch.where(rated, predictions, 0.0).double()
    y = torch.where(rated, targets, 0.0).double()
    terms = (rated.double(), x, y, x * x, y * y, x * y)
    if rating_scales is None:
        sums = torch.stack([term.sum(0) for term in terms])
    else:
        members = _scale_members(rating_scales, len(targets), reduce_over_processes)
        sums = torch.stack([members @ term for term in terms])  # (6, scales, dimensions)
    sums = sum_over_processes(sums, reduce_over_processes)
    n = sums[0].clamp(min=1)
    mean_x, mean_y = sums[1] / n, sums[2] / n
    spread = sums[3] / n - mean_x**2 + sums[4] / n - mean_y**2 + (mean_x - mean_y) ** 2
    covariance = sums[5] / n - mean_x * mean_y
    varies = spread > 1e-12
    ccc = torch.where(varies, 2 * covariance / torch.where(varies, spread, 1.0), 0.0)
    if rating_scales is not None:
        weights = torch.where(sums[0] > 1, sums[0], 0.0)
        total = weights.sum(0)
        return torch.where(total > 0, (weights * ccc).sum(0) / total.clamp(min=1), torch.nan)
    return torch.where(sums[0] > 1, ccc, torch.nan)


def _scale_members(rating_scales: torch.Tensor, clips: int, reduce_over_processes: bool) -> torch.Tensor:
    """Return (scales, clips), 1 where the clip was rated on the scale; as many scales in every process."""
    if not _is_integer(rating_scales) or rating_scales.shape != (clips,):
        raise ValueError(f"rating_scales are {_describe(rating_scales)}; give integer indices of shape ({clips},)")
    low, high = rating_scales.aminmax()
    if low < 0 or high >= MOST_SCALES:
        raise ValueError(f"rating_scales hold {int(low)} to {int(high)}; give indices from 0 to {MOST_SCALES - 1}")
    if reduce_over_processes and _several_processes():
        dist.all_reduce(high, dist.ReduceOp.MAX)
    return F.one_hot(rating_scales.long(), int(high) + 1).T.double()


def ccc_losses(
    predictions: torch.Tensor,
    targets: torch.Tensor,
    reduce_over_processes: bool = False,
    rating_scales: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute `1 - CCC` per dimension, (dimensions,) in [0, 2] or NaN; arguments as in [`concordance`]."""
    return (1 - concordance(predictions, targets, reduce_over_processes, rating_scales)).to(predictions.dtype)


def weighted_mean(values: torch.Tensor, weights) -> torch.Tensor:
    """Average those of (dimensions,) losses that are not NaN, with weights that are divided by their sum; without
    weights all weigh the same. Of nothing it is 1, the loss without agreement.
    """
    weights = torch.as_tensor(weights or [1.0] * len(values), dtype=values.dtype, device=values.device)
    known = ~values.isnan()
    weights = torch.where(known, weights, 0.0)
    total = weights.sum()
    mean = (torch.where(known, values, 0.0) * weights).sum() / torch.where(total > 0, total, 1.0)
    return torch.where(total > 0, mean, 1.0)


def mean_over_clips(values: torch.Tensor, counted: torch.Tensor, reduce_over_processes: bool) -> torch.Tensor:
    """Average (batch, ...) losses over the clips for which `counted`, of the same shape, is true; 0 without any."""
    sums = torch.stack([torch.where(counted, values, 0.0).sum(0), counted.to(values.dtype).sum(0)])
    sums = sum_over_processes(sums, reduce_over_processes)
    return sums[0] / sums[1].clamp(min=1)


def class_loss(
    logits: torch.Tensor, labels: torch.Tensor, reduce_over_processes: bool = False, name: str = "labels"
) -> torch.Tensor:
    """Compute the cross-entropy of classes, a scalar.

    Args:
        logits: (batch, classes).
        labels: (batch,) class indices, of an integer type; -100 where a clip has none.

    Raises:
        ValueError: the labels have another type or shape, or name a class that does not exist.
    """
    if not _is_integer(labels) or labels.shape != logits.shape[:1]:
        raise ValueError(f"{name} are {_describe(labels)}; give {_indices(logits)}")
    labels = labels.long()
    known = labels != -100
    if (known & ((labels < 0) | (labels >= logits.shape[1]))).any():
        raise ValueError(f"{name} hold {int(labels.min())} to {int(labels.max())}; give {_indices(logits)}")
    values = F.cross_entropy(logits, labels, ignore_index=-100, reduction="none")
    return mean_over_clips(values, known, reduce_over_processes)


def vote_loss(logits: torch.Tensor, votes: torch.Tensor, reduce_over_processes: bool = False) -> torch.Tensor:
    """Compute the cross-entropy to the graders' votes, `-sum_c votes_c log softmax(logits)_c`, a scalar.

    It is the mean over the graders of the cross-entropy to each one's choice.

    Args:
        logits: (batch, classes).
        votes: (batch, classes), the share of each class: not negative, each row with a sum of 1 (to 0.01, as half
            precision gives it). A row of NaN is a clip without votes.

    Raises:
        ValueError: another type or shape, or rows that are no distribution.
    """
    if not votes.is_floating_point() or votes.shape != logits.shape:
        raise ValueError(f"emotion_targets are {_describe(votes)}; give {_shares(logits)}")
    known = ~votes.isnan().all(dim=1)
    wrong = known & ~((votes >= 0).all(dim=1) & ((votes.sum(dim=1) - 1).abs() <= 0.01))
    if wrong.any():
        row = votes[wrong][0].tolist()
        raise ValueError(f"emotion_targets have a row {row}, which is no distribution; give {_shares(logits)}")
    values = F.cross_entropy(logits, torch.where(known.unsqueeze(1), votes, 0.0).to(logits.dtype), reduction="none")
    return mean_over_clips(values, known, reduce_over_processes)


def emotion_loss(logits: torch.Tensor, labels: torch.Tensor, reduce_over_processes: bool = False) -> torch.Tensor:
    """Compute [`class_loss`] for (batch,) integer labels, [`vote_loss`] for (batch, classes) floating-point votes."""
    if labels.ndim == 1 and _is_integer(labels):
        return class_loss(logits, labels, reduce_over_processes, "emotion_targets")
    if labels.ndim == 2 and labels.is_floating_point():
        return vote_loss(logits, labels, reduce_over_processes)
    raise ValueError(f"emotion_targets are {_describe(labels)}; give {_indices(logits)}, or {_shares(logits)}")


def _is_integer(labels: torch.Tensor) -> bool:
    return not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)


def _describe(labels: torch.Tensor) -> str:
    return f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"


def _indices(logits: torch.Tensor) -> str:
    batch, classes = logits.shape
    return f"integer class indices of shape ({batch},), 0 to {classes - 1}, or -100 for none"


def _shares(logits: torch.Tensor) -> str:
    shape = tuple(logits.shape)
    return f"floating-point votes of shape {shape}, each row not negative with a sum of 1, or all NaN for none"


def uncertainty_losses(
    log_std: torch.Tensor,
    means: torch.Tensor,
    targets: torch.Tensor,
    variances: torch.Tensor | None = None,
    reduce_over_processes: bool = False,
) -> torch.Tensor:
    """Compute the negative log-likelihood of the grades under a Gaussian, per dimension.

    `log s + ((target - mean)^2 + variance) / (2 s^2)`, without the constant `log(2 pi) / 2` (Nix and Weigend 1994,
    ICNN, for one grade). Where the target is the mean of several grades and `variance` their population variance,
    this is exactly the mean over the single grades.

    The means get no gradient: the likelihood would pull them towards the conditional mean, which costs concordance,
    and divide each clip's gradient by `s^2`, so that clips of high uncertainty would no longer be learned (Seitzer et
    al. 2022, arXiv 2203.09168). The embedding, from which both are computed, gets the gradients of both.

    Args:
        log_std: (batch, dimensions), logarithm of `s`.
        means: (batch, dimensions), the model's estimates.
        targets: (batch, dimensions); NaN where a clip has no rating, which leaves it out of that dimension.
        variances: (batch, dimensions), finite and not negative; NaN counts as 0, and so does `None`: the target is
            one grade.

    Returns:
        (dimensions,), of either sign; 0 where no clip is rated.

    Raises:
        ValueError: the variances have another shape than the targets, or one is negative or infinite.
    """
    rated = torch.isfinite(targets)
    squares = torch.where(rated, targets - means.detach(), 0.0).double() ** 2
    if variances is not None:
        if variances.shape != targets.shape:
            given, needed = tuple(variances.shape), tuple(targets.shape)
            raise ValueError(f"rating_variances have shape {given}; they must be as the labels, {needed}")
        wrong = (variances < 0) | variances.isinf()
        if wrong.any():
            raise ValueError(
                f"rating_variances hold {int(wrong.sum())} number(s) that are negative or infinite; a variance is "
                "neither, and is 0 or NaN where a clip has no single grades"
            )
        squares = squares + torch.where(variances.isnan(), 0.0, variances).double()
    log_s = log_std.double()
    values = log_s + squares * torch.exp(-2 * log_s) / 2
    return mean_over_clips(values, rated, reduce_over_processes).to(log_std.dtype)


def embedding_distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, reduce_over_processes: bool = False
) -> torch.Tensor:
    """Compute `1 - cosine` of the student's and the teacher's (batch, embedding_size) embeddings, a scalar in [0, 2].

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
