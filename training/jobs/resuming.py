"""Continue an interrupted training from its last complete checkpoint."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from zipfile import is_zipfile

from safetensors.torch import load_file
from transformers import Trainer, TrainerState
from transformers.trainer_utils import get_last_checkpoint

from ..files import read_json


logger = logging.getLogger(__name__)

STATE = "trainer_state.json"  # of Trainer, in a checkpoint


def delete_incomplete_checkpoints(folder: Path, processes: int, more: Sequence[str] = ()) -> None:
    """Delete the checkpoints in a folder that were being written or deleted when the `processes` were killed.

    `more` are names of files that belong to a checkpoint besides those of Trainer.

    Trainer would continue from one all the same, for example without the optimizer's state, and end differently.
    """
    for checkpoint in folder.glob("checkpoint-*"):
        if not _is_complete(checkpoint, processes) or not all((checkpoint / name).is_file() for name in more):
            logger.info("%s is not complete, and is deleted", checkpoint)
            shutil.rmtree(checkpoint)


def train_or_resume(trainer: Trainer) -> None:
    """Train, from the last checkpoint if there is one; all checkpoints must be complete.

    A training that had ended is not resumed, as Trainer would make one more step: its best model is loaded.
    """
    last = get_last_checkpoint(trainer.args.output_dir)
    state = TrainerState.load_from_json(str(Path(last) / STATE)) if last else TrainerState()
    control = state.stateful_callbacks.get("TrainerControl", {})
    # weights that FSDP shards can only be loaded while it trains
    if trainer.is_fsdp_enabled or not control.get("args", {}).get("should_training_stop"):
        trainer.train(resume_from_checkpoint=last)
        return
    trainer.state, best = state, Path(last)
    if trainer.args.load_best_model_at_end and trainer.state.best_global_step:
        best = best.with_name(f"checkpoint-{trainer.state.best_global_step}")
    trainer.model.load_state_dict(load_file(best / "model.safetensors"))


def _is_complete(checkpoint: Path, processes: int) -> bool:
    random_states = [f"rng_state_{index}.pth" for index in range(processes)] if processes > 1 else ["rng_state.pth"]
    needed = ["model.safetensors", "scheduler.pt", *random_states]
    optimizer = any((checkpoint / name).exists() for name in ("optimizer.pt", "optimizer.bin"))
    # the main process writes its state last; the directory of a zip file, as each process writes, is at its end
    return (
        optimizer
        and all((checkpoint / name).is_file() for name in needed)
        and bool(read_json(checkpoint / STATE))
        and all(is_zipfile(checkpoint / name) for name in random_states)
    )
