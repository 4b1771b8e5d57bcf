"""The training losses: by hand, against audmetric, and over two processes."""

import math
import subprocess
import sys

import audmetric
import pytest
import torch

from speech_affect.losses import (
    ccc_losses,
    class_loss,
    concordance,
    embedding_distillation_loss,
    emotion_loss,
    uncertainty_losses,
    vote_loss,
    weighted_mean,
)

from . import distributed_loss


def test_concordance_equals_audmetric():
    torch.manual_seed(3)
    x, y = torch.randn(50, 3), torch.randn(50, 3)
    y[:, 1] += 2 * x[:, 1] + 1
    expected = [audmetric.concordance_cc(y[:, d].numpy(), x[:, d].numpy()) for d in range(3)]
    torch.testing.assert_close(
        concordance(x, y, False), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_clips_without_a_rating_are_left_out_of_that_dimension():
    x = torch.tensor([[1.0, 1.0], [2.0, 9.0], [3.0, 3.0], [4.0, 2.0]])
    y = torch.tensor([[2.0, 1.0], [1.0, torch.nan], [4.0, 3.0], [3.0, 2.5]])
    both = concordance(x, y, False)
    kept = [0, 2, 3]
    torch.testing.assert_close(both[1:], concordance(x[kept, 1:], y[kept, 1:], False))
    torch.testing.assert_close(both[:1], concordance(x[:, :1], y[:, :1], False))
    x.requires_grad_()
    ccc_losses(x, y).sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad[1, 1] == 0


def test_a_dimension_that_nobody_rated_counts_in_no_mean():
    x = torch.tensor([[1.0, 1.0, 1.0], [2.0, 9.0, 2.0], [3.0, 3.0, 3.0]], requires_grad=True)
    nan = torch.nan
    y = torch.tensor([[2.0, nan, nan], [3.0, 1.0, nan], [4.0, nan, nan]])
    losses = ccc_losses(x, y)
    torch.testing.assert_close(losses.detach(), torch.tensor([3 / 7, nan, nan]), equal_nan=True)  # CCC 4 / 7
    mean = weighted_mean(losses, (1.0, 5.0, 5.0))
    torch.testing.assert_close(mean.detach(), torch.tensor(3 / 7))
    (alone,) = torch.autograd.grad(losses[0], x, retain_graph=True)
    (gradient,) = torch.autograd.grad(mean, x)
    torch.testing.assert_close(gradient, alone)
    nothing = weighted_mean(ccc_losses(x, torch.full((3, 3), nan)), None)
    nothing.backward()  # every process takes part, with or without rated clips
    assert nothing == 1 and not x.grad.any()


def test_ccc_within_each_scale_by_hand():
    """Scale 0: CCC 4/7 and, of two clips, 1; scale 2: CCC 0.8 and one clip; on scale 5 nobody rated any."""
    nan = torch.nan
    x = torch.tensor([[1.0, 5], [-1, 2], [2, 7], [3, 9], [1, 9], [5, 5]], requires_grad=True)
    y = torch.tensor([[2.0, 5], [-2, 3], [3, 7], [4, nan], [2, nan], [nan, nan]])
    scales = torch.tensor([0, 2, 0, 0, 2, 5])
    # population moments of -1, 1 and -2, 2: covariance 2, variances 1 and 4
    losses = ccc_losses(x, y, rating_scales=scales)
    expected = torch.tensor([(3 * 3 / 7 + 2 * 0.2) / 5, 0.0])
    torch.testing.assert_close(losses.detach(), expected)
    losses.sum().backward()
    assert torch.isfinite(x.grad).all() and not x.grad[[1, 3, 4, 5], [1, 1, 1, 0]].any()
    pooled = ccc_losses(x.detach(), y)
    assert (pooled - expected).abs().min() > 0.01
    torch.testing.assert_close(ccc_losses(x.detach(), y, rating_scales=torch.full((6,), 3)), pooled)
    nothing = ccc_losses(x.detach(), y, rating_scales=torch.arange(6))
    assert nothing.isnan().all() and weighted_mean(nothing, None) == 1


def test_ccc_within_each_scale_equals_audmetric():
    torch.manual_seed(5)
    x, y, scales = torch.randn(60, 3), torch.randn(60, 3), torch.randint(3, (60,))
    y = y + x + 4 * scales[:, None]
    each = [
        [audmetric.concordance_cc(y[scales == s, d].numpy(), x[scales == s, d].numpy()) for d in range(3)]
        for s in range(3)
    ]
    expected = 1 - torch.bincount(scales).float() @ torch.tensor(each, dtype=torch.float32) / 60
    torch.testing.assert_close(ccc_losses(x, y, rating_scales=scales), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "scales, message",
    [
        (torch.zeros(3), r"rating_scales are float32 of shape \(3,\); give integer indices of shape \(3,\)"),
        (torch.zeros(3, 1).long(), r"int64 of shape \(3, 1\); give integer"),
        (torch.tensor([0, -1, 1]), "rating_scales hold -1 to 1; give indices from 0 to 999"),
        (torch.tensor([0, 1000, 1]), "rating_scales hold 0 to 1000; give"),
    ],
)
def test_scales_that_do_not_fit(scales, message):
    with pytest.raises(ValueError, match=message):
        ccc_losses(torch.zeros(3, 3), torch.zeros(3, 3), rating_scales=scales)


def test_nothing_varies_gives_zero_and_finite_gradients():
    x = torch.full((4, 2), 0.5, requires_grad=True)
    losses = ccc_losses(x, torch.full((4, 2), 0.5))
    torch.testing.assert_close(losses.detach(), torch.ones(2))
    losses.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_class_loss_by_hand():
    # softmax of (log 3, 0) is (3/4, 1/4)
    logits = torch.tensor([[math.log(3.0), 0.0]] * 3)
    for dtype in (torch.int64, torch.int32, torch.int8):
        loss = class_loss(logits, torch.tensor([0, 1, -100], dtype=dtype))
        torch.testing.assert_close(loss, torch.tensor((math.log(4 / 3) + math.log(4)) / 2))


def test_vote_loss_by_hand():
    # three quarters of the graders say the first class, one the second; the third clip has no votes
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0], [5.0, -5.0]], requires_grad=True)
    votes = torch.tensor([[0.75, 0.25], [0.5, 0.5], [torch.nan, torch.nan]])
    loss = vote_loss(logits, votes)
    expected = (0.75 * math.log(4 / 3) + 0.25 * math.log(4) + math.log(2)) / 2
    torch.testing.assert_close(loss, torch.tensor(expected))
    loss.backward()  # it is at its minimum: the votes are the model's own probabilities
    torch.testing.assert_close(logits.grad, torch.zeros(3, 2))
    torch.testing.assert_close(vote_loss(logits[2:], votes[2:]), torch.tensor(0.0))


