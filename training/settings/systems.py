"""The systems of a run: rows of the results table, as configurations of the two models."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

from transformers import TrainingArguments

from speech_affect import AffectFusionConfig, AffectStudentConfig
from speech_affect.configuration_affect import ACOUSTIC_SOURCES, AffectBranchConfig
from speech_affect.configuration_checks import are_numbers

from .labels import EMOTIONS, UNKNOWN
from .suggestions import check_names, did_you_mean


ROLES = ("baseline", "single", "teacher", "student")
# which classes the second task has: those with a name, "other" and "no agreement" too, or the graders' votes on all
EMOTION_TASKS = ("agreed", "all", "votes")
NOT_AGREED = ("O", "X")
# training arguments that no system has of its own
SET_BY_THE_RUN = ("output_dir", "seed", "push_to_hub", "hub_token")
NUMBERS = (
    (int, int, "a whole number"),
    (float, (int, float), "a number, such as 1.0e-3 (without the .0 YAML takes it for a text)"),
    (bool, bool, "true or false"),
)
FLAGS = ("gender", "uncertainty", "augmented", "unlabelled", "optional")
# of a model's configuration, what the corpus or other keys of a system decide
DECIDED_ELSEWHERE = ("branch", "label_range", "emotion_names", "gender_names", "predict_uncertainty", "sampling_rate")


@dataclass(frozen=True)
class Distillation:
    """
    How much each part counts in a distilled student's loss.

    Args:
        label_weight: of the CCC loss on the clip's own labels.
        output_weight: of the CCC loss on the teacher's outputs.
        embedding_weight: of `1 - cosine` between the embeddings.
    """

    label_weight: float = 1.0
    output_weight: float = 1.0
    embedding_weight: float = 1.0

    def __post_init__(self):
        weights = (self.label_weight, self.output_weight, self.embedding_weight)
        if not are_numbers(weights, len(weights)):
            raise ValueError(f"distillation weights are {weights}; give finite numbers")
        if min(weights) < 0 or not sum(weights):
            raise ValueError(f"distillation weights are {weights}; each must be >= 0 and one above 0")


@dataclass(frozen=True)
class SystemSpec:
    """
    One row.

    Args:
        name: the row's name, and that of its folder.
        role: baseline, single (one representation), teacher or student.
        branches: each the name of an acoustic source, or a mapping as [`AffectBranchConfig`] takes it.
        fusion_level: `embedding` or `frame`.
        emotions: second task, emotion classes: `agreed` (without other and no agreement), `all`, or `votes` (the
            graders' distribution over all).
        gender: second task, the speaker's gender.
        uncertainty: predict how far the grades scatter, and calibrate it on development.
        augmented: train on augmented copies of the clips too. A copy keeps the clip's label unless another clip was
            joined to it; a distilled student gets the teacher's opinion of every copy.
        unlabelled: of a distilled student: hear the run's unlabelled audio too, with the teacher's opinion of it.
        teacher: name of the system that a student is distilled from, or several: their outputs are averaged, and the
            embedding is the first one's.
        distillation: loss weights; of a student with a teacher.
        optional: leave the system out, with a warning, where one of its encoders cannot be found.
        config: settings of the model's configuration for this system alone, over the run's `head`.
        training: training arguments of this system alone.
    """

    name: str
    role: str
    branches: list = field(default_factory=lambda: ["mfb"])
    fusion_level: str = "embedding"
    emotions: str | None = None
    gender: bool = False
    uncertainty: bool = False
    augmented: bool = False
    unlabelled: bool = False
    optional: bool = False
    teacher: str | list[str] | None = None
    distillation: Distillation | None = None
    config: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)

    @property
    def branch_settings(self) -> list[dict]:
        return [{"source": branch} if isinstance(branch, str) else dict(branch) for branch in self.branches]

    @property
    def teachers(self) -> list[str]:
        return [self.teacher] if isinstance(self.teacher, str) else list(self.teacher or [])

    def emotion_codes(self, present: Iterable[str]) -> list[str]:
        """Codes of the classes that this system learns, among those that the training clips have."""
        if self.emotions is None:
            return []
        left_out = NOT_AGREED if self.emotions == "agreed" else ()
        return sorted(set(present) & set(EMOTIONS) - set(left_out))


def system_specs(systems: dict, encoders: dict, only: list[str] | None) -> dict[str, SystemSpec]:
    """
    Check the recipe's systems and put teachers before their students.

    Args:
        systems: name -> settings, as in [`SystemSpec`].
        encoders: name -> {id, revision}.
        only: names to keep, with their teachers; all without it.

    Raises:
        ValueError: a setting, role, source or teacher that does not exist.
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
    for name in only or []:
        if name not in specs:
            raise ValueError(f"no system {name!r}; the recipe has {', '.join(specs)}")
    wanted = set(only or specs)
    wanted |= {teacher for name in wanted for teacher in specs[name].teachers}
    ordered = sorted((specs[n] for n in specs if n in wanted), key=lambda spec: bool(spec.teachers))
    return {spec.name: spec for spec in ordered}


def check_encoders(encoders: dict) -> None:
    """
    Check the recipe's encoders, as far as their settings tell.

    Raises:
        ValueError: a name that can name no folder, or settings other than id, revision and pad_to_window.
    """
    for name, entry in encoders.items():
        _check_name("encoder", name)
        if name in ACOUSTIC_SOURCES:
            raise ValueError(f"an encoder is named {name!r}, which is a source that needs none; give another name")
        if not isinstance(entry, dict) or "id" not in entry:
            raise ValueError(
                f"encoder {name!r} is {entry!r}; give {{id: Hub id or folder}}, with revision or pad_to_window"
            )
        check_names(f"encoder {name!r}", entry, ("id", "revision", "pad_to_window"))
        for key in ("id", "revision"):
            if not isinstance(entry.get(key, "x"), str) or not entry.get(key, "x"):
                raise ValueError(f"encoder {name!r} has {key}: {entry[key]!r}; give a text")
        if not isinstance(entry.get("pad_to_window", True), bool):
            raise ValueError(f"encoder {name!r} has pad_to_window: {entry['pad_to_window']!r}; give true or false")


def check_model(spec: SystemSpec, head: dict) -> None:
    """
    Check what a system says of its model before any corpus or encoder is fetched: all but what encoders decide.

    Args:
        spec: the system.
        head: sizes of the head, for every system.

    Raises:
        ValueError: a setting that the model's configuration does not have, or what it refuses.
    """
    allowed = [name for name in AffectStudentConfig.__annotations__ if name not in DECIDED_ELSEWHERE]
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


def _check_name(kind: str, name) -> None:
    if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"{kind} name {name!r} names a folder: letters, digits, - and _ only")


