"""A run without FSDP, one with it that is interrupted, and that one resumed; in processes that accelerate started.

accelerate shards on GPUs only: without one it drops the plugin. Here it gets it back; all else is as on GPUs.

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

from speech_affect import losses
from speech_affect.regressor import TimeConvGRU
from speech_affect_training import run
from speech_affect_training.jobs import trainer


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
    """Interrupt the next run before its evaluation of this number."""
    evaluate = trainer.AffectTrainer.evaluate
    count = 0

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
    ccc_losses, forward = losses.ccc_losses, TimeConvGRU.forward
    hidden_dtypes = []

    def watched_forward(self, frames, mask):
        hidden, mask = forward(self, frames, mask)
        hidden_dtypes.append(hidden.dtype)
        return hidden, mask

    def watched_losses(predictions, targets, *args):
        losses.ccc_losses, TimeConvGRU.forward = ccc_losses, forward
        labels = 4 + 3 * targets
        rounded = torch.allclose(labels.bfloat16().float(), labels, atol=1e-4)
        path.write_text(f"{hidden_dtypes[0]} {predictions.dtype} {targets.dtype} {rounded}\n")
        return ccc_losses(predictions, targets, *args)

    losses.ccc_losses, TimeConvGRU.forward = watched_losses, watched_forward


if __name__ == "__main__":
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    run.finish = run.write_cards = run.render_markdown = lambda *given: {}  # the report reads what is on disk
    shard_on_cpu()
    note_sharding(folder / "trained.txt")
    del os.environ["ACCELERATE_USE_FSDP"]
    run.main([*arguments, "--output_dir", str(folder / "whole")])
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    sharded = [*arguments, "--output_dir", str(folder / "sharded")]
    stop_at_evaluation(2)
    try:
        run.main(sharded)
    except KeyboardInterrupt:
        PartialState().wait_for_everyone()
        run.main(sharded)
    if PartialState().is_main_process:
        note_precision(folder / "precision.txt")
    one_epoch = ["--only", "mfb", "--num_train_epochs", "1", "--bf16", "true"]
    run.main([*arguments, *one_epoch, "--output_dir", str(folder / "bf16")])
