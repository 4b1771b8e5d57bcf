"""Distillation on streamed speech: the teachers listen in the training step, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import send_to_device
from torch.nn import functional as F
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint

from speech_affect import DIMENSIONS

from ..audio.clip_loading import loading_workers
from ..files import read_json, write_json
from ..frames.frame_dataset import IGNORED_CLASS, output_columns
from ..frames.speech_frames import load_front_end
from ..frames.speech_stream import SpeechStream, StreamBatches
from ..settings.labels import UNLABELLED
from .distillation import DistillationTrainer
from .job import Job
from .teachers import combined_outputs, teacher_weights


def position_files(processes: int) -> list[str]:
    """Return the names of the processes' positions in a checkpoint."""
    return [f"stream_{process}.json" for process in range(processes)]


class Listener:
    """Hears pieces of speech for a student: frames of its branch, and its teachers' outputs as targets.

    An encoder that several branches read runs once. Its frames are rounded as those on disk are, so that the outputs
    are the same as of cached frames.

    Args:
        job: The student.
        batch_size: In which the teachers predict development, where their weights depend on it.
    """

    def __init__(self, job: Job, batch_size: int):
        stream = job.stream
        self.job, self.batch_size = job, stream.batch_size
        self.device = torch.device(stream.device or job.arguments.device)
        frozen = [b for spec in (job.spec, *(teacher.spec for teacher in job.teachers)) for b in spec.frozen_branches]
        self.front_end = load_front_end(frozen, stream.library).to(self.device)
        self.teachers = [teacher.model().eval().to(self.device) for teacher in job.teachers]
        for front_end in (self.front_end, *(teacher.front_end for teacher in self.teachers)):
            for encoder in front_end.encoders.values() if front_end is not None else ():
                encoder.backbone.to(getattr(torch, stream.dtype))
        with PartialState().main_process_first():  # it writes what they predict to disk
            self.weights = teacher_weights(job, [UNLABELLED], [None], batch_size).to(self.device)

    @torch.no_grad()
    def __call__(self, input_values: torch.Tensor, attention_mask: torch.Tensor) -> dict:
        """Return a batch of these pieces without labels: `frames`, `frames_mask` and the teachers' targets.

        Args:
            input_values: (pieces, samples), at 16 kHz.
            attention_mask: (pieces, samples), 1 where valid.

        Raises:
            ValueError: A teacher's output is not finite.
        """
        parts = zip(input_values.split(self.batch_size), attention_mask.split(self.batch_size), strict=True)
        heard = [self._hear(*(values.to(self.device) for values in part)) for part in parts]
        batch, outputs = heard[0]
        for more, others in heard[1:]:
            batch = join(batch, more)
            pairs = zip(outputs, others, strict=True)
            outputs = [{name: torch.cat([each[name], other[name]]) for name in each} for each, other in pairs]
        targets = combined_outputs(self.job, outputs, self.weights.expand(-1, len(input_values), -1))
        targets["logits"] = targets["logits"][:, output_columns(self.job.config)]
        return batch | {f"teacher_{name}": values.float() for name, values in targets.items()}

    def _hear(self, input_values: torch.Tensor, attention_mask: torch.Tensor) -> tuple[dict, list[dict]]:
        """Return the batch of the student, and of each teacher what `kept_outputs` returns."""
        audio = {"input_values": input_values, "attention_mask": attention_mask}
        frames, masks = self.front_end(**audio)
        for branch in self.front_end.branches:
            values = frames[branch.name] if branch.is_acoustic else frames[branch.name].half()
            frames[branch.name] = values.float().masked_fill(~masks[branch.name].unsqueeze(-1), 0.0)
        outputs = []
        for teacher, model in zip(self.job.teachers, self.teachers, strict=True):
            given = {kind: {n: of[n] for n in teacher.caches} for kind, of in _kinds(frames, masks)}
            output = model(**given, **(audio if teacher.trained_branches else {}))
            if not output.logits.isfinite().all():
                raise ValueError(
                    f"teacher {teacher.spec.name!r} gives values that are not finite for streamed speech: give "
                    "--teacher_dtype float32, or train it anew with a lower learning_rate"
                )
            logits = input_values.new_full((len(input_values), len(DIMENSIONS)), torch.nan, dtype=torch.float64)
            logits[:, output_columns(model.config)] = output.logits.double()
            found = {"embedding": output.embedding, "emotion_logits": output.get("emotion_logits")}
            outputs.append({"logits": logits, **{n: values for n, values in found.items() if values is not None}})
        own = [branch.name for branch in self.job.config.branches]
        return {kind: {name: of[name] for name in own} for kind, of in _kinds(frames, masks)}, outputs