def _spec(name: str, settings, encoders: dict) -> SystemSpec:
    _check_name("system", name)
    allowed = sorted({f.name for f in fields(SystemSpec)} - {"name"})
    unknown = sorted(set(settings) - set(allowed)) if isinstance(settings, dict) else [settings]
    if unknown:
        found = f"; {unknown[0]!r} is none{did_you_mean(unknown[0], allowed)}"
        raise ValueError(f"system {name!r} must be a mapping with keys among {', '.join(allowed)}{found}")
    _check_types(name, settings)
    settings = dict(settings)
    if "distillation" in settings or settings.get("teacher"):
        given = settings.get("distillation", {})
        known = [f.name for f in fields(Distillation)]
        if not isinstance(given, dict):
            raise ValueError(f"system {name!r}: distillation takes {', '.join(known)}, not {given!r}")
        check_names(f"system {name!r}: distillation takes {', '.join(known)}; it", given, known)
        settings["distillation"] = Distillation(**given)
    if settings.get("role") not in ROLES:
        raise ValueError(f"system {name!r} has role {settings.get('role')!r}; allowed are {', '.join(ROLES)}")
    spec = SystemSpec(name=name, **settings)
    if spec.emotions is not None and spec.emotions not in EMOTION_TASKS:
        raise ValueError(f"system {name!r} has emotions {spec.emotions!r}; allowed are {', '.join(EMOTION_TASKS)}")
    if spec.unlabelled and not spec.teachers:
        raise ValueError(f"system {name!r} has no teacher to say what unlabelled audio is worth; leave unlabelled out")
    _check_training(name, spec.training)
    for branch in spec.branch_settings:
        _check_branch(name, branch, encoders)
    return spec


