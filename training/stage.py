"""One training stage: one system, one seed. A finished one is not run again; an interrupted one goes on."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from frame_dataset import FrameCollator, FrameDataset
from prediction import Predictions, predict, write_predictions
from progress import show_progress
from systems import SystemSpec
from trainer import AffectTrainer, DistillationTrainer
from transformers import EarlyStoppingCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from speech_affect import AffectFusionModel, AffectStudentModel


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
)


@dataclass
class Stage:
    """
    Everything one stage needs.

    Args:
        spec: the system.
        seed: of weights, order and dropout.
        config: the model's configuration.
        datasets: split name -> clips with the caches of this system's branches.
        arguments: training arguments of the run.
        patience: epochs without a better development CCC before stopping.
        folder: of this stage.
        data_fingerprint: of clips and labels.
        teacher: the finished stage of the teacher, same seed.
    """

    spec: SystemSpec
    seed: int
    config: object
    datasets: dict[str, FrameDataset]
    arguments: TrainingArguments
    patience: int
    folder: Path
    data_fingerprint: str
    teacher: Stage | None = None

    @property
    def fingerprint(self) -> str:
        """Identity of all that decides the result."""
        return hashlib.sha256(json.dumps(self.settings(), sort_keys=True, default=str).encode()).hexdigest()

    def settings(self) -> dict:
        arguments = self.training_arguments()
        return {
            "system": asdict(self.spec),
            "seed": self.seed,
            "config": self.config.to_dict(),
            "training": {name: getattr(arguments, name) for name in DECIDING},
            "patience": self.patience,
            "processes": PartialState().num_processes,
            "data": self.data_fingerprint,
            "teacher": self.teacher.fingerprint if self.teacher else None,
        }

    def training_arguments(self) -> TrainingArguments:
        arguments = copy.copy(self.arguments)
        for name, value in self.spec.training.items():
            if not hasattr(arguments, name):
                raise ValueError(f"system {self.spec.name!r}: unknown training argument {name!r}")
            setattr(arguments, name, value)
        arguments.output_dir = str(self.folder / "checkpoints")
        arguments.seed = self.seed
        return arguments

    def result(self) -> dict | None:
        """What [`run_stage`] noted, if this very stage is finished."""
        try:
            result = json.loads((self.folder / "stage.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return result if result.get("fingerprint") == self.fingerprint else None

    def model(self):
        """The trained model of a finished stage, without its front end."""
        model_class = AffectStudentModel if self.spec.role == "student" else AffectFusionModel
        return model_class.from_pretrained(self.folder / "model", with_front_end=False)


def run_stage(stage: Stage, batch_size: int) -> dict:
    """
    Train, keep the best model, predict every evaluation split; or return what an earlier run did.

    Args:
        stage: what to train.
        batch_size: of prediction.

    Returns:
        `{"fingerprint", "best_epoch", "development", "seconds", ...}`.
    """
    label = f"{stage.spec.name}, seed {stage.seed}"
    done = stage.result()
    if done is not None:
        logger.info("%s: finished before, CCC on development %.3f", label, done["development"]["ccc_mean"])
        return done
    logger.info("%s: training on %d clips", label, len(stage.datasets["train"]))
    state = PartialState()
    if state.is_main_process:
        _prepare_folder(stage)
    state.wait_for_everyone()
    started = time.perf_counter()
    trainer = _trainer(stage, batch_size)
    show_progress(trainer, enabled=not trainer.args.disable_tqdm)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(trainer.args.output_dir))
    development = trainer.evaluate()
    result = {
        "fingerprint": stage.fingerprint,
        "epochs": trainer.state.epoch,
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        "development": {k.removeprefix("eval_"): v for k, v in development.items() if k.startswith("eval_ccc")},
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if state.is_main_process:
        _write_json(stage.folder / "history.json", trainer.state.log_history)
        _keep_results(stage, trainer.accelerator.unwrap_model(trainer.model), result, batch_size)
    state.wait_for_everyone()
    logger.info("%s: CCC on development %.3f", label, result["development"]["ccc_mean"])
    return result


def _prepare_folder(stage: Stage) -> None:
    """Keep the checkpoints of an interrupted run of the same stage; drop those of any other."""
    marker = stage.folder / "settings.json"
    if stage.folder.is_dir() and (
        not marker.is_file() or json.loads(marker.read_text())["fingerprint"] != stage.fingerprint
    ):
        logger.info("%s: settings or data changed, starting anew", stage.folder)
        shutil.rmtree(stage.folder)
    (stage.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    _write_json(marker, {"fingerprint": stage.fingerprint, **stage.settings()})


def _trainer(stage: Stage, batch_size: int) -> AffectTrainer:
    set_seed(stage.seed)
    model_class = AffectStudentModel if stage.spec.role == "student" else AffectFusionModel
    model = model_class(copy.deepcopy(stage.config), with_front_end=False)  # saving notes things in a config
    _standardise(model, stage.datasets["train"])
    train = stage.datasets["train"]
    trainer_class, extra = AffectTrainer, {}
    if stage.teacher is not None:
        train.set_teacher(*predict(stage.teacher.model(), stage.teacher.datasets["train"], batch_size))
        trainer_class, extra = DistillationTrainer, {"distillation": stage.spec.distillation}
    return trainer_class(
        model=model,
        args=stage.training_arguments(),
        train_dataset=train,
        eval_dataset=stage.datasets["development"],
        data_collator=FrameCollator(with_emotions=bool(stage.config.emotion_names)),
        callbacks=[EarlyStoppingCallback(stage.patience)],
        **extra,
    )


def _standardise(model, train: FrameDataset) -> None:
    """Mean and standard deviation of each branch's raw frames over the training clips."""
    for name, cache in train.caches.items():
        count, total, squares = 0, 0.0, 0.0
        for fingerprint in train.fingerprints:
            frames = torch.from_numpy(cache.read(fingerprint).astype("float64"))
            count, total, squares = count + len(frames), total + frames.sum(0), squares + frames.square().sum(0)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        model.regressor.set_frame_statistics(name, mean.float(), variance.sqrt().float())


def _keep_results(stage: Stage, model, result: dict, batch_size: int) -> None:
    model.save_pretrained(stage.folder / "model")
    for split, dataset in stage.datasets.items():
        if split != "train":
            logits, _ = predict(model, dataset, batch_size)
            path = stage.folder / f"predictions_{split}.csv"
            write_predictions(path, Predictions(dataset.files, logits, dataset.labels))
    shutil.rmtree(stage.folder / "checkpoints")
    _write_json(stage.folder / "stage.json", result)


def _write_json(path: Path, content: dict | list) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")
    os.replace(temporary, path)
