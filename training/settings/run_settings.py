"""The settings of a run: its arguments, checked once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .arguments import CorpusArguments, EvaluationArguments, MachineArguments, SystemArguments
from .augmentation import AugmentationSettings
from .conditions import Condition, read_conditions
from .corpora import CorpusEntry, read_corpora
from .corpus_facts import CorpusFacts, corpus_facts
from .labels import MIN_FOLDS
from .recipe_file import read_mapping
from .systems import SystemSpec, check_config, check_encoders, system_specs


LOWEST = {
    "folds": MIN_FOLDS,
    "job_workers": 1,
    "augmentation_copies": 0,
    "early_stopping_patience": 0,
    "extraction_batch_size": 1,
    "bootstrap_samples": 1,
}


@dataclass(frozen=True, kw_only=True)
class RunSettings(CorpusArguments, SystemArguments, EvaluationArguments, MachineArguments):
    """What to run, on which data: the arguments, with texts read and names resolved.

    Args:
        corpus: Kind of the corpus; None where there are several.
        corpus_facts: Facts for the model cards; None if unknown.
        corpora: Name -> where the corpus is, in a run with several.
        corpora_shares: Name -> share of each corpus in training batches, once they are loaded; empty where each has as
            many clips in them as it has.
        encoders: Name -> `{id, revision, pad_to_window}`.
        systems: Name -> system, teachers before their students; without those that `only` leaves out.
        cross_validated: Names of the systems of this run that are cross-validated.
        conditions: What test splits are degraded by.
        degraded_systems: Names of the systems of this run that are tested under these conditions.
        head: Sizes of the head, for every system.
    """

    corpus: str | None
    corpus_options: dict
    corpus_facts: CorpusFacts | None
    corpora: dict[str, CorpusEntry]
    label_range: tuple[float, float] | None
    corpora_shares: dict[str, float] = field(default_factory=dict)
    augmentation: AugmentationSettings
    encoders: dict[str, dict]
    systems: dict[str, SystemSpec]
    head: dict
    conditions: list[Condition]
    degraded_systems: list[str]


def run_settings(given: Mapping[str, Any]) -> RunSettings:
    """Check the fields of all classes in `RUN_ARGUMENTS`; a `ValueError` says what is not allowed."""
    _check_numbers(given)
    names = ("corpus_options", "corpora", "encoders", "systems", "head", "augmentation", "conditions")
    mappings = {name: read_mapping(name, given[name] or {}) for name in names}
    _check_corpora({**given, **mappings})
    corpus = None if mappings["corpora"] else _corpus(given["corpus"], given["data_dir"])
    by_word = mappings["corpus_options"].get("ratings") == "emotion"
    check_encoders(mappings["encoders"])
    systems = mappings["systems"]
    specs = system_specs(systems, mappings["encoders"], given["only"])

    def running(setting: str, names: list[str]) -> list[str]:
        for name in names:
            if name not in systems:
                raise ValueError(f"{setting} names {name!r}; the recipe has {', '.join(systems)}")
        return [name for name in names if name in specs]  # `only` leaves out others

    degraded, conditions = read_conditions(mappings["conditions"])
    parsed = {
        **given,
        **mappings,
        "corpus": corpus,
        "corpus_facts": corpus_facts(given["corpus_facts"] or "", corpus, by_word),
        "corpora": read_corpora(mappings["corpora"], given["data_dir"]),
        "label_range": given["label_range"] and tuple(given["label_range"]),
        "augmentation": AugmentationSettings.from_mapping(mappings["augmentation"]),
        "systems": specs,
        "cross_validated": running("cross_validated", given["cross_validated"] or list(systems)),
        "conditions": conditions,
        "degraded_systems": running("conditions", degraded),
    }
    return _checked(RunSettings(**parsed))


def _check_numbers(given: Mapping[str, Any]) -> None:
    seeds = given["seeds"]
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds are {seeds}; give at least one, each once")
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise ValueError(f"seeds has {seed}; give whole numbers from 0 to {2**32 - 1}")
    share = given["unlabelled_share"]
    if share is not None and not 0 < share < 1:
        raise ValueError(f"unlabelled_share is {share:g}; give a number between 0 and 1, such as 0.3")
    for name, lowest in LOWEST.items():
        if given[name] is not None and given[name] < lowest:
            raise ValueError(f"{name} is {given[name]}; give {lowest} or more")


def _check_corpora(given: Mapping[str, Any]) -> None:
    if given["label_range"] is not None:
        low, high = given["label_range"] if len(given["label_range"]) == 2 else (0.0, 0.0)
        if not (given["corpora"] and -math.inf < low < high < math.inf):
            raise ValueError(
                f"label_range is {given['label_range']}; give two numbers, the lower first, in a run with corpora"
            )
    for name in ("corpus", "corpus_options"):
        if given["corpora"] and given[name]:
            raise ValueError(f"{name} is of a run with one corpus; leave it out, or corpora")


def _corpus(corpus: str | None, data_dir: str | None) -> str:
    corpus = corpus or ("demo" if data_dir is None else "msp_podcast")
    if corpus != "demo" and data_dir is None:
        raise ValueError(f"corpus {corpus} needs --data_dir")
    if corpus == "demo" and data_dir is not None:
        raise ValueError(f"corpus demo is generated and does not read data_dir {data_dir!r}; leave out one")
    return corpus


def _checked(settings: RunSettings) -> RunSettings:
    if not (settings.hold_out_tests or settings.folds):
        raise ValueError("hold_out_tests is False and there are no folds: give folds, such as 5, to be scored")
    if settings.probe and (settings.corpora or "corpus_column" in settings.corpus_options):
        raise ValueError("probe is of encoders on one corpus; leave it out in a run with several")
    for name in settings.probe:
        if name not in settings.encoders:
            raise ValueError(
                f"probe names {name!r}; the recipe's encoders are {', '.join(settings.encoders) or 'none'}"
            )
    for spec in settings.systems.values():
        if spec.augmented and not settings.augmentation_copies:
            raise ValueError(f"system {spec.name!r} is augmented, but augmentation_copies is 0; give 1 or more")
        reads_unlabelled = spec.unlabelled or (spec.pretraining and spec.pretraining.unlabelled)
        if reads_unlabelled and not settings.unlabelled_dir:
            raise ValueError(f"system {spec.name!r} trains on unlabelled audio; give --unlabelled_dir")
        check_config(spec, settings.head)
    return settings