LOGITS = torch.zeros(2, 3)
BOTH_FORMS = (
    r"integer class indices of shape \(2,\), 0 to 2, or -100 for none, "
    r"or floating-point votes of shape \(2, 3\), each row not negative with a sum of 1, or all NaN for none"
)
WRONG_LABELS = [
    (emotion_loss, torch.zeros(2), rf"emotion_targets are float32 of shape \(2,\); give {BOTH_FORMS}"),
    (emotion_loss, torch.zeros(2, 3).long(), rf"emotion_targets are int64 of shape \(2, 3\); give {BOTH_FORMS}"),
    (emotion_loss, torch.zeros(2, 3).cfloat(), r"emotion_targets are complex64 of shape \(2, 3\)"),
    (emotion_loss, torch.zeros(2, 4), r"emotion_targets are float32 of shape \(2, 4\); .* of shape \(2, 3\)"),
    (emotion_loss, torch.tensor([0, 3]), "emotion_targets hold 0 to 3; .* 0 to 2, or -100 for none"),
    (emotion_loss, torch.full((2, 3), 0.5), r"have a row \[0.5, 0.5, 0.5\], which is no distribution; .* sum of 1"),
    (emotion_loss, torch.tensor([[1.0, 0, 0], [0.5, 0.5, torch.nan]]), r"have a row \[0.5, 0.5, nan\]"),
    (class_loss, torch.zeros(2), r"labels are float32 of shape \(2,\); give integer class indices"),
    (vote_loss, torch.zeros(2).long(), r"emotion_targets are int64 of shape \(2,\); give floating-point votes"),
]


@pytest.mark.parametrize("loss, labels, message", WRONG_LABELS)
def test_labels_of_another_kind(loss, labels, message):
    with pytest.raises(ValueError, match=message):
        loss(LOGITS, labels)


def test_uncertainty_by_hand():
    # s = 1 and 1/2: log 1 + (3^2 + 7) / 2 = 8; log 1/2 + (1^2 + 0) / (2 / 4) = 2 - log 2
    log_std = torch.tensor([[0.0], [-math.log(2)]])
    means, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0], [1.0]])
    variances = torch.tensor([[7.0], [torch.nan]])
    losses = uncertainty_losses(log_std, means, targets, variances)
    torch.testing.assert_close(losses, torch.tensor([(8 + 2 - math.log(2)) / 2]))
    without = uncertainty_losses(log_std, means, targets)
    torch.testing.assert_close(without, torch.tensor([(4.5 + 2 - math.log(2)) / 2]))