def _kinds(frames: dict, masks: dict) -> list[tuple[str, dict]]:
    return [("frames", frames), ("frames_mask", masks)]


def join(rated: Mapping, heard: Mapping) -> dict:
    """Return one batch of two: the clips of the second behind those of the first, without labels that it lacks."""
    joined: dict = {"frames": {}, "frames_mask": {}}
    for kind, found in joined.items():
        for branch, values in rated[kind].items():
            parts = [values, heard[kind][branch]]
            longest = max(part.shape[1] for part in parts)
            padded = [F.pad(part, (0, 0) * (part.ndim - 2) + (0, longest - part.shape[1])) for part in parts]
            found[branch] = torch.cat(padded)
    count = len(next(iter(heard["frames"].values())))
    for name in [name for name in rated if name not in joined]:
        values = rated[name]
        none = torch.nan if values.is_floating_point() else 0 if name == "rating_scales" else IGNORED_CLASS
        joined[name] = torch.cat([values, heard.get(name, values.new_full((count, *values.shape[1:]), none))])
    return joined


class StreamedDistillationTrainer(DistillationTrainer):
    """Distill from the batches of the data set, rated clips, together with pieces of a stream that the teachers hear.

    Each checkpoint has the position of each process in the stream.

    Args:
        listener: Hears the pieces.
        batches: Gives them.
        args, kwargs: As [`DistillationTrainer`] takes them.
    """

    def __init__(self, *args, listener: Listener, batches: StreamBatches, **kwargs):
        super().__init__(*args, **kwargs)
        self.listener, self.batches = listener, batches
        self.add_callback(_StreamPosition(batches))

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        pieces = next(self.batches)
        heard = self.listener(pieces["input_values"], pieces["attention_mask"])
        inputs = join(inputs, send_to_device(heard, self.args.device))
        return super().training_step(model, inputs, num_items_in_batch)

    def streamed(self) -> dict:
        """Return what the result tells of the stream: its share, and how many recordings could not be read."""
        skipped = self.accelerator.reduce(torch.tensor(self.batches.skipped, device=self.args.device), "sum")
        share = self.batches.size / (self.batches.size + self.args.train_batch_size)
        return {"share": share, "skipped": int(skipped)}


class _StreamPosition(TrainerCallback):
    """Write the position of this process into each checkpoint, and end the loader's workers after training."""

    def __init__(self, batches: StreamBatches):
        self.batches = batches

    def on_save(self, args, state, control, **kwargs):
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        write_json(folder / position_files(args.world_size)[args.process_index], self.batches.position)

    def on_train_end(self, args, state, control, **kwargs):
        self.batches.close()


def streamed_parts(job: Job, arguments: TrainingArguments, batch_size: int) -> dict:
    """Return what the trainer of a job with streamed speech takes besides, at the position of the last checkpoint.

    Args:
        job: The student.
        arguments: Its training arguments, which are left with the number of rated clips as their batch size.
        batch_size: As of [`Listener`].
    """
    stream, state = job.stream, PartialState()
    pieces = stream.pieces(arguments.per_device_train_batch_size)
    arguments.per_device_train_batch_size -= pieces
    size, processes = pieces * max(1, arguments.n_gpu), state.num_processes
    speech = SpeechStream(stream.sources, job.seed, stream.held_out, size * processes, state.process_index, processes)
    if last := get_last_checkpoint(arguments.output_dir):
        speech.go_on_from(read_json(Path(last) / position_files(processes)[state.process_index]))
    workers = arguments.dataloader_num_workers or loading_workers()
    return {"listener": Listener(job, batch_size), "batches": StreamBatches(speech, size, workers)}
