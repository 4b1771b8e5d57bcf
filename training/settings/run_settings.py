"""The settings of a run: its arguments, checked once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from .arguments import CorpusArguments, EvaluationArguments, MachineArguments, SystemArguments
from .augmentation import AugmentationSettings
from .conditions import Condition, read_conditions
from .corpora import CorpusEntry, corpora_of_paths, kind_of, read_corpora
from .corpus_facts import CorpusFacts, corpus_facts
from .distilled_encoder import DistilledEncoder, is_distilled
from .finished import CheckpointSpec, is_checkpoint, read_checkpoints
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
        data_dir: Its folder or table, or the folder that holds several; None where their entries have whole paths.
        corpus_facts: Facts for the model cards; None if unknown.
        corpora: Name -> where the corpus is, in a run with several.
        corpora_shares: Name -> share of each corpus in training batches, once they are loaded; empty where each has as
            many clips in them as it has.
        encoders: Name -> `{id, revision, pad_to_window}`, or the arguments of [`DistilledEncoder`].
        systems: Name -> system to train, teachers before their students; without those that `only` leaves out.
        checkpoints: Name -> finished model that is evaluated beside them.
        cross_validated: Names of the systems of this run that are cross-validated.
        conditions: What test splits are degraded by.
        degraded_systems: Names of the systems of this run that are tested under these conditions.
        head: Sizes of the head, for every system.
    """

    corpus: str | None
    data_dir: str | None
    corpus_options: dict
    corpus_facts: CorpusFacts | None
    corpora: dict[str, CorpusEntry]
    label_range: tuple[float, float] | None
    corpora_shares: dict[str, float] = field(default_factory=dict)
    augmentation: AugmentationSettings
    encoders: dict[str, dict]
    systems: dict[str, SystemSpec]
    checkpoints: dict[str, CheckpointSpec]
    head: dict
    conditions: list[Condition]
    degraded_systems: list[str]

    @property
    def encoders_read(self) -> list[str]:
        """Names of the encoders that systems or probes read."""
        sources = {branch["source"] for spec in self.systems.values() for branch in spec.cached_branches}
        return [name for name in self.encoders if name in sources or name in self.probe]


def run_settings(given: Mapping[str, Any]) -> RunSettings:
    """Check the fields of all classes in `RUN_ARGUMENTS`; a `ValueError` says what is not allowed."""
    _check_numbers(given)
    names = ("corpus_options", "corpora", "encoders", "systems", "head", "augmentation", "conditions")
    mappings = {name: read_mapping(name, given[name] or {}) for name in names}
    given = _with_paths({**given, **mappings})
    _check_corpora(given)
    corpus = None if given["corpora"] else _corpus(given["corpus"], given["data_dir"], mappings["corpus_options"])
    by_word = mappings["corpus_options"].get("ratings") == "emotion"
    check_encoders(mappings["encoders"])
    specs, checkpoints = _rows(given)
    known, running_now = {**mappings["systems"], **checkpoints}, {**specs, **checkpoints}

    def running(setting: str, names: list[str]) -> list[str]:
        for name in names:
            if name not in known:
                raise ValueError(f"{setting} names {name!r}; the recipe has {', '.join(known)}")
        return [name for name in names if name in running_now]  # `only` leaves out others

    crossed = [] if given["evaluate"] else given["cross_validated"]
    degraded, conditions = read_conditions(mappings["conditions"])
    parsed = {
        **given,
        "corpus": corpus,
        "corpus_facts": corpus_facts(given["corpus_facts"] or "", corpus, by_word),
        "corpora": read_corpora(given["corpora"], given["data_dir"]),
        "label_range": given["label_range"] and tuple(given["label_range"]),
        "augmentation": AugmentationSettings.from_mapping(mappings["augmentation"]),
        "systems": specs,
        "checkpoints": checkpoints,
        "cross_validated": running("cross_validated", crossed or list(known)),
        "conditions": conditions,
        "degraded_systems": running("conditions", degraded),
    }
    return _checked(RunSettings(**parsed))


