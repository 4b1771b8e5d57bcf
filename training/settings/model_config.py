"""From a row of the table to the configuration of its model."""

from dataclasses import replace

from speech_affect import AffectEncoderConfig, AffectFusionConfig, AffectStudentConfig
from speech_affect.configuration_affect import ACOUSTIC_SOURCES

from .checks import check_names
from .labels import EMOTIONS, UNKNOWN
from .systems import SystemSpec, config_fields


# what the corpus, the encoders or other keys of a system decide
DECIDED_ELSEWHERE = ("branch", "label_range", "emotion_names", "gender_names", "predict_uncertainty", "sampling_rate")


def build_config(
    spec: SystemSpec,
    encoders: dict[str, AffectEncoderConfig],
    head: dict,
    label_range: tuple[float, float],
    emotions: list[str],
    genders: list[str],
) -> AffectFusionConfig | AffectStudentConfig:
    """Build the configuration of one system's model.

    Args:
        spec: The system.
        encoders: Configurations of the run's encoders by name; those that the branches read are kept.
        head: Sizes of the head, as in [`AffectFusionConfig`].
        label_range: Lowest and highest label of the corpus.
        emotions: Codes of the emotion classes that training clips have.
        genders: Genders of the training clips' speakers.

    Raises:
        ValueError: Fewer than two classes for a second task, or a setting that the configuration does not allow.
    """
    shared = {**head, **spec.config, "label_range": tuple(label_range), "predict_uncertainty": spec.uncertainty}
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
        encoders={name: config.to_dict() for name, config in encoders.items() if name in used},
        fusion_level=spec.fusion_level,
        **shared,
    )


def check_config(spec: SystemSpec, head: dict) -> None:
    """Check what [`build_config`] will get, before any corpus or encoder is fetched, apart from encoders' branches.

    Raises:
        ValueError: The model's configuration does not have a setting or does not allow its value.
    """
    allowed = [name for name in config_fields(AffectStudentConfig) if name not in DECIDED_ELSEWHERE]
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
