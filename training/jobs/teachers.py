"""The outputs of a student's teachers, kept on disk, and their weights, as its targets."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from accelerate import PartialState
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from speech_affect import DIMENSIONS

from ..corpora.clip_table import ClipTable
from ..files import atomic_path
from ..metrics.rated import concordance_within, rated_concordance
from .data_splits import DEVELOPMENT, TRAIN
from .distillation import class_probabilities, combine_teachers
from .job import Job
from .prediction import predict


def teacher_targets(student: Job, batch_size: int) -> dict[str, np.ndarray]:
    """Return what a student's teachers say of its training clips, as `FrameDataset.set_teacher` takes it.

    Each teacher predicts a table once and keeps the outputs in its folder for all students and seeds.

    Returns:
        `logits` (clips, 3), `embedding` (clips, embedding_size) and, if classes are distilled, `emotions` (clips,
        classes), combined by [`combine_teachers`] with the weights of [`teacher_weights`].
    """
    table, classes = student.tables[TRAIN], bool(student.spec.distillation.emotion_weight)
    with PartialState().main_process_first():  # it writes them to disk, the others read them
        outputs = [kept_outputs(teacher, table, batch_size, classes) for teacher in student.teachers]
        weights = teacher_weights(student, table.corpora, table.languages, batch_size)
    given = [{name: torch.from_numpy(values) for name, values in each.items()} for each in outputs]
    return {name: values.numpy() for name, values in combined_outputs(student, given, weights).items()}


def combined_outputs(
    student: Job, given: Sequence[Mapping[str, torch.Tensor]], weights: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Combine what a student's teachers say of any clips, as [`teacher_targets`] does.

    Args:
        student: Decides whether classes are distilled, and which.
        given: Of each teacher, as [`kept_outputs`] returns it.
        weights: As of [`teacher_weights`].
    """
    distillation = student.spec.distillation
    classes = bool(distillation.emotion_weight)
    emotions = [
        class_probabilities(
            output["emotion_logits"],
            teacher.config.emotion_names,
            student.config.emotion_names,
            distillation.temperature,
        )
        for teacher, output in zip(student.teachers, given if classes else (), strict=classes)
    ]
    each = ([output[name] for output in given] for name in ("logits", "embedding"))
    return combine_teachers(*each, weights, emotions)


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


def teacher_weights(
    student: Job, corpora: Sequence[str], languages: Sequence[str | None], batch_size: int
) -> torch.Tensor:
    """Return the weight of each teacher of a student for clips of these corpora and languages.

    Args:
        student: Its `distillation.teacher_weights` says which; its development clips are predicted for `development`.
        corpora, languages: Of each clip, as in a [`ClipTable`].
        batch_size: In which the teachers predict.

    Returns:
        (teachers, clips, 3), float64, as [`combine_teachers`] takes them.
    """
    how = student.spec.distillation.teacher_weights
    if how == "language":
        weights = language_weights([teacher.spec.languages for teacher in student.teachers], languages)
    elif how == "development":
        table = student.tables[DEVELOPMENT]
        logits = [kept_outputs(teacher, table, batch_size)["logits"] for teacher in student.teachers]
        weights = concordance_weights(logits, table.labels, table.corpora, corpora)
    else:
        weights = np.ones((len(student.teachers), len(corpora), len(DIMENSIONS)))
    return torch.from_numpy(weights)


def language_weights(learnt: Sequence[Collection[str]], languages: Sequence[str | None]) -> np.ndarray:
    """Return (teachers, clips, 3): 1 for teachers that learnt a clip's language, else 0; 1 for all where none did.

    Args:
        learnt: The languages of each teacher.
        languages: The language of each clip; None where it is not known.
    """
    spoken = np.array([[code in own for code in languages] for own in learnt], dtype=np.float64)
    weights = np.where(spoken.any(axis=0), spoken, 1.0)
    return np.repeat(weights[:, :, None], len(DIMENSIONS), axis=2)


def concordance_weights(
    logits: Sequence[np.ndarray], labels: np.ndarray, developed: Sequence[str], corpora: Sequence[str]
) -> np.ndarray:
    """Return (teachers, clips, 3): each teacher's CCC on the development clips of the clip's corpus.

    Where fewer than two of these are rated it is the mean over corpora of the CCC within each, as the one that an
    epoch is chosen by. A CCC below 0 counts as 0; where all are 0, all weigh 1.

    Args:
        logits: Of each teacher (development clips, 3); NaN in a dimension that it does not have.
        labels: (development clips, 3), NaN where there is none.
        developed, corpora: The corpus of each development clip, and of each clip that gets weights.
    """
    rated = [np.where(np.isnan(own), np.nan, labels) for own in logits]
    everywhere = [concordance_within(own, known, developed) for own, known in zip(logits, rated, strict=True)]
    of_corpus = {}
    for name in set(corpora):
        rows = [row for row, corpus in enumerate(developed) if corpus == name]
        within = [rated_concordance(own[rows], known[rows]) for own, known in zip(logits, rated, strict=True)]
        ccc = np.nan_to_num(np.where(np.isnan(within), everywhere, within)).clip(min=0)
        of_corpus[name] = np.where(ccc.any(axis=0), ccc, 1.0)
    return np.stack([of_corpus[name] for name in corpora], axis=1)
