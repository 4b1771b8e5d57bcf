"""The systems of a run: rows of the results table, as configurations of the two models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from corpora.corpus import EMOTIONS, UNKNOWN
from speech_affect import AffectFusionConfig, AffectStudentConfig
from speech_affect.configuration_affect import ACOUSTIC_SOURCES


ROLES = ("baseline", "single", "teacher", "student")
# which classes the second task has: those with a name, "other" and "no agreement" too, or the graders' votes on all
EMOTION_TASKS = ("agreed", "all", "votes")
NOT_AGREED = ("O", "X")


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
        augmented: train on altered copies of the clips too. A copy keeps the clip's label unless another clip was
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


def _spec(name: str, settings, encoders: dict) -> SystemSpec:
    if not name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"system name {name!r} names a folder: letters, digits, - and _ only")
    allowed = {f.name for f in fields(SystemSpec)} - {"name"}
    if not isinstance(settings, dict) or set(settings) - allowed:
        raise ValueError(f"system {name!r} must be a mapping with keys among {', '.join(sorted(allowed))}")
    settings = dict(settings)
    if "distillation" in settings or settings.get("teacher"):
        try:
            settings["distillation"] = Distillation(**settings.get("distillation", {}))
        except TypeError as error:
            raise ValueError(
                f"system {name!r}: distillation takes {[f.name for f in fields(Distillation)]}"
            ) from error
    if settings.get("role") not in ROLES:
        raise ValueError(f"system {name!r} has role {settings.get('role')!r}; allowed are {', '.join(ROLES)}")
    spec = SystemSpec(name=name, **settings)
    if spec.emotions is not None and spec.emotions not in EMOTION_TASKS:
        raise ValueError(f"system {name!r} has emotions {spec.emotions!r}; allowed are {', '.join(EMOTION_TASKS)}")
    if spec.unlabelled and not spec.teachers:
        raise ValueError(f"system {name!r} has no teacher to say what unlabelled audio is worth; leave unlabelled out")
    for branch in spec.branch_settings:
        if branch.get("source") not in (*ACOUSTIC_SOURCES, *encoders):
            known = ", ".join([*ACOUSTIC_SOURCES, *encoders])
            raise ValueError(f"system {name!r}: unknown source {branch.get('source')!r}; the recipe has {known}")
    return spec


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
