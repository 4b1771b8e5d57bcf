"""The systems of a run, which are the rows of the results table, and the configurations of their models."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_type_hints

from transformers import PreTrainedConfig

from speech_affect import DIMENSIONS, AffectEncoderConfig, AffectFusionConfig, AffectStudentConfig
from speech_affect.configuration_affect import ACOUSTIC_SOURCES, AffectBranchConfig

from .auxiliary import Auxiliary, read_auxiliary
from .checks import check_mapping, check_names, check_training, check_type, did_you_mean
from .distillation import Distillation
from .distilled_encoder import check_distilled, is_distilled
from .encoder_training import EncoderTraining, read_encoder_training
from .labels import EMOTIONS, LABELS, UNKNOWN
from .pretraining import Pretraining, read_pretraining


NOT_AGREED = ("O", "X")  # classes without an emotion
# settings of a configuration that the corpus, the encoders or other keys of a system decide
DECIDED_ELSEWHERE = ("branch", "label_range", "emotion_names", "gender_names", "predict_uncertainty", "sampling_rate")
ENCODER_TYPES = {"id": str, "revision": str | None, "pad_to_window": bool}


@dataclass(frozen=True)
class SystemSpec:
    """One row.

    Args:
        name: Name of the row and of its folder.
        role: What the system is for; `single` has one representation.
        branches: Each the name of an acoustic source, or a mapping with the arguments of [`AffectBranchConfig`].
        fusion_level: Where branches are joined.
        emotions: Second task, emotion classes: `agreed` (without `other` and `no agreement`), `all`, or `votes` (the
            graders' distribution over all).
        gender: Second task, the speaker's gender.
        uncertainty: Predict how far the grades scatter, calibrated on development.
        augmented: Train on augmented copies of the clips too. A copy keeps the clip's label unless another clip was
            joined to it; for a distilled student the teacher predicts every copy.
        unlabelled: For a distilled student: train on the run's unlabelled audio too, with the teacher's predictions.
        languages: ISO 639 codes of the languages whose clips it trains on and chooses its epoch by; all if empty. It
            is tested on every clip.
        labels: Name of a corpus -> the labels, out of `LABELS`, that the system learns of it; of other corpora all. It
            is developed and tested on all.
        optional: Leave the system out, with a warning, if one of its encoders cannot be found.
        teacher: Name of the system that a student is distilled from, or several: their outputs are averaged, with the
            weights of `distillation`; the embedding is that of the one with the highest weight, the first of equals.
        distillation: Loss weights, and weights of several teachers; only of a student with a teacher.
        pretraining: What a student learns before all this, if anything.
        init_from: Where the weights start: another system of the run, or a folder or Hub id of a checkpoint.
        train_encoders: Name of each encoder of its branches that is trained too -> how; not of a student. Its copies,
            if it is `augmented`, are drawn anew in each epoch, and not joined.
        auxiliary: `speaker`, `corpus` or `language` -> the classifier on the embedding that tells them apart, in
            training alone. Clips of which it is not known, such as unlabelled speech, do not count.
        config: Settings of the model's configuration for this system, over the run's `head`.
        training: Training arguments of this system.
        compared_with: Names of systems that the report tests this one against, beside those that it chooses itself.
    """

    name: str
    role: Literal["baseline", "single", "teacher", "student"]
    branches: list[str | dict] = field(default_factory=lambda: ["mfb"])
    fusion_level: Literal["embedding", "frame"] = "embedding"
    emotions: Literal["agreed", "all", "votes"] | None = None
    gender: bool = False
    uncertainty: bool = False
    augmented: bool = False
    unlabelled: bool = False
    languages: list[str] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    optional: bool = False
    teacher: str | list[str] | None = None
    distillation: Distillation | None = None
    pretraining: Pretraining | None = None
    init_from: str | None = None
    train_encoders: dict[str, EncoderTraining] = field(default_factory=dict)
    auxiliary: dict[str, Auxiliary] = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    compared_with: list[str] = field(default_factory=list)

    @property
    def branch_settings(self) -> list[dict]:
        """Arguments of [`AffectBranchConfig`], one mapping per branch."""
        return [{"source": branch} if isinstance(branch, str) else dict(branch) for branch in self.branches]

    @property
    def frozen_branches(self) -> list[dict]:
        """Those of them whose frames are the same throughout training."""
        return [branch for branch in self.branch_settings if branch["source"] not in self.train_encoders]

    @property
    def cached_branches(self) -> list[dict]:
        """Arguments of [`AffectBranchConfig`] of all frames that are inputs or predicted."""
        return [*self.branch_settings, *([self.pretraining.branch] if self.pretraining else [])]

    @property
    def teachers(self) -> list[str]:
        """Names of the teachers."""
        return [self.teacher] if isinstance(self.teacher, str) else list(self.teacher or [])

    def needed(self, systems: Container[str]) -> list[str]:
        """Return the names of the systems, of these, that have to be finished before this one."""
        return [*self.teachers, *([self.init_from] if self.init_from in systems else [])]

    def emotion_codes(self, present: Iterable[str]) -> list[str]:
        """Return the codes of the classes that this system learns, out of those that the training clips have."""
        if self.emotions is None:
            return []
        left_out = NOT_AGREED if self.emotions == "agreed" else ()
        return sorted(set(present) & set(EMOTIONS) - set(left_out))


def system_specs(systems: dict, encoders: dict, only: list[str] | None) -> dict[str, SystemSpec]:
    """Check the recipe's systems and order them, each after those it needs; `only` keeps some and what they need.

    Raises:
        ValueError: A setting does not exist or is not allowed.
    """
    specs = {name: _spec(name, settings, encoders) for name, settings in systems.items()}
    for spec in specs.values():
        if spec.teachers and spec.role != "student":
            raise ValueError(f"system {spec.name!r} has role {spec.role!r} and a teacher; only a student has one")
        for teacher in spec.teachers:
            if teacher not in specs or specs[teacher].teachers:
                allowed = ", ".join(name for name, other in specs.items() if not other.teachers) or "none"
                raise ValueError(
                    f"system {spec.name!r} has teacher {teacher!r}; a student's teacher must be a system without one: "
                    f"{allowed}"
                )
        _check_distillation(spec, specs)
        check_names(f"compared_with of system {spec.name!r}", spec.compared_with, specs, "system")
    for name in only or []:
        if name not in specs:
            raise ValueError(f"no system {name!r}; the recipe has {', '.join(specs)}")
    wanted = with_needed(specs if only is None else only, specs)
    ordered = sorted((specs[n] for n in specs if n in wanted), key=lambda spec: _depth(spec, specs))
    _check_shared_frames(ordered)
    return {spec.name: spec for spec in ordered}


def _check_distillation(spec: SystemSpec, specs: Mapping[str, SystemSpec]) -> None:
    """Check what the distillation asks of student and teachers."""
    distillation, place = spec.distillation, f"distillation of system {spec.name!r}"
    without = [name for name in (spec.name, *spec.teachers) if not specs[name].emotions]
    if distillation and distillation.emotion_weight and without:
        raise ValueError(
            f"{place} has emotion_weight, but {', '.join(without)} has no emotions; give the student and its teachers "
            "emotions, such as all, or leave emotion_weight out"
        )
    by_language = distillation and distillation.teacher_weights == "language"
    if by_language and not any(specs[name].languages for name in spec.teachers):
        raise ValueError(f"{place} has teacher_weights: language, but no teacher has languages; give each its own")


def with_needed(names: Iterable[str], specs: Mapping[str, SystemSpec]) -> set[str]:
    """Return the names of systems, and of all those that they need."""
    found, more = set(), set(names)
    while more - found:
        found |= more
        more = {needed for name in found for needed in specs[name].needed(specs)}
    return found


def _depth(spec: SystemSpec, specs: Mapping[str, SystemSpec], above: tuple[str, ...] = ()) -> int:
    """Return how many systems, one after the other, have to be finished before this one."""
    if spec.name in above:
        raise ValueError(f"systems {', '.join(above)} wait for each other by init_from; let one start anew")
    return max((1 + _depth(specs[name], specs, (*above, spec.name)) for name in spec.needed(specs)), default=0)


def check_encoders(encoders: dict) -> None:
    """Check names and settings of the recipe's encoders; a `ValueError` says what is not allowed."""
    for name, entry in encoders.items():
        _check_name("encoder", name)
        if name in ACOUSTIC_SOURCES:
            raise ValueError(f"an encoder is named {name!r}, which is a source without an encoder; give another name")
        if is_distilled(entry):
            check_distilled(name, entry, encoders)
            continue
        check_mapping(f"encoder {name!r}", entry, ENCODER_TYPES)
        if not entry.get("id"):
            raise ValueError(f"encoder {name!r} has no id; give {{id: Hub id or folder}}, or distilled_from")


def build_config(
    spec: SystemSpec,
    encoders: dict[str, AffectEncoderConfig],
    head: dict,
    label_range: tuple[float, float],
    emotions: list[str],
    genders: list[str],
    dimensions: Sequence[str] = DIMENSIONS,
) -> AffectFusionConfig | AffectStudentConfig:
    """Build the configuration of one system's model.

    Args:
        spec: The system.
        encoders: Configurations of the run's encoders by name; those that the branches read are kept.
        head: Sizes of the head, as in [`AffectFusionConfig`].
        label_range: Lowest and highest label of the corpus.
        emotions, genders: Codes of the classes, and genders of the speakers, of training clips.
        dimensions: Those that training clips were rated in, which are the model's outputs.

    Raises:
        ValueError: Fewer than two classes for a second task, or a setting that the configuration does not allow.
    """
    shared = {"ccc_weights": (1.0,) * len(dimensions), **head, **spec.config}
    shared |= {"label_range": tuple(label_range), "predict_uncertainty": spec.uncertainty}
    if tuple(dimensions) != DIMENSIONS:
        shared["id2label"] = dict(enumerate(dimensions))
    if spec.emotions:
        shared["emotion_names"] = [EMOTIONS[code] for code in spec.emotion_codes(emotions)]
    if spec.gender:
        shared["gender_names"] = sorted(set(genders) - {None, UNKNOWN})
    for task in ("emotion_names", "gender_names"):
        if len(shared.get(task, [0, 0])) < 2:
            found = f"{task} of the training clips are {shared[task]}"
            raise ValueError(f"system {spec.name!r}: a second task needs two classes, but {found}")
    branches = spec.branch_settings
    if spec.role == "student":
        if len(branches) != 1:
            raise ValueError(f"system {spec.name!r}: a student has one acoustic branch, not {len(branches)}")
        return AffectStudentConfig(branch=branches[0], **shared)
    used = {branch["source"] for branch in branches}
    return AffectFusionConfig(
        branches=branches,
        encoders={
            name: encoder_settings(encoders[name], name in spec.train_encoders) for name in encoders if name in used
        },
        fusion_level=spec.fusion_level,
        **shared,
    )


def encoder_settings(config: AffectEncoderConfig, trained: bool) -> dict:
    """Return an encoder's configuration as that of a model; if it is trained, in float32, without its SpecAugment."""
    encoder = config.to_dict()
    if trained:
        encoder["frozen"] = False
        encoder["backbone"]["dtype"] = "float32"
        if "apply_spec_augment" in encoder["backbone"]:
            encoder["backbone"]["apply_spec_augment"] = False
    return encoder


def check_config(spec: SystemSpec, head: dict) -> None:
    """Check what [`build_config`] will get, before any corpus or encoder is fetched, apart from encoders' branches.

    Raises:
        ValueError: The model's configuration does not have a setting or does not allow its value.
    """
    allowed = [name for name in _config_fields(AffectStudentConfig) if name not in DECIDED_ELSEWHERE]
    check_names("head", head, allowed)
    check_names(f"config of system {spec.name!r}", spec.config, allowed)
    if spec.role != "student":
        acoustic = [branch for branch in spec.branch_settings if branch["source"] in ACOUSTIC_SOURCES]
        spec = replace(spec, branches=acoustic or ["mfb"])
    try:
        build_config(spec, {}, head, (0.0, 1.0), list(EMOTIONS), ["Female", "Male"])
    except ValueError as error:
        place = "" if str(error).startswith("system ") else f"system {spec.name!r}: "
        raise ValueError(f"{place}{error}") from error


def _spec(name: str, settings: dict, encoders: dict) -> SystemSpec:
    _check_name("system", name)
    place = f"system {name!r}"
    types = get_type_hints(SystemSpec) | {"distillation": dict | None, "pretraining": dict | None}
    types |= {"train_encoders": dict, "auxiliary": dict}
    del types["name"]
    check_mapping(place, settings, types)
    check_type(place, "role", settings.get("role"), types["role"])
    weights = settings.get("distillation") or {}
    check_mapping(f"distillation of {place}", weights, get_type_hints(Distillation))
    distillation = Distillation(**weights) if settings.get("teacher") else None
    pretraining = read_pretraining(f"pretraining of {place}", settings.get("pretraining"), encoders)
    spec = SystemSpec(name, **settings | {"distillation": distillation, "pretraining": pretraining})
    if settings.get("distillation") is not None and not spec.teachers:
        raise ValueError(f"{place} has distillation, but no teacher; name one, or leave distillation out")
    if pretraining and spec.role != "student":
        raise ValueError(f"{place} has role {spec.role!r} and pretraining; only a student has it")
    if pretraining and spec.init_from:
        raise ValueError(f"{place} has pretraining and init_from, which both give its first weights; leave out one")
    if not spec.branches:
        raise ValueError(f"{place} has no branches; give a list of sources, or of mappings")
    if len(set(spec.teachers)) != len(spec.teachers):
        raise ValueError(f"{place} has teacher: {spec.teacher!r}; give each teacher once")
    if spec.unlabelled and not spec.teachers:
        raise ValueError(f"{place} has unlabelled: true, but no teacher that labels the audio; name one")
    if spec.unlabelled and spec.languages:
        raise ValueError(f"{place} has languages and unlabelled: true, whose language is not known; leave out one")
    check_training(f"training of {place}", spec.training)
    for corpus, labels in spec.labels.items():
        check_type(f"labels of {place}", corpus, labels, list[str])
        check_names(f"{corpus} in labels of {place}", labels, LABELS, "label")
    for branch in spec.branch_settings:
        _check_branch(place, branch, encoders)
    read = list(dict.fromkeys(branch["source"] for branch in spec.branch_settings if branch["source"] in encoders))
    trained = read_encoder_training(f"train_encoders of {place}", spec.train_encoders, read)
    auxiliary = read_auxiliary(f"auxiliary of {place}", spec.auxiliary)
    return replace(spec, train_encoders=trained, auxiliary=auxiliary)


def _check_shared_frames(specs: Sequence[SystemSpec]) -> None:
    """Refuse branches of one name, which share their cached frames, whose frames are not the same."""
    first: dict[str, tuple[str, dict]] = {}
    for spec in specs:
        for settings in spec.branch_settings:
            branch = AffectBranchConfig(**settings)
            frames = {name: getattr(branch, name) for name in ("num_mel_bins", "window_s", "hop_s")}
            other, expected = first.setdefault(branch.name, (spec.name, frames))
            if branch.is_acoustic and frames != expected:
                raise ValueError(
                    f"systems {other!r} and {spec.name!r} read {branch.name!r} with other settings ({expected} and "
                    f"{frames}); a run has one of each source: give both the same, or make two runs"
                )


def _config_fields(config_class: type[PreTrainedConfig]) -> list[str]:
    inherited = {field.name for field in fields(PreTrainedConfig)}
    return [field.name for field in fields(config_class) if field.name not in inherited]


def _check_name(kind: str, name: str) -> None:
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{kind} name {name!r} names a folder: letters, digits, - and _ only")


def _check_branch(place: str, branch: dict, encoders: dict) -> None:
    known, source = [*ACOUSTIC_SOURCES, *encoders], branch.get("source")
    if source not in known:
        hint = did_you_mean(source, known)
        raise ValueError(f"{place}: unknown source {source!r}; the recipe has {', '.join(known)}{hint}")
    place = f"branch {source!r} of {place}"
    check_names(place, branch, _config_fields(AffectBranchConfig))
    try:
        AffectBranchConfig(**branch)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
