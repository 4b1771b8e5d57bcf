"""One training job: one system, one seed. A finished one is not run again; an interrupted one goes on."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from transformers import TrainingArguments, set_seed

from speech_affect import AffectFusionModel, AffectStudentModel

from ..corpora.clip_table import ClipTable, table_fingerprint
from ..frames.frame_cache import FrameCache
from ..frames.frame_dataset import FrameDataset, collate_frames
from ..frames.text_frames import TranscriptFrames
from ..metrics.calibration import uncertainty_scale
from ..settings.labels import LEARNT_FROM
from ..settings.systems import SystemSpec
from .early_stopping import EarlyStopping
from .prediction import Predictions, predict, write_predictions
from .progress import show_progress
from .resumption import drop_torn_checkpoints, train
from .trainer import AffectTrainer, DistillationTrainer


logger = logging.getLogger(__name__)

# the training arguments that decide what is learnt
DECIDING = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "optim",
    "bf16",
    "fp16",
    "train_sampling_strategy",
    "metric_for_best_model",
    "eval_strategy",
    "eval_steps",
)


@dataclass
class Job:
    """
    Everything one job needs.

    Args:
        spec: the system.
        seed: of weights, order and dropout.
        config: the model's configuration.
        tables: what to train on (`train`), to choose the best epoch by (`development`), and to predict (all others).
        caches: frames of each branch.
        emotion_codes: of the classes in `config.emotion_names`.
        arguments: training arguments of the run.
        patience: evaluations without a better development CCC before stopping; None to go on to the end.
        folder: of this job.
        teachers: their finished jobs, per teacher one or several seeds.
    """

    spec: SystemSpec
    seed: int
    config: object
    tables: dict[str, ClipTable]
    caches: dict[str, FrameCache | TranscriptFrames]
    emotion_codes: list[str]
    arguments: TrainingArguments
    patience: int | None
    folder: Path
    teachers: list[Job] = field(default_factory=list)

    @cached_property
    def fingerprint(self) -> str:
        """Identity of all that decides the result."""
        return hashlib.sha256(json.dumps(self.settings(), sort_keys=True, default=str).encode()).hexdigest()

    @property
    def label(self) -> str:
        """Such as `student_kd/fold2/seed0`."""
        return self.folder.relative_to(Path(self.arguments.output_dir) / "jobs").as_posix()

    def settings(self) -> dict:
        arguments = self.training_arguments()
        return {
            "system": asdict(self.spec),
            "seed": self.seed,
            "config": self.config.to_dict(),
            "training": {name: getattr(arguments, name) for name in DECIDING},
            "patience": self.patience,
            "processes": PartialState().num_processes,
            "data": {split: table_fingerprint(self.tables[split]) for split in LEARNT_FROM},
            "frames": {name: cache.folder.name for name, cache in self.caches.items()},
            "texts": {split: self._texts(split) for split in LEARNT_FROM},
            "teachers": [teacher.fingerprint for teacher in self.teachers],
            # FSDP cannot go on from what Trainer saves without it, nor the other way round
            **({"sharded": True} if os.environ.get("ACCELERATE_USE_FSDP") == "true" else {}),
        }

    def _texts(self, split: str) -> list[str]:
        fingerprints = self.tables[split].fingerprints
        texts = [cache for cache in self.caches.values() if isinstance(cache, TranscriptFrames)]
        return [cache.text_fingerprint(fingerprints) for cache in texts]

    def predicted(self, split: str) -> str:
        """Identity of a split's clips and of the model that predicts them."""
        content = [self.fingerprint, table_fingerprint(self.tables[split]), *self._texts(split)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def dataset(self, split: str) -> FrameDataset:
        """The clips of one of the tables, as this system hears them."""
        return FrameDataset(
            self.tables[split], self.caches, self.config, self.emotion_codes, votes=self.spec.emotions == "votes"
        )

    def training_arguments(self) -> TrainingArguments:
        arguments = copy.copy(self.arguments)
        for name, value in self.spec.training.items():
            if not hasattr(arguments, name):
                raise ValueError(f"system {self.spec.name!r}: unknown training argument {name!r}")
            setattr(arguments, name, value)
        arguments.output_dir = str(self.folder / "checkpoints")
        arguments.seed = self.seed
        # whole systems are pushed, not what Trainer saves in between; its pickled arguments must hold no token
        arguments.push_to_hub, arguments.hub_token = False, None
        return arguments

    def result(self) -> dict | None:
        """What [`run_job`] noted, if this very job has been trained."""
        result = _read_json(self.folder / "job.json")
        return result if result.get("fingerprint") == self.fingerprint else None

    def unpredicted(self) -> list[str]:
        """Splits, of those not trained on, that a trained job has yet to predict."""
        noted = _read_json(self.folder / "predicted.json")
        return [s for s in self.tables if s != "train" and noted.get(s) != self.predicted(s)]

    def predictions_path(self, split: str) -> Path:
        """Where a finished job keeps what it says of a split."""
        return self.folder / f"predictions_{split}.csv"

    def model(self):
        """The trained model of a finished job, without its front end."""
        model_class = AffectStudentModel if self.spec.role == "student" else AffectFusionModel
        return model_class.from_pretrained(self.folder / "model", with_front_end=False)


def run_job(job: Job, batch_size: int) -> dict:
    """
    Train, keep the best model, predict every other split; what an earlier run did is not done again.

    Args:
        job: what to train.
        batch_size: of prediction.

    Returns:
        `{"fingerprint", "best_step", "development", "seconds", ...}`.
    """
    result = job.result() or _train(job, batch_size)
    if PartialState().is_main_process:
        # after the result is noted: a part of them alone is nothing to go on from
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
        if job.unpredicted():
            _predict_splits(job, batch_size)
    PartialState().wait_for_everyone()
    return result


def _train(job: Job, batch_size: int) -> dict:
    logger.info("%s: training on %d clips", job.label, len(job.tables["train"]))
    state = PartialState()
    if state.is_main_process:
        _prepare_folder(job)
    state.wait_for_everyone()
    started = time.perf_counter()
    trainer = _trainer(job, batch_size)
    show_progress(trainer, enabled=not trainer.args.disable_tqdm)
    train(trainer)
    development = trainer.evaluate()
    result = {
        "fingerprint": job.fingerprint,
        "epochs": trainer.state.epoch,
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        "development": {k.removeprefix("eval_"): v for k, v in development.items() if k.startswith("eval_ccc")},
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "seconds": round(time.perf_counter() - started, 1),
    }
    weights = trainer.accelerator.get_state_dict(trainer.model)  # under FSDP, every process gives its part
    if state.is_main_process:
        _write_json(job.folder / "history.json", trainer.state.log_history)
        _keep_results(job, weights, result, batch_size)
    state.wait_for_everyone()
    logger.info("%s: CCC on development %.3f", job.label, result["development"]["ccc_mean"])
    return result


def _prepare_folder(job: Job) -> None:
    """Keep the checkpoints of an interrupted run of the same job; drop those of any other."""
    marker = job.folder / "settings.json"
    if job.folder.is_dir() and _read_json(marker).get("fingerprint") != job.fingerprint:
        logger.info("%s: settings or data changed, starting anew", job.folder)
        shutil.rmtree(job.folder)
    (job.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    drop_torn_checkpoints(job.folder / "checkpoints", PartialState().num_processes)
    _write_json(marker, {"fingerprint": job.fingerprint, **job.settings()})


def _trainer(job: Job, batch_size: int) -> AffectTrainer:
    set_seed(job.seed)
    model = _new_model(job)
    train = job.dataset("train")
    _standardise(model, train)
    trainer_class, extra = AffectTrainer, {}
    if job.teachers:
        train.set_teacher(*teach(job, batch_size))
        trainer_class, extra = DistillationTrainer, {"distillation": job.spec.distillation}
    return trainer_class(
        model=model,
        args=job.training_arguments(),
        train_dataset=train,
        eval_dataset=job.dataset("development"),
        data_collator=collate_frames,
        callbacks=[EarlyStopping(job.patience)] if job.patience is not None else [],
        **extra,
    )


def _new_model(job: Job) -> AffectFusionModel | AffectStudentModel:
    model_class = AffectStudentModel if job.spec.role == "student" else AffectFusionModel
    return model_class(copy.deepcopy(job.config), with_front_end=False)  # saving notes things in a config


def teach(job: Job, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """
    What the teachers say of a student's training clips.

    Returns:
        outputs (clips, 3), averaged over the teachers, and the first teacher's embeddings (clips, embedding_size).
    """
    said = []
    for teacher in job.teachers:
        table = {"tables": {"train": job.tables["train"]}}
        said.append(
            predict(teacher.model().to(job.arguments.device), replace(teacher, **table).dataset("train"), batch_size)
        )
    return np.mean([outputs.logits for outputs in said], axis=0), said[0].embedding


def _standardise(model, train: FrameDataset) -> None:
    """Mean and standard deviation of each branch's raw frames over the training clips."""
    with PartialState().main_process_first():  # what it finds is on disk for the others
        for name, cache in train.caches.items():
            mean, std = (torch.from_numpy(values).float() for values in cache.statistics(train.table.fingerprints))
            model.regressor.set_frame_statistics(name, mean, std)


def _keep_results(job: Job, weights: dict[str, torch.Tensor], result: dict, batch_size: int) -> None:
    model = _new_model(job)  # whole and in this process alone, however training had divided it
    model.load_state_dict(weights)
    model.to(job.arguments.device)
    if job.config.predict_uncertainty:
        development = predict(model, job.dataset("development"), batch_size)
        labels = job.tables["development"].labels
        scale = uncertainty_scale(development.logits, labels, development.uncertainty)
        model.regressor.set_uncertainty_scale(torch.from_numpy(scale).float())
    model.save_pretrained(job.folder / "model")
    _write_json(job.folder / "job.json", result)


def _predict_splits(job: Job, batch_size: int) -> None:
    model = job.model().to(job.arguments.device)
    noted = _read_json(job.folder / "predicted.json")
    for split in job.unpredicted():
        table, outputs = job.tables[split], predict(model, job.dataset(split), batch_size)
        predictions = Predictions(list(table.files), outputs.logits, table.labels, outputs.uncertainty)
        write_predictions(job.predictions_path(split), predictions)
        noted[split] = job.predicted(split)
        _write_json(job.folder / "predicted.json", noted)


def _read_json(path: Path) -> dict:
    """What [`_write_json`] wrote; nothing where there is no file, or a damaged one."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict | list) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")
    os.replace(temporary, path)
