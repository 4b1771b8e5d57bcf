"""
Trains a teacher and its student on made-up frames without dropout, and notes on what and how; run by comparing.py.

    [accelerate launch --config_file training/launch/fsdp.yaml --num_processes 1] tests/gpu/steps.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor


sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training" / "jobs"))
from trained_jobs import SIZES, train

from speech_affect_training.jobs.trainer import AffectTrainer


def note_into(path: Path) -> None:
    """Write after each training its device, accelerate's kind of it, and whether all weights are sharded."""
    train_before = AffectTrainer.train

    def noting(self, *args, **kwargs):
        output = train_before(self, *args, **kwargs)
        kind = self.accelerator.distributed_type
        noted = {
            "device": str(self.args.device),
            "kind": str(getattr(kind, "value", kind)),
            "sharded": all(isinstance(parameter, DTensor) for parameter in self.model.parameters()),
            "steps": self.state.global_step,
        }
        path.write_text(json.dumps(noted))
        return output

    AffectTrainer.train = noting


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    note_into(folder / "noted.json")
    train(folder, "--head", json.dumps({**SIZES, "dropout": 0.0}), "--num_train_epochs", "2")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