def _with_paths(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with one `data_dir`, or none and several `corpora` in its place."""
    paths = given["data_dir"] or [None]
    if not paths[1:]:
        return {**given, "data_dir": paths[0]}
    if given["corpora"]:
        raise ValueError(f"data_dir is {paths}, and corpora names corpora within one; leave out one of the two")
    corpora = corpora_of_paths(paths, given["corpus"], given["corpus_options"])
    return {**given, "corpora": corpora, "data_dir": None, "corpus": None, "corpus_options": {}}


def _rows(given: dict[str, Any]) -> tuple[dict[str, SystemSpec], dict[str, CheckpointSpec]]:
    """Return the systems to train, and the finished models. Without the former, what they alone need is left out."""
    checkpoints = read_checkpoints(given["systems"], given["evaluate"])
    trained = {name: settings for name, settings in given["systems"].items() if not is_checkpoint(settings)}
    only = given["only"] or None
    if given["evaluate"]:
        if only:
            raise ValueError("only is of systems to train; leave it out with evaluate")
        given |= {"probe": [], "unlabelled_dir": [], "unlabelled_stream": [], "augmentation_copies": 0}
        return {}, checkpoints
    if only:
        checkpoints, only = (
            {name: spec for name, spec in checkpoints.items() if name in only},
            [name for name in only if name not in checkpoints],
        )
    return system_specs(trained, given["encoders"], only), checkpoints


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


def _corpus(corpus: str | None, data_dir: str | None, options: dict) -> str:
    corpus = corpus or ("demo" if data_dir is None else kind_of(data_dir, options))
    if corpus != "demo" and data_dir is None:
        raise ValueError(f"corpus {corpus} needs --data_dir")
    if corpus == "demo" and data_dir is not None:
        raise ValueError(f"corpus demo is generated and does not read data_dir {data_dir!r}; leave out one")
    return corpus


def _checked(settings: RunSettings) -> RunSettings:
    if not (settings.hold_out_tests or settings.folds):
        raise ValueError("hold_out_tests is False and there are no folds: give folds, such as 5, to be scored")
    if settings.train_on or settings.test_on:
        _check_across(settings)
    if settings.unlabelled_stream and settings.unlabelled_dir:
        raise ValueError("unlabelled_dir and unlabelled_stream are both given; leave out one, or make two runs")
    if settings.unlabelled_stream and settings.unlabelled_share is None:
        raise ValueError("unlabelled_stream needs unlabelled_share, its share in each batch, such as 0.5")
    try:
        torch.device(settings.teacher_device or "cpu")
    except RuntimeError as error:
        raise ValueError(
            f"teacher_device is {settings.teacher_device!r:.50}; give one such as cuda:1 or cpu"
        ) from error
    if settings.probe and (settings.corpora or "corpus_column" in settings.corpus_options):
        raise ValueError("probe is of encoders on one corpus; leave it out in a run with several")
    for name in settings.probe:
        if name not in settings.encoders:
            raise ValueError(
                f"probe names {name!r}; the recipe's encoders are {', '.join(settings.encoders) or 'none'}"
            )
    _check_distilled(settings)
    for spec in settings.systems.values():
        if spec.augmented and not settings.augmentation_copies:
            raise ValueError(f"system {spec.name!r} is augmented, but augmentation_copies is 0; give 1 or more")
        pretrained = bool(spec.pretraining and spec.pretraining.unlabelled)
        hears = pretrained or (spec.unlabelled and not settings.unlabelled_stream)
        if hears and not settings.unlabelled_dir:
            other = "" if pretrained else " or --unlabelled_stream"
            raise ValueError(f"system {spec.name!r} trains on unlabelled audio; give --unlabelled_dir{other}")
        check_config(spec, settings.head)
    return settings


def _check_distilled(settings: RunSettings) -> None:
    for name in settings.encoders_read if not settings.unlabelled_dir else ():
        entry = settings.encoders[name]
        if is_distilled(entry) and DistilledEncoder(**entry).max_steps:
            raise ValueError(f"encoder {name!r} learns from unlabelled audio; give --unlabelled_dir")


def _check_across(settings: RunSettings) -> None:
    if settings.folds or settings.leave_out or not settings.hold_out_tests:
        raise ValueError("train_on and test_on are the splits of a run; leave out folds, leave_out and hold_out_tests")
    if both := sorted(set(settings.train_on) & set(settings.test_on)):
        raise ValueError(f"{', '.join(both)} is in train_on and in test_on; give each corpus once")
    if settings.systems and "all" in settings.test_on:
        raise ValueError("test_on is all, and nothing is left to train on; name corpora, or give --evaluate")
