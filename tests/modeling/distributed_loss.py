"""Run by torchrun: loss and gradients of one batch split over the processes, saved by the first."""

import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from speech_affect import AffectStudentConfig, AffectStudentModel


def make_model() -> AffectStudentModel:
    torch.manual_seed(0)
    config = AffectStudentConfig(
        dropout=0.0,
        emotion_names=["A", "H", "N"],
        gender_names=["Female", "Male"],
        predict_uncertainty=True,
        gru_hidden_size=16,
        conv_channels=16,
    )
    return AffectStudentModel(config, with_front_end=False).double().train()


def make_batch(with_votes: bool) -> dict:
    """Seven clips, each label missing somewhere; emotions as classes or as votes."""
    generator = torch.Generator().manual_seed(1)
    labels = 1 + 6 * torch.rand(7, 3, generator=generator).double()
    labels[2, 1] = torch.nan  # a clip without a valence rating
    votes = torch.rand(7, 3, generator=generator).double().softmax(dim=1)
    votes[5] = torch.nan
    classes = torch.tensor([0, 1, -100, 2, 1, -100, 0])
    variances = torch.rand(7, 3, generator=generator).double()
    variances[4, 0] = torch.nan  # one grade alone
    return {
        "frames": torch.randn(7, 40, 40, generator=generator).double(),
        "labels": labels,
        "emotion_labels": votes if with_votes else classes,
        "gender_labels": torch.tensor([0, 1, -100, 1, 1, -100, -100]),  # none in the second process
        "label_variances": variances,
    }


def run(model, batch: dict, rows: slice) -> dict:
    frames = batch["frames"][rows]
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    targets = {key: values[rows] for key, values in batch.items() if key != "frames"}
    model.zero_grad()
    output = model(frames={"mfb": frames}, frames_mask={"mfb": mask}, **targets)
    output.loss.backward()
    parts = {name: value.detach() for name, value in output.loss_parts.items()}
    gradients = {name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters()}
    return {"loss": output.loss.detach(), "parts": parts, "gradients": gradients}


def main(path: str) -> None:
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    model = DistributedDataParallel(make_model())
    # an uneven split: 5 clips and 2 clips
    rows = slice(0, 5) if rank == 0 else slice(5, 7)
    results = {with_votes: run(model, make_batch(with_votes), rows) for with_votes in (False, True)}
    if rank == 0:
        torch.save({"world": world, "results": results}, path)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