def _check_types(name: str, settings: dict) -> None:
    for key in FLAGS:
        if not isinstance(settings.get(key, False), bool):
            raise ValueError(f"system {name!r} has {key}: {settings[key]!r}; give true or false")
    for key in ("config", "training"):
        if not isinstance(settings.get(key, {}), dict):
            raise ValueError(f"system {name!r} has {key}: {settings[key]!r}; give a mapping")
    branches = settings.get("branches", ["mfb"])
    if not isinstance(branches, list) or not branches or not all(isinstance(b, (str, dict)) for b in branches):
        raise ValueError(f"system {name!r} has branches: {branches!r}; give a list of sources, or of mappings")
    teacher = settings.get("teacher") or []
    teachers = teacher if isinstance(teacher, list) else [teacher]
    if not all(isinstance(t, str) for t in teachers) or len(set(teachers)) != len(teachers):
        raise ValueError(f"system {name!r} has teacher: {teacher!r}; give the name of a system, or a list, each once")


def _check_training(name: str, training: dict) -> None:
    """They are set as they are: nothing makes a number of a text, as the command line does."""
    place = f"training of system {name!r}"
    hints, known = typing.get_type_hints(TrainingArguments), [f.name for f in fields(TrainingArguments)]
    for key, value in training.items():
        if key not in known:
            hint = did_you_mean(key, known)
            raise ValueError(f"{place} has an unknown argument {key!r}{hint}; give those of TrainingArguments")
        if key in SET_BY_THE_RUN:
            raise ValueError(f"{place} has {key}, which is the run's to say; leave it out")
        kinds = [typing.get_origin(kind) or kind for kind in typing.get_args(hints[key]) or [hints[key]]]
        for kind, taken, given in NUMBERS:
            if kind in kinds and not (isinstance(value, taken) or value is None) and str not in kinds:
                raise ValueError(f"{place} has {key}: {value!r}; give {given}")
            if kind in kinds and kind is not bool and isinstance(value, bool):
                raise ValueError(f"{place} has {key}: {value!r}; give {given}")


def _check_branch(name: str, branch: dict, encoders: dict) -> None:
    known = [*ACOUSTIC_SOURCES, *encoders]
    if branch.get("source") not in known:
        hint = did_you_mean(branch.get("source"), known)
        raise ValueError(
            f"system {name!r}: unknown source {branch.get('source')!r}; the recipe has {', '.join(known)}{hint}"
        )
    check_names(f"branch {branch['source']!r} of system {name!r}", branch, AffectBranchConfig.__annotations__)
    try:
        AffectBranchConfig(**branch)
    except ValueError as error:
        raise ValueError(f"branch {branch['source']!r} of system {name!r}: {error}") from error


def build_config(spec: SystemSpec, encoders: dict, head: dict, label_range, emotions: list[str], genders: list[str]):
    """
    The model configuration of one system.

    Args:
        spec: the system.
        encoders: name -> [`AffectEncoderConfig`], all of the run; those that the branches read are kept.
        head: sizes of the head, as in [`AffectFusionConfig`].
        label_range: of the corpus.
        emotions: codes of the corpus's emotion classes.
        genders: of the corpus's speakers.

    Raises:
        ValueError: a second task that the corpus has fewer than two classes for, or what the configuration refuses.
    """
    shared = {**head, **spec.config, "label_range": tuple(label_range), "predict_uncertainty": spec.uncertainty}
    if spec.emotions:
        shared["emotion_names"] = [EMOTIONS[code] for code in spec.emotion_codes(emotions)]
    if spec.gender:
        shared["gender_names"] = sorted(set(genders) - {None, UNKNOWN})
    for task in ("emotion_names", "gender_names"):
        if len(shared.get(task, [0, 0])) < 2:
            raise ValueError(f"system {spec.name!r}: the training clips have {shared[task]} as {task}: no second task")
    branches = spec.branch_settings
    if spec.role == "student":
        if len(branches) != 1:
            raise ValueError(f"system {spec.name!r}: a student has one acoustic branch, not {len(branches)}")
        return AffectStudentConfig(branch=branches[0], **shared)
    used = {branch["source"] for branch in branches} & set(encoders)
    return AffectFusionConfig(
        branches=branches,
        encoders={name: encoders[name].to_dict() for name in encoders if name in used},
        fusion_level=spec.fusion_level,
        **shared,
    )
