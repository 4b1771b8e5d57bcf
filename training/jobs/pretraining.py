"""Pre-train a student: its TC-GRU learns, from audio alone, to predict the hidden states of a frozen encoder."""

import copy
import logging
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainingArguments

from speech_affect import AffectStudentModel
from speech_affect.losses import mean_over_clips
from speech_affect.regressor import average_frames

from ..files import atomic_path, write_json
from ..frames.frame_dataset import FrameDataset, collate_frames
from .job import Job
from .resuming import train_or_resume
from .trainer import FrameTrainer, show_progress


logger = logging.getLogger(__name__)

TC_GRU = "student.regressor.tc_grus."


def pretrain(job: Job, student: AffectStudentModel) -> None:
    """Give an untrained student, whose input is standardised already, the pre-trained weights of its TC-GRU.

    They are kept in the job's folder until the job is finished: an interrupted job does not learn them again.
    """
    path = job.pretraining_folder / "tc_gru.safetensors"
    try:
        weights = load_file(path)
    except (FileNotFoundError, SafetensorError):
        _learn(job, student, path)
        weights = load_file(path)
    student.regressor.tc_grus.load_state_dict(weights)


def _learn(job: Job, student: AffectStudentModel, path: Path) -> None:
    logger.info("%s: pre-training on %d clips", job.label, len(job.frame_targets.table))
    trainer = _make_trainer(job, student)
    show_progress(trainer, enabled=not trainer.args.disable_tqdm)
    train_or_resume(trainer)
    weights = trainer.accelerator.get_state_dict(trainer.model)  # under FSDP, every process gives its part
    if PartialState().is_main_process:
        write_json(job.folder / "pretraining_history.json", trainer.state.log_history)
        with atomic_path(path) as temporary:
            save_file({k.removeprefix(TC_GRU): v for k, v in weights.items() if k.startswith(TC_GRU)}, temporary)
    PartialState().wait_for_everyone()


def _make_trainer(job: Job, student: AffectStudentModel) -> FrameTrainer:
    targets = job.frame_targets
    dataset = FrameDataset(targets.table, {**job.caches, targets.cache.branch: targets.cache}, job.config)
    with PartialState().main_process_first():  # it writes them to disk, the others read them
        statistics = targets.cache.statistics(targets.table.fingerprints, targets.per_output)
    mean, std = (torch.from_numpy(values).float() for values in statistics)
    return PretrainingTrainer(
        model=FramePredictor(copy.deepcopy(student), targets.cache.branch, targets.per_output, mean, std),
        args=_arguments(job),
        train_dataset=dataset,
        data_collator=collate_frames,
    )


def _arguments(job: Job) -> TrainingArguments:
    arguments = job.training_arguments()
    arguments.output_dir = str(job.pretraining_folder)
    arguments.max_steps = job.spec.pretraining.max_steps
    arguments.learning_rate = job.spec.pretraining.learning_rate
    # there is nothing to develop on: the last state is kept
    arguments.eval_strategy, arguments.load_best_model_at_end, arguments.metric_for_best_model = "no", False, None
    return arguments


class FramePredictor(nn.Module):
    """A student and the linear layer by which its TC-GRU predicts an encoder's frames.

    Output j of the TC-GRU has seen the audio up to the end of block j - 1, where a block is as long as one output
    stands for. It predicts the mean of the encoder's frames in this block, standardised.

    Args:
        student: Its TC-GRU is trained, all else is frozen.
        target: Name of the predicted frames in a batch.
        per_output: Frames in a block.
        mean, std: (width,) of the blocks' means.
    """

    def __init__(
        self, student: AffectStudentModel, target: str, per_output: int, mean: torch.Tensor, std: torch.Tensor
    ):
        super().__init__()
        self.student = student.requires_grad_(False)
        student.regressor.tc_grus.requires_grad_(True)
        self.branch = student.config.branch
        self.target, self.per_output = target, per_output
        self.output = nn.Linear(student.config.gru_hidden_size, len(mean))
        self.register_buffer("mean", mean)
        self.register_buffer("std", torch.where(std > 1e-5, std, torch.ones_like(std)))

    def forward(self, frames: dict[str, torch.Tensor], frames_mask: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the squared error, averaged over the frames' width and all blocks that are whole.

        Args:
            frames: (batch, frames, width) of the student's branch and of the predicted frames, raw, by their names.
            frames_mask: (batch, frames) of both, True where valid; valid frames come first.

        Returns:
            A scalar, in training that of the batches of all processes as one; 0 without a whole block.
        """
        own = self.branch.name
        outputs = self.student(
            frames={own: frames[own]}, frames_mask={own: frames_mask[own]}, output_hidden_states=True
        )
        # output j stands for frame j * stride, and output 0 has seen no block
        hidden = outputs.hidden_states[0][:, 1:]
        seen = frames_mask[own][:, :: self.branch.conv_stride][:, 1:]
        blocks, _ = average_frames(frames[self.target], frames_mask[self.target], self.per_output)
        whole = frames_mask[self.target][:, self.per_output - 1 :: self.per_output]
        count = min(hidden.shape[1], whole.shape[1])
        predicted = self.output(hidden[:, :count]).float()
        errors = (predicted - (blocks[:, :count] - self.mean) / self.std).square().mean(dim=-1)
        counted = seen[:, :count] & whole[:, :count]
        return mean_over_clips(errors.flatten(), counted.flatten(), self.training)


class PretrainingTrainer(FrameTrainer):
    """Train a [`FramePredictor`]; nothing but frames is read of a batch."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(inputs["frames"], inputs["frames_mask"])
