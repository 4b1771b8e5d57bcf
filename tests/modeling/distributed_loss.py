"""Run by torchrun: loss and gradients of batches split over the processes, saved by the first."""

import sys
import tempfile

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from speech_affect import AffectFusionConfig, AffectFusionModel, AffectStudentConfig, AffectStudentModel


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


def make_fusion() -> AffectFusionModel:
    """A checkpoint with a frozen encoder, loaded."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    backbone = {"model_type": "wav2vec2", **sizes, **convolutions}
    config = AffectFusionConfig(
        encoders={"encoder": {"backbone": backbone}}, branches=[{"source": "encoder"}], dropout=0.0
    )
    with tempfile.TemporaryDirectory() as folder:
        AffectFusionModel(config).save_pretrained(folder)
        return AffectFusionModel.from_pretrained(folder).train()


def run_fusion(model, rows: slice) -> dict:
    generator = torch.Generator().manual_seed(2)
    clips, labels = torch.randn(4, 4000, generator=generator) / 10, torch.rand(4, 3, generator=generator)
    model(clips[rows], labels=1 + 6 * labels[rows]).loss.backward()
    return {name.removeprefix("module."): p.grad for name, p in model.named_parameters() if p.grad is not None}


def make_batch(several: bool) -> dict:
    """Seven clips, each label missing somewhere; emotions as classes on one scale, or as votes on several scales."""
    generator = torch.Generator().manual_seed(1)
    labels = 1 + 6 * torch.rand(7, 3, generator=generator).double()
    labels[2, 1] = torch.nan  # a clip without a valence rating
    votes = torch.rand(7, 3, generator=generator).double().softmax(dim=1)
    votes[5] = torch.nan
    classes = torch.tensor([0, 1, -100, 2, 1, -100, 0])
    variances = torch.rand(7, 3, generator=generator).double()
    variances[4, 0] = torch.nan  # one grade alone
    # the second process has one clip of a scale, and no scale as high as the first has
    scales = {"rating_scales": torch.tensor([0, 1, 0, 3, 3, 1, 0])} if several else {}
    return {
        **scales,
        "frames": torch.randn(7, 40, 40, generator=generator).double(),
        "labels": labels,
        "emotion_targets": votes if several else classes,
        "gender_targets": torch.tensor([0, 1, -100, 1, 1, -100, -100]),  # none in the second process
        "rating_variances": variances,
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
    fusion = make_fusion()  # before the group: transformers would save in the first process alone
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    model = DistributedDataParallel(make_model())
    # an uneven split: 5 clips and 2 clips
    rows = slice(0, 5) if rank == 0 else slice(5, 7)
    results = {several: run(model, make_batch(several), rows) for several in (False, True)}
    # without find_unused_parameters: every weight that says it is trained must get a gradient
    gradients = run_fusion(DistributedDataParallel(fusion), slice(2 * rank, 2 * rank + 2))
    if rank == 0:
        torch.save({"world": world, "results": results, "fusion": gradients}, path)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