def test_uncertainty_of_a_mean_and_variance_equals_that_of_single_grades():
    grades = torch.randn(6, 3, 5).double()  # five graders of each of six clips
    log_std, means = torch.randn(6, 3).double(), torch.randn(6, 3).double()
    losses = uncertainty_losses(log_std, means, grades.mean(-1), grades.var(-1, unbiased=False))
    each = torch.nn.functional.gaussian_nll_loss(
        means[..., None].expand_as(grades), grades, (2 * log_std).exp()[..., None].expand_as(grades), reduction="none"
    )
    torch.testing.assert_close(losses, each.mean(dim=(0, 2)))


def test_uncertainty_leaves_the_means_and_unrated_clips_alone():
    log_std, means = torch.zeros(3, 2, requires_grad=True), torch.zeros(3, 2, requires_grad=True)
    targets = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan], [2.0, torch.nan]])
    losses = uncertainty_losses(log_std, means, targets, torch.ones(3, 2))
    torch.testing.assert_close(losses.detach(), torch.tensor([(1 + 2.5) / 2, 0.0]))
    losses.sum().backward()
    # the derivative by log s is 1 - squared error / s^2, halved by the mean over two clips
    torch.testing.assert_close(log_std.grad, torch.tensor([[-0.5, 0.0], [0.0, 0.0], [-2.0, 0.0]]))
    assert means.grad is None


def test_uncertainty_does_not_overflow_in_half_precision():
    log_std = torch.full((1, 1), math.log(0.01), dtype=torch.float16)
    loss = uncertainty_losses(log_std, torch.zeros(1, 1).half(), torch.ones(1, 1).half(), torch.ones(1, 1).half())
    torch.testing.assert_close(loss.float(), torch.tensor([math.log(0.01) + 1e4]), rtol=5e-3, atol=0)


@pytest.mark.parametrize(
    "variances, message",
    [
        (torch.zeros(2, 2), r"rating_variances have shape \(2, 2\); they must be as the labels, \(2, 3\)"),
        (
            torch.tensor([[0.0, -0.1, 1.0], [-2.0, 0.0, 1.0]]),
            r"rating_variances hold 2 number\(s\) that are negative or",
        ),
        (
            torch.full((2, 3), torch.inf),
            r"rating_variances hold 6 number\(s\) .*, and is 0 or NaN where a clip has no",
        ),
    ],
)
def test_variances_that_do_not_fit(variances, message):
    with pytest.raises(ValueError, match=message):
        uncertainty_losses(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3), variances)


def test_embedding_distillation_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    teacher = torch.tensor([[3.0, 0.0], [5.0, 0.0]])  # the same direction, and a right angle
    torch.testing.assert_close(embedding_distillation_loss(student, teacher), torch.tensor(0.5))


def test_embeddings_of_different_width():
    with pytest.raises(
        ValueError, match=r"student's embedding is \(2, 4\) and the teacher's \(2, 8\).*embedding_size"
    ):
        embedding_distillation_loss(torch.zeros(2, 4), torch.zeros(2, 8))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Loss and gradients of one batch, split over two gloo processes."""
    path = tmp_path_factory.mktemp("ranks") / "result.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29511"]
    subprocess.run([*command, distributed_loss.__file__, str(path)], check=True, timeout=300, capture_output=True)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("several", [False, True])
def test_loss_and_gradients_of_two_processes_equal_those_of_one(two_processes, several):
    expected = distributed_loss.run(distributed_loss.make_model(), distributed_loss.make_batch(several), slice(None))
    assert two_processes["world"] == 2
    assert list(expected["parts"]) == ["activation", "valence", "dominance", "emotion", "gender", "uncertainty"]
    result = two_processes["results"][several]
    torch.testing.assert_close(result["loss"], expected["loss"], atol=1e-9, rtol=0)
    torch.testing.assert_close(result["parts"], expected["parts"], atol=1e-9, rtol=0)
    torch.testing.assert_close(result["gradients"], expected["gradients"], atol=1e-9, rtol=1e-6)


def test_two_processes_train_a_model_with_a_frozen_encoder_as_one_does(two_processes):
    expected = distributed_loss.run_fusion(distributed_loss.make_fusion(), slice(None))
    assert expected and all(name.startswith("regressor.") for name in expected)
    torch.testing.assert_close(two_processes["fusion"], expected, atol=1e-5, rtol=1e-4)
