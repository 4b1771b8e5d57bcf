"""The outputs of a student's teachers, kept on disk, as its targets."""

import numpy as np
import torch
from accelerate import PartialState
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..corpora.clip_table import ClipTable
from ..files import atomic_path
from .data_splits import TRAIN
from .distillation import class_probabilities
from .job import Job
from .prediction import predict


def teacher_targets(student: Job, batch_size: int) -> dict[str, np.ndarray]:
    """Return what a student's teachers say of its training clips, as `FrameDataset.set_teacher` takes it.

    Each teacher predicts a table once and keeps the outputs in its folder for all students and seeds.

    Returns:
        `logits` (clips, 3), averaged over the teachers, the first teacher's `embedding` (clips, embedding_size), and
        `emotions` (clips, classes), averaged probabilities, if classes are distilled.
    """
    distillation, table = student.spec.distillation, student.tables[TRAIN]
    classes = bool(distillation.emotion_weight)
    with PartialState().main_process_first():  # it writes them to disk, the others read them
        outputs = [kept_outputs(teacher, table, batch_size, classes) for teacher in student.teachers]
    targets = {"logits": np.mean([each["logits"] for each in outputs], axis=0), "embedding": outputs[0]["embedding"]}
    if classes:
        each = [
            class_probabilities(
                torch.from_numpy(output["emotion_logits"]),
                teacher.config.emotion_names,
                student.config.emotion_names,
                distillation.temperature,
            )
            for teacher, output in zip(student.teachers, outputs, strict=True)
        ]
        targets["emotions"] = torch.stack(each).mean(dim=0).numpy()
    return targets


def kept_outputs(teacher: Job, table: ClipTable, batch_size: int, classes: bool = False) -> dict[str, np.ndarray]:
    """Return a teacher's kept `logits` (clips, 3), `embedding`, and with `classes` its `emotion_logits`."""
    # the size of a batch decides its padding, which the last bits depend on
    more = [batch_size, *(["emotions"] if classes else [])]
    path = teacher.folder / f"outputs_{teacher.prediction_fingerprint(table, *more)[:32]}.safetensors"
    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError):
        predictions = predict(teacher.model().to(teacher.arguments.device), teacher.dataset(table), batch_size)
    outputs = {"logits": predictions.logits, "embedding": predictions.embedding}
    outputs |= {"emotion_logits": predictions.emotion_logits} if classes else {}
    with atomic_path(path) as temporary:
        save_file(outputs, temporary)
    return outputs
