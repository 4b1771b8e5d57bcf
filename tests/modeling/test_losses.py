"""The training losses: by hand, against audmetric, and over two processes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import audmetric
import pytest
import torch

from speech_affect.losses import (
    ccc_losses,
    concordance,
    embedding_distillation_loss,
    emotion_loss,
    weighted_mean,
)


SCRIPT = Path(__file__).with_name("distributed_loss.py")


def test_concordance_by_hand():
    # means 2 and 3, variances 2/3 and 8/3, covariance 4/3: 2 * 4/3 / (2/3 + 8/3 + 1) = 8/13
    x = torch.tensor([[1.0], [2.0], [3.0]])
    y = torch.tensor([[1.0], [3.0], [5.0]])
    torch.testing.assert_close(concordance(x, y, False), torch.tensor([8 / 13], dtype=torch.float64))


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


def test_nothing_varies_gives_zero_and_finite_gradients():
    x = torch.full((4, 2), 0.5, requires_grad=True)
    losses = ccc_losses(x, torch.full((4, 2), 0.5))
    torch.testing.assert_close(losses.detach(), torch.ones(2))
    losses.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_weights_count_by_their_ratios():
    values = torch.tensor([1.0, 2.0, 4.0])
    torch.testing.assert_close(weighted_mean(values, (0, 1, 3)), torch.tensor(3.5))
    torch.testing.assert_close(weighted_mean(values, (0, 10, 30)), torch.tensor(3.5))


def test_emotion_loss_is_the_mean_over_clips_that_have_a_class():
    logits = torch.randn(4, 3)
    labels = torch.tensor([2, -100, 0, -100])
    expected = torch.nn.functional.cross_entropy(logits[[0, 2]], labels[[0, 2]])
    torch.testing.assert_close(emotion_loss(logits, labels), expected)
    torch.testing.assert_close(emotion_loss(logits, torch.full((4,), -100)), torch.tensor(0.0))


def test_embedding_distillation_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    teacher = torch.tensor([[3.0, 0.0], [5.0, 0.0]])  # the same direction, and a right angle
    torch.testing.assert_close(embedding_distillation_loss(student, teacher), torch.tensor(0.5))


def test_embeddings_of_different_width_are_refused():
    with pytest.raises(
        ValueError, match=r"student's embedding is \(2, 4\) and the teacher's \(2, 8\).*embedding_size"
    ):
        embedding_distillation_loss(torch.zeros(2, 4), torch.zeros(2, 8))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Loss and gradients of one batch, split over two gloo processes."""
    path = tmp_path_factory.mktemp("ranks") / "result.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29511"]
    subprocess.run([*command, str(SCRIPT), str(path)], check=True, timeout=300, capture_output=True)
    return torch.load(path, weights_only=True)


def test_loss_and_gradients_of_two_processes_equal_those_of_one(two_processes):
    spec = importlib.util.spec_from_file_location("distributed_loss", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    model = script.make_model()
    loss = script.run(model, script.make_batch(), slice(None))
    assert two_processes["world"] == 2
    torch.testing.assert_close(two_processes["loss"], loss, atol=1e-9, rtol=0)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(two_processes["gradients"][name], parameter.grad, atol=1e-9, rtol=1e-6)
