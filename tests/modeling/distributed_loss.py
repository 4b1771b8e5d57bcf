"""Run by torchrun: loss and gradients of one batch split over the processes, saved by the first."""

import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from speech_affect import AffectStudentConfig, AffectStudentModel


def make_model() -> AffectStudentModel:
    torch.manual_seed(0)
    config = AffectStudentConfig(dropout=0.0, emotion_names=["A", "H", "N"], gru_hidden_size=16, conv_channels=16)
    return AffectStudentModel(config, with_front_end=False).double().train()


def make_batch() -> dict:
    generator = torch.Generator().manual_seed(1)
    labels = 1 + 6 * torch.rand(7, 3, generator=generator).double()
    labels[2, 1] = torch.nan  # a clip without a valence rating
    return {
        "frames": torch.randn(7, 40, 40, generator=generator).double(),
        "labels": labels,
        "emotion_labels": torch.tensor([0, 1, -100, 2, 1, -100, 0]),
    }


def run(model, batch: dict, rows: slice):
    frames = batch["frames"][rows]
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    targets = {key: batch[key][rows] for key in ("labels", "emotion_labels")}
    loss = model(frames={"mfb": frames}, frames_mask={"mfb": mask}, **targets).loss
    loss.backward()
    return loss.detach()


def main(path: str) -> None:
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    model = make_model()
    # an uneven split: 5 clips and 2 clips
    loss = run(DistributedDataParallel(model), make_batch(), slice(0, 5) if rank == 0 else slice(5, 7))
    if rank == 0:
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        torch.save({"world": world, "loss": loss, "gradients": gradients}, path)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
