"""The systems of a run: rows of the results table, as configurations of the two models."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from speech_affect import AffectFusionConfig, AffectStudentConfig
from speech_affect.configuration_affect import ACOUSTIC_SOURCES


ROLES = ("baseline", "single", "teacher", "student")


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
        emotion_classes: train the emotion classes as a second task.
        teacher: name of the system that a student is distilled from.
        distillation: loss weights; of a student with a teacher.
        training: training arguments of this system alone.
    """

    name: str
    role: str
    branches: list = field(default_factory=lambda: ["mfb"])
    fusion_level: str = "embedding"
    emotion_classes: bool = False
    teacher: str | None = None
    distillation: Distillation | None = None
    training: dict = field(default_factory=dict)

    @property
    def branch_settings(self) -> list[dict]:
        return [{"source": branch} if isinstance(branch, str) else dict(branch) for branch in self.branches]


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
        if spec.teacher is not None and (spec.teacher not in specs or spec.role != "student"):
            raise ValueError(f"system {spec.name!r}: a student's teacher must be one of {', '.join(specs)}")
    for name in only or []:
        if name not in specs:
            raise ValueError(f"no system {name!r}; the recipe has {', '.join(specs)}")
    wanted = set(only or specs)
    wanted |= {specs[name].teacher for name in wanted} - {None}
    ordered = sorted((specs[n] for n in specs if n in wanted), key=lambda spec: spec.teacher is not None)
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
    for branch in spec.branch_settings:
        if branch.get("source") not in (*ACOUSTIC_SOURCES, *encoders):
            known = ", ".join([*ACOUSTIC_SOURCES, *encoders])
            raise ValueError(f"system {name!r}: unknown source {branch.get('source')!r}; the recipe has {known}")
    return spec


def build_config(spec: SystemSpec, encoders: dict, head: dict, label_range, emotion_names: list[str]):
    """
    The model configuration of one system.

    Args:
        spec: the system.
        encoders: name -> [`AffectEncoderConfig`], all of the run; those that the branches read are kept.
        head: sizes of the head, as in [`AffectFusionConfig`].
        label_range: of the corpus.
        emotion_names: classes of the corpus, used by a system with `emotion_classes`.
    """
    shared = {**head, "label_range": tuple(label_range)}
    if spec.emotion_classes:
        shared["emotion_names"] = list(emotion_names)
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
