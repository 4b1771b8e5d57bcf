"""Makes an encoder, trains one, and a teacher and its student without FSDP, and these with it, interrupted, resumed.

For two processes. accelerate shards on GPUs only: without one it drops the plugin. Here it gets it back; all else is
as on GPUs.

    accelerate launch --config_file training/launch/fsdp.yaml --num_processes 2 \
      tests/training/jobs/sharded_processes.py FOLDER [arguments of run.py]
"""

import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from trained_jobs import make_jobs, train
from tuned_jobs import make_encoder, train_heard, train_streamed

from speech_affect import losses
from speech_affect.regressor import TimeConvGRU
from speech_affect_training.jobs import trainer
from speech_affect_training.jobs.train_job import run_job


def shard_on_cpu() -> None:
    """Do without a GPU what AcceleratorState does with one."""
    initialise = AcceleratorState.__init__

    def with_plugin(self, *args, fsdp_plugin=None, **kwargs):
        initialise(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin = fsdp_plugin
            PartialState._shared_state["distributed_type"] = self.distributed_type

    AcceleratorState.__init__ = with_plugin


def stop_at_evaluation(number: int) -> None:
    """Interrupt the next training before its evaluation of this number."""
    evaluate, count = trainer.AffectTrainer.evaluate, 0

    def interrupted(self, *args, **kwargs):
        nonlocal count
        count += 1
        if count == number:
            trainer.AffectTrainer.evaluate = evaluate
            raise KeyboardInterrupt
        return evaluate(self, *args, **kwargs)

    trainer.AffectTrainer.evaluate = interrupted


def note_sharding(path: Path) -> None:
    """Write, after each training, whether its parameters are sharded, and where it began."""
    train = trainer.AffectTrainer.train

    def noting(self, *args, resume_from_checkpoint=None, **kwargs):
        output = train(self, *args, resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        sharded = [isinstance(parameter, DTensor) for parameter in self.model.parameters()]
        if PartialState().is_main_process:
            with open(path, "a") as file:
                file.write(f"{all(sharded)} {any(sharded)} {Path(resume_from_checkpoint or 'none').name}\n")
        return output

    trainer.AffectTrainer.train = noting


def note_precision(path: Path) -> None:
    """Write the number formats of the hidden states, outputs and labels of the next loss."""
    ccc_losses, forward, hidden = losses.ccc_losses, TimeConvGRU.forward, []

    def watched_forward(self, frames, mask):
        hidden.append(forward(self, frames, mask))
        return hidden[-1]

    def watched_losses(predictions, targets, *args):
        losses.ccc_losses, TimeConvGRU.forward = ccc_losses, forward
        labels = 4 + 3 * targets
        rounded = torch.allclose(labels.bfloat16().float(), labels, atol=1e-4)
        path.write_text(f"{hidden[0][0].dtype} {predictions.dtype} {targets.dtype} {rounded}\n")
        return ccc_losses(predictions, targets, *args)

    losses.ccc_losses, TimeConvGRU.forward = watched_losses, watched_forward


if __name__ == "__main__":
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    PartialState(cpu=not torch.cuda.is_available())  # by itself it makes a group of processes on GPUs alone
    shard_on_cpu()
    del os.environ["ACCELERATE_USE_FSDP"]
    make_encoder(folder / "made", *arguments)
    train_heard(folder / "tuned", *arguments)
    train_streamed(folder / "streamed_by_two", *arguments)
    note_sharding(folder / "trained.txt")
    train(folder / "whole", *arguments)
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    stop_at_evaluation(2)
    try:
        train(folder / "sharded", *arguments)
    except KeyboardInterrupt:
        PartialState().wait_for_everyone()
        train(folder / "sharded", *arguments)
    if PartialState().is_main_process:
        note_precision(folder / "precision.txt")
    run_job(make_jobs(folder / "bf16", *arguments, "--num_train_epochs", "1", "--bf16", "true")["teacher"], 8)
