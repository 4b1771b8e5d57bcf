"""A training job, one system x data split x seed: its settings, its identity and its files."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from accelerate import PartialState
from safetensors.torch import load_model
from transformers import TrainingArguments

from speech_affect import DIMENSIONS, AffectFusionModel, AffectStudentModel
from speech_affect.front_end import AffectFrontEnd

from ..audio.augmentation import EpochCopies
from ..audio.clip_loading import LoadableClip
from ..corpora.clip_table import ClipTable, table_fingerprint
from ..encoders.encoder_sources import EncoderSource
from ..encoders.library import EncoderLibrary
from ..files import read_json
from ..frames.audio_dataset import AudioDataset
from ..frames.frame_cache import FrameCache
from ..frames.frame_dataset import FrameDataset
from ..frames.text_frames import TranscriptFrames
from ..settings.augmentation import AugmentationSettings
from ..settings.split_key import SplitKey
from ..settings.systems import SystemSpec
from .auxiliary import PART
from .data_splits import DEVELOPMENT, TRAIN
from .streamed_speech import StreamedSpeech


# the training arguments that the result depends on
DECISIVE_ARGUMENTS = ("per_device_train_batch_size", "gradient_accumulation_steps", "train_sampling_strategy")
DECISIVE_ARGUMENTS += ("num_train_epochs", "max_steps", "learning_rate", "lr_scheduler_type", "warmup_steps", "optim")
DECISIVE_ARGUMENTS += ("weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "bf16", "fp16")
DECISIVE_ARGUMENTS += ("metric_for_best_model", "eval_strategy", "eval_steps")
# settings of a system that are told only where they are used
TOLD_IF_USED = ("train_encoders", "languages", "labels", "auxiliary")


@dataclass
class FrameTargets:
    """Frames of an encoder that a student's TC-GRU learns to predict.

    Args:
        table: Clips, of which nothing but the audio is read.
        cache: Their cached frames.
        per_output: Frames that one output of the TC-GRU spans.
    """

    table: ClipTable
    cache: FrameCache
    per_output: int

    @property
    def identity(self) -> dict:
        """What the pre-trained weights depend on besides the system."""
        return {"data": table_fingerprint(self.table), "frames": self.cache.folder.name}


@dataclass
class ClipAudio:
    """What a job reads whose encoders are trained.

    Args:
        clips: Audio of every clip that it trains on or predicts, by its fingerprint.
        library: Encoders of the run.
        copies: As of [`EpochCopies`], for systems that are augmented.
        augmentation: Parameters of the augmentation.
    """

    clips: Mapping[str, dict | LoadableClip]
    library: EncoderLibrary
    copies: int
    augmentation: AugmentationSettings


@dataclass
class Job:
    """One system, trained on one data split with one seed.

    Args:
        spec: The system.
        seed: Seed of weights, order and dropout.
        config: Configuration of the model.
        tables: Clips to train on (`train`), to choose the best epoch by (`development`), and to predict (all others).
        caches: Per branch name the cached frames, of all branches but those of trained encoders.
        emotion_codes: Codes of the classes in `config.emotion_names`.
        arguments: Training arguments of the run.
        patience: Evaluations without a better development CCC before training stops; None to train to the end.
        folder: Folder of this job.
        averaged: The dimensions whose mean CCC on development chooses the epoch.
        by_word: As [`listened`] takes it.
        evaluated_as: As of [`DataSplits`].
        shares: Of each corpus in training batches, and of unlabelled speech; empty where all clips are drawn alike.
        teachers: Jobs that a student is distilled from, one per teacher.
        frame_targets: What the student is pre-trained on, if it is.
        initial: What the weights start from, if they do not start anew: a finished job, or a checkpoint.
        audio: What trained encoders read, if there are any.
        auxiliary: As of [`auxiliary_targets`], for the clips to train on.
        stream: Speech that the job hears besides its training clips, if any.
    """

    spec: SystemSpec
    seed: int
    config: object
    tables: dict[SplitKey, ClipTable]
    caches: dict[str, FrameCache | TranscriptFrames]
    emotion_codes: list[str]
    arguments: TrainingArguments
    patience: int | None
    folder: Path
    averaged: Sequence[str] = DIMENSIONS
    by_word: Mapping[str, Collection[str]] = field(default_factory=dict)
    evaluated_as: SplitKey | None = None
    shares: dict[str, float] = field(default_factory=dict)
    teachers: list[Job] = field(default_factory=list)
    frame_targets: FrameTargets | None = None
    initial: Job | EncoderSource | None = None
    audio: ClipAudio | None = None
    auxiliary: dict[str, np.ndarray] = field(default_factory=dict)
    stream: StreamedSpeech | None = None

    @property
    def needed(self) -> list[Job]:
        """Jobs that have to be finished before this one."""
        return [*self.teachers, *([self.initial] if isinstance(self.initial, Job) else [])]

    @cached_property
    def fingerprint(self) -> str:
        """Identity of everything that the result depends on."""
        return hashlib.sha256(json.dumps(self.settings(), sort_keys=True, default=str).encode()).hexdigest()

    @property
    def label(self) -> str:
        """Name in messages, such as `student_kd/fold2/seed0`."""
        return self.folder.relative_to(Path(self.arguments.output_dir) / "jobs").as_posix()

    def settings(self) -> dict:
        """Return everything that the result depends on, as JSON takes it."""
        arguments = self.training_arguments()
        return {
            "system": _given(self.spec),
            "seed": self.seed,
            "config": self.config.to_dict(),
            "training": {name: getattr(arguments, name) for name in DECISIVE_ARGUMENTS},
            "patience": self.patience,
            "processes": PartialState().num_processes,
            "data": {str(key): table_fingerprint(self.tables[key]) for key in (TRAIN, DEVELOPMENT)},
            "frames": {name: cache.folder.name for name, cache in self.caches.items()},
            "texts": {str(key): self.text_fingerprints(self.tables[key]) for key in (TRAIN, DEVELOPMENT)},
            "teachers": [teacher.fingerprint for teacher in self.teachers],
            "frame_targets": self.frame_targets and self.frame_targets.identity,
            **({} if set(self.config.id2label.values()) <= set(self.averaged) else {"averaged": list(self.averaged)}),
            **({"shares": self.shares} if self.shares else {}),
            **({"languages": self.tables[TRAIN].languages} if self._by_language else {}),
            **({"initial": self._initial_identity} if self.initial else {}),
            **(self._encoder_identity() if self.audio else {}),
            **({"auxiliary": self._auxiliary_identity} if self.auxiliary else {}),
            **({"stream": self.stream.identity} if self.stream else {}),
            **({"by_word": self.by_word} if self.config.predict_uncertainty and any(self.by_word.values()) else {}),
            # FSDP cannot continue from a checkpoint that Trainer saved without it, nor the other way round
            **({"sharded": True} if os.environ.get("ACCELERATE_USE_FSDP") == "true" else {}),
        }

    @property
    def initial_name(self) -> str | None:
        """Name of the system, or Hub id or folder's name of the checkpoint, that the weights start from."""
        return self.initial and (self.initial.spec.name if isinstance(self.initial, Job) else self.initial.name)

    @property
    def _initial_identity(self) -> str:
        return self.initial.fingerprint if isinstance(self.initial, Job) else self.initial.revision

    @property
    def _by_language(self) -> bool:
        return self.spec.distillation is not None and self.spec.distillation.teacher_weights == "language"

    @property
    def _auxiliary_identity(self) -> dict[str, str]:
        return {name: hashlib.sha256(targets.tobytes()).hexdigest() for name, targets in self.auxiliary.items()}

    def _encoder_identity(self) -> dict:
        drawn = {"copies": self.audio.copies, **asdict(self.audio.augmentation)} if self.spec.augmented else None
        return {"encoders": {n: self.audio.library.identity(n) for n in self.spec.train_encoders}, "drawn": drawn}

    @property
    def trained_branches(self) -> list[str]:
        """Names of the branches whose encoders are trained."""
        return [branch.name for branch in self.config.branches if branch.source in self.spec.train_encoders]

    @property
    def computed_branches(self) -> list[str]:
        """Names of the branches whose frames are computed in training: of copies those of all branches but text."""
        if not self.spec.augmented:
            return self.trained_branches
        return [branch.name for branch in self.config.branches if not self.config.is_text_branch(branch)]

    def training_arguments(self) -> TrainingArguments:
        """Return the training arguments of this job: those of the run, and over them those of its system."""
        arguments = copy.copy(self.arguments)
        for name, value in self.spec.training.items():
            setattr(arguments, name, value)
        arguments.output_dir = str(self.folder / "checkpoints")
        arguments.seed = self.seed
        arguments.restore_callback_states_from_checkpoint = True  # the count of early stopping
        # whole systems are pushed, not Trainer's checkpoints; the arguments it pickles must not contain a token
        arguments.push_to_hub, arguments.hub_token = False, None
        return arguments

    def text_fingerprints(self, table: ClipTable) -> list[str]:
        """Return the identity of what each text branch reads of these clips."""
        texts = [cache for cache in self.caches.values() if isinstance(cache, TranscriptFrames)]
        return [cache.text_fingerprint(table.fingerprints) for cache in texts]

    def prediction_fingerprint(self, table: ClipTable, *more) -> str:
        """Return the identity of the predictions for these clips: of the model, the clips and any further settings."""
        content = [self.fingerprint, table_fingerprint(table), *self.text_fingerprints(table), *more]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def dataset(self, table: ClipTable) -> FrameDataset:
        """Return the inputs and targets of these clips for this system."""
        targets = (self.config, self.emotion_codes, self.spec.emotions == "votes")
        if not self.audio:
            return FrameDataset(table, self.caches, *targets)
        return AudioDataset(table, self.caches, *targets, audio=self.audio.clips)

    def training_dataset(self) -> FrameDataset:
        """Return the inputs and targets that the system trains on; of trained encoders, copies drawn in each epoch."""
        table, audio = self.tables[TRAIN], self.audio
        dataset = self.dataset(table)
        if audio and self.spec.augmented:
            rows = zip(table.fingerprints, table.speakers, strict=True)
            clips = [(fingerprint, audio.clips[fingerprint], speaker) for fingerprint, speaker in rows]
            dataset.copies = EpochCopies(clips, audio.copies, audio.augmentation, self.seed)
            dataset.caches = {n: cache for n, cache in self.caches.items() if n not in self.computed_branches}
        dataset.targets |= {PART + name: targets for name, targets in self.auxiliary.items()}
        return dataset

    def result(self) -> dict | None:
        """Return the result of training, None if this job has not been trained with these settings."""
        result = read_json(self.folder / "job.json")
        return result if result.get("fingerprint") == self.fingerprint else None

    def unpredicted(self) -> list[SplitKey]:
        """Return the splits, all but `train`, whose predictions are not on disk yet."""
        done = read_json(self.folder / "predicted.json")
        keys = [key for key in self.tables if key != TRAIN]
        return [key for key in keys if done.get(str(key)) != self.prediction_fingerprint(self.tables[key])]

    @property
    def pretraining_folder(self) -> Path:
        """Folder of checkpoints and weights of the pre-training, until this job is finished."""
        return self.folder / "pretraining"

    def predictions_path(self, key: SplitKey) -> Path:
        """Return the path of a split's predictions."""
        return self.folder / f"predictions_{key}.csv"

    def new_model(self) -> AffectFusionModel | AffectStudentModel:
        """Return an untrained model without its front end."""
        return self._model_class(copy.deepcopy(self.config), with_front_end=False)  # saving changes its configuration

    def model(self) -> AffectFusionModel | AffectStudentModel:
        """Return the trained model, of its front end with the trained encoders alone."""
        model = self._model_class.from_pretrained(self.folder / "model", with_front_end=False)
        if self.spec.train_encoders:
            self.add_front_end(model, self.trained_branches)
            for name, encoder in model.front_end.encoders.items():
                load_model(encoder.backbone, self.folder / "encoders" / f"{name}.safetensors")
        return model

    def add_front_end(self, model, branches: Collection[str]) -> None:
        """Give a model the front end of some branches, with new encoders."""
        config = copy.deepcopy(self.config)
        config.branches = [branch for branch in config.branches if branch.name in branches]
        used = {branch.source for branch in config.branches}
        config.encoders = {name: encoder for name, encoder in config.encoders.items() if name in used}
        model.front_end = AffectFrontEnd(config)

    @property
    def _model_class(self) -> type:
        return AffectStudentModel if self.spec.role == "student" else AffectFusionModel


def _given(spec: SystemSpec) -> dict:
    """Return a system as JSON; what it starts from, a path or a name, is told by its content."""
    settings = {name: value for name, value in asdict(spec).items() if value or name not in TOLD_IF_USED}
    for name in ("init_from", "compared_with"):
        del settings[name]
    return {**settings, "distillation": spec.distillation and spec.distillation.told()}
