"""The settings of a run: its arguments, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .augmentation import AugmentationSettings
from .conditions import Condition, read_conditions
from .corpus_facts import CorpusFacts, corpus_facts
from .labels import MIN_FOLDS
from .model_config import check_config
from .recipe_file import read_mapping
from .systems import SystemSpec, check_encoders, system_specs


LOWEST = {
    "folds": MIN_FOLDS,
    "job_workers": 1,
    "augmentation_copies": 0,
    "early_stopping_patience": 0,
    "extraction_batch_size": 1,
    "bootstrap_samples": 1,
}


@dataclass(frozen=True)
class RunSettings:
    """What to run, on which data. Fields that are not listed here are those of `arguments`, as they were given.

    Args:
        corpus_facts: Facts for the model cards; None if unknown.
        encoders: Name -> `{id, revision, pad_to_window}`.
        specs: Name -> system, teachers before their students.
        cross_validated: Names of the systems of this run that are cross-validated.
        conditions: What test splits are degraded by.
        degraded_systems: Names of the systems of this run that are tested under these conditions.
        head: Sizes of the head, for every system.
    """

    corpus: str
    data_dir: str | None
    corpus_options: dict
    corpus_note: str | None
    corpus_facts: CorpusFacts | None
    unlabelled_dir: list[str]
    augmentation_copies: int
    augmentation: AugmentationSettings
    encoders: dict[str, dict]
    specs: dict[str, SystemSpec]
    head: dict
    seeds: list[int]
    early_stopping_patience: int
    folds: int | None
    cross_validated: list[str]
    conditions: list[Condition]
    degraded_systems: list[str]
    probe: list[str]
    bootstrap_samples: int
    cache_dir: str | None
    extraction_batch_size: int
    job_workers: int | None


def run_settings(given: Mapping[str, Any]) -> RunSettings:
    """Check the arguments of a run.

    Args:
        given: The fields of all classes in `RUN_ARGUMENTS`. Mappings may be YAML or JSON texts.

    Raises:
        ValueError: A value is not allowed.
    """
    _check_numbers(given)
    corpus = _corpus(given["corpus"], given["data_dir"])
    texts = ("corpus_options", "encoders", "systems", "head", "augmentation", "conditions")
    mappings = {name: read_mapping(name, given[name] or {}) for name in texts}
    systems, encoders = mappings["systems"], mappings["encoders"]
    check_encoders(encoders)
    specs = system_specs(systems, encoders, given["only"])

    def running(setting: str, names: list[str]) -> list[str]:
        for name in names:
            if name not in systems:
                raise ValueError(f"{setting} names {name!r}; the recipe has {', '.join(systems)}")
        return [name for name in names if name in specs]  # `only` leaves out others

    degraded, conditions = read_conditions(mappings["conditions"])
    parsed = {
        **mappings,
        "corpus": corpus,
        "corpus_facts": corpus_facts(given["corpus_facts"] or "", corpus),
        "augmentation": AugmentationSettings.from_mapping(mappings["augmentation"]),
        "specs": specs,
        "cross_validated": running("cross_validated", given["cross_validated"] or list(systems)),
        "conditions": conditions,
        "degraded_systems": running("conditions", degraded),
    }
    settings = RunSettings(**{f.name: parsed.get(f.name, given.get(f.name)) for f in fields(RunSettings)})
    _check_systems(settings)
    return settings


def _check_numbers(given: Mapping[str, Any]) -> None:
    seeds = given["seeds"]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds are {seeds}; give at least one, each once")
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise ValueError(f"seeds has {seed}; give whole numbers from 0 to {2**32 - 1}")
    for name, lowest in LOWEST.items():
        if given[name] is not None and given[name] < lowest:
            raise ValueError(f"{name} is {given[name]}; give {lowest} or more")


def _corpus(corpus: str | None, data_dir: str | None) -> str:
    corpus = corpus or ("demo" if data_dir is None else "msp_podcast")
    if corpus != "demo" and data_dir is None:
        raise ValueError(f"corpus {corpus} needs --data_dir")
    if corpus == "demo" and data_dir is not None:
        raise ValueError(f"corpus demo is generated and does not read data_dir {data_dir!r}; leave out one")
    return corpus


def _check_systems(settings: RunSettings) -> None:
    for name in settings.probe:
        if name not in settings.encoders:
            known = ", ".join(settings.encoders) or "none"
            raise ValueError(f"probe names {name!r}; the recipe's encoders are {known}")
    for spec in settings.specs.values():
        if spec.augmented and not settings.augmentation_copies:
            raise ValueError(f"system {spec.name!r} is augmented, but augmentation_copies is 0; give 1 or more")
        if spec.unlabelled and not settings.unlabelled_dir:
            raise ValueError(f"system {spec.name!r} trains on unlabelled audio; give --unlabelled_dir")
        check_config(spec, settings.head)
