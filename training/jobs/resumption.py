"""How an interrupted training goes on: from the last checkpoint that Trainer had written to its end."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from zipfile import is_zipfile

from safetensors.torch import load_file
from transformers import Trainer, TrainerState
from transformers.trainer_utils import get_last_checkpoint


logger = logging.getLogger(__name__)

STATE = "trainer_state.json"


def drop_torn_checkpoints(folder: Path, processes: int) -> None:
    """
    Delete checkpoints that were being written, or deleted, when the process was killed. Trainer would go on from one
    all the same: without the optimizer's state, say, and to another result.

    Args:
        folder: of a training's checkpoints.
        processes: that it runs on.
    """
    for checkpoint in folder.glob("checkpoint-*"):
        if not _is_whole(checkpoint, processes):
            logger.info("%s is not whole, and is deleted", checkpoint)
            shutil.rmtree(checkpoint)


def train(trainer: Trainer) -> None:
    """
    Train, from the last checkpoint where there is one, all of them whole.

    A training that had ended, but for what comes after it, is taken as it was: Trainer makes at least one more step.
    """
    last = get_last_checkpoint(trainer.args.output_dir)
    # what FSDP divides can only be loaded in the course of training
    if last is None or trainer.is_fsdp_enabled or not _had_ended(Path(last)):
        trainer.train(resume_from_checkpoint=last)
        return
    trainer.state = TrainerState.load_from_json(str(Path(last) / STATE))
    best = Path(last)
    if trainer.args.load_best_model_at_end and trainer.state.best_global_step:
        best = best.with_name(f"checkpoint-{trainer.state.best_global_step}")
    trainer.model.load_state_dict(load_file(best / "model.safetensors"))


def _is_whole(checkpoint: Path, processes: int) -> bool:
    random_states = [f"rng_state_{index}.pth" for index in range(processes)] if processes > 1 else ["rng_state.pth"]
    needed = ["model.safetensors", "scheduler.pt", *random_states]
    optimizer = any((checkpoint / name).exists() for name in ("optimizer.pt", "optimizer.bin"))
    if not optimizer or not all((checkpoint / name).is_file() for name in needed):
        return False
    try:  # the main process writes it last
        json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # the other processes' files may still be growing then; the directory of a zip is at its end
    return all(is_zipfile(checkpoint / name) for name in random_states)


def _had_ended(checkpoint: Path) -> bool:
    callbacks = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))["stateful_callbacks"]
    return bool(callbacks.get("TrainerControl", {}).get("args", {}).get("should_training_stop"))
