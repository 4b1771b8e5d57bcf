"""Recipes: a YAML file of run and training settings, each overridable on the command line."""

from __future__ import annotations

import json
import math
import sys
import typing
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from transformers import HfArgumentParser, TrainingArguments

from .augmentation import AugmentationSettings
from .conditions import Condition
from .corpus_facts import corpus_facts
from .labels import MIN_FOLDS
from .recipe_file import read_mapping, read_recipe
from .suggestions import did_you_mean
from .systems import SystemSpec, check_encoders, check_model, system_specs


# settings that are texts on the command line, of mappings
MAPPINGS = ("corpus_options", "corpus_facts", "encoders", "systems", "head", "augmentation", "conditions")
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


@dataclass
class RunArguments:
    """What to run, on which data. Fields that hold a mapping take YAML or JSON on the command line."""

    recipe: str = field(default="demo", metadata={"help": "Name of a file in training/recipes, or a path."})
    data_dir: str | None = field(
        default=None, metadata={"help": "Corpus folder (MSP-Podcast layout), or the table of `--corpus table`."}
    )
    corpus: str | None = field(
        default=None,
        metadata={"help": "demo, msp_podcast or table. By default msp_podcast with --data_dir, demo without."},
    )
    corpus_options: str = field(
        default="{}", metadata={"help": "Mapping: further arguments of the corpus loader, e.g. column names."}
    )
    corpus_note: str | None = field(
        default=None, metadata={"help": "What readers of the results should know of this corpus."}
    )
    corpus_facts: str = field(
        default="{}",
        metadata={
            "help": "Mapping for the model cards: labels, license, terms, ... (training/settings/corpus_facts.py); or "
            "the name of a known corpus, such as msp_podcast."
        },
    )
    encoders: str = field(default="{}", metadata={"help": "Mapping: name -> {id, revision} of each encoder."})
    systems: str = field(default="{}", metadata={"help": "Mapping: name -> {role, branches, ...} of each system."})
    only: list[str] | None = field(default=None, metadata={"help": "Run these systems (and their teachers) alone."})
    folds: int | None = field(
        default=None,
        metadata={
            "help": "Also cross-validate, leaving speakers out: this many folds over all clips (split cv<folds>)."
        },
    )
    cross_validated: list[str] = field(
        default_factory=list, metadata={"help": "Systems that are cross-validated; all without it."}
    )
    augmentation_copies: int = field(
        default=0, metadata={"help": "Augmented copies of each training clip, for systems with augmented: true."}
    )
    augmentation: str = field(
        default="{}", metadata={"help": "Mapping: how copies are augmented (training/settings/augmentation.py)."}
    )
    unlabelled_dir: list[str] = field(
        default_factory=list,
        metadata={"help": "Folders of audio for students with unlabelled: true; `demo` is the demo corpus's voices."},
    )
    conditions: str = field(
        default="{}",
        metadata={"help": "Mapping: systems and white_db, babble_db, room_s that they are tested under."},
    )
    probe: list[str] = field(
        default_factory=list, metadata={"help": "Encoders whose hidden states are probed one by one."}
    )
    head: str = field(default="{}", metadata={"help": "Mapping: sizes of the head, for every system."})
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "Each system is trained once per seed."})
    cache_dir: str | None = field(
        default=None, metadata={"help": "Frames of frozen encoders and converted encoders; default under HF_HOME."}
    )
    early_stopping_patience: int = field(
        default=10,
        metadata={"help": "Evaluations without a better development CCC before stopping; 0 goes on to the end."},
    )
    extraction_batch_size: int = field(default=8, metadata={"help": "Clips per batch through the encoders."})
    job_workers: int | None = field(
        default=None, metadata={"help": "Jobs trained at the same time; by default one per core without a GPU."}
    )
    bootstrap_samples: int = field(default=1000, metadata={"help": "Resamples behind each interval."})

    def __post_init__(self):
        for name in sorted(set(MAPPINGS) - {"corpus_facts"}):
            setattr(self, name, read_mapping(name, getattr(self, name)))
        if self.corpus is None:
            self.corpus = "demo" if self.data_dir is None else "msp_podcast"
        if self.corpus not in ("demo", "msp_podcast", "table"):
            raise ValueError(f"corpus is {self.corpus!r}; allowed are demo, msp_podcast and table")
        if self.corpus != "demo" and self.data_dir is None:
            raise ValueError(f"corpus {self.corpus} needs --data_dir")
        if self.corpus == "demo" and self.data_dir is not None:
            raise ValueError(f"corpus demo is made anew and would not read data_dir {self.data_dir!r}; leave out one")
        self.corpus_facts = corpus_facts(self.corpus_facts, self.corpus)
        self._check_numbers()
        check_encoders(self.encoders)
        self.specs: dict[str, SystemSpec] = system_specs(self.systems, self.encoders, self.only)
        self.augmentation = AugmentationSettings.from_mapping(self.augmentation)
        self.degraded_systems, self.conditions = _conditions(self.conditions)
        self._check_names()
        for spec in self.specs.values():
            check_model(spec, self.head)

    def _check_numbers(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds are {self.seeds}; give at least one, each once")
        for seed in self.seeds:
            if not 0 <= seed < 2**32:
                raise ValueError(f"seeds has {seed}; give whole numbers from 0 to {2**32 - 1}")
        if self.job_workers is not None and self.job_workers < 1:
            raise ValueError(f"job_workers is {self.job_workers}; give 1 or more, or leave it out")
        if self.folds is not None and self.folds < MIN_FOLDS:
            raise ValueError(f"folds is {self.folds}; give {MIN_FOLDS} or more, or leave it out")
        lowest = {"augmentation_copies": 0, "early_stopping_patience": 0}
        for name, low in {**lowest, "extraction_batch_size": 1, "bootstrap_samples": 1}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} is {getattr(self, name)}; give {low} or more")

    def _running(self, setting: str, names: list[str]) -> list[str]:
        """Those of the named systems that this run has: `only` leaves some of the recipe's out."""
        for name in names:
            if not isinstance(name, str) or name not in self.systems:
                raise ValueError(f"{setting} names {name!r}; the recipe has {', '.join(self.systems)}")
        return [name for name in names if name in self.specs]

    def _check_names(self) -> None:
        self.cross_validated = self._running("cross_validated", self.cross_validated or list(self.systems))
        self.degraded_systems = self._running("conditions", self.degraded_systems)
        for name in self.probe:
            if name not in self.encoders:
                raise ValueError(
                    f"probe names {name!r}; the recipe's encoders are {', '.join(self.encoders) or 'none'}"
                )
        for spec in self.specs.values():
            if spec.augmented and not self.augmentation_copies:
                raise ValueError(f"system {spec.name!r} is augmented, but augmentation_copies is 0; give 1 or more")
            if spec.unlabelled and not self.unlabelled_dir:
                raise ValueError(f"system {spec.name!r} hears unlabelled audio; give --unlabelled_dir")


@dataclass
class AffectTrainingArguments(TrainingArguments):
    """Those of transformers; whole systems are pushed to the Hub (training/publication.py), and privately."""

    push_to_hub: bool = field(
        default=False,
        metadata={
            "help": "Push each system's folder to the Hub when all its seeds are finished, again with its card."
        },
    )
    hub_model_id: str | None = field(
        default=None,
        metadata={"help": "user/name: systems go to user/name-<system>; by default name is that of output_dir."},
    )
    hub_private_repo: bool | None = field(
        default=True, metadata={"help": "Private by default, also where it is empty; `false` makes them public."}
    )
    hub_strategy: str = field(
        default="every_save", metadata={"help": "every_save: each system when it is finished; end: at the end alone."}
    )


def parse_arguments(argv: list[str]) -> tuple[RunArguments, TrainingArguments]:
    """
    Read the recipe that `argv` names, then `argv` over it.

    Args:
        argv: command-line arguments, without the program's name.

    Returns:
        run arguments, and transformers' training arguments with `output_dir` set.

    Raises:
        ValueError: the recipe is not there or not a mapping, a setting is unknown, or a value is not allowed.
        SystemExit: a value of the wrong type (argparse says which).
    """
    parser = HfArgumentParser((RunArguments, AffectTrainingArguments), allow_abbrev=False)
    early = HfArgumentParser(RunArguments, add_help=False, allow_abbrev=False)
    parser.error = early.error = _one_sentence  # instead of a page of usage before it
    recipe = early.parse_known_args(argv)[0].recipe
    path = _recipe_path(recipe)
    settings = read_recipe(path)
    known = {f.name for cls in (RunArguments, TrainingArguments) for f in fields(cls)}
    for name in settings:
        if name not in known:
            raise ValueError(f"{path.name}: unknown setting {name!r}{did_you_mean(name, known)}")
    _check_kinds(path.name, settings)
    try:
        run, training, unused = parser.parse_args_into_dataclasses(
            [*_fixed_arguments(), *_to_argv(settings), *argv], return_remaining_strings=True, look_for_args_file=False
        )
    except (TypeError, ImportError) as error:  # of transformers, on the way to its own arguments
        raise ValueError(f"{path.name}: {' '.join(str(error).split())}") from error
    if unused:
        name = unused[0].lstrip("-").split("=")[0]
        raise ValueError(f"unknown argument {unused[0]!r}{did_you_mean(name, known)}")
    _check_training(training)
    if training.output_dir == _NO_OUTPUT_DIR:
        training.output_dir = str(Path("outputs") / path.stem)
    return run, training


_NO_OUTPUT_DIR = "outputs/"


def _fixed_arguments() -> list[str]:
    """How every run drives Trainer; a recipe or the command line may still say otherwise."""
    settings = {
        "output_dir": _NO_OUTPUT_DIR,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_strategy": "epoch",
        "save_total_limit": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "ccc_mean",
        "greater_is_better": True,
        "remove_unused_columns": False,  # the collator picks what the model takes
        "label_names": ["labels"],
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "use_cpu": not torch.accelerator.is_available(),
    }
    return _to_argv(settings)


def _recipe_path(recipe: str) -> Path:
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
        raise ValueError(f"recipe {recipe!r} is not there; give the path of a YAML file or one of {names}")
    return path


def _one_sentence(message: str) -> typing.NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _check_kinds(recipe: str, settings: dict) -> None:
    """What argparse would misread: it sees texts alone, so a list could become two settings, and a mapping a path."""
    hints = {**typing.get_type_hints(RunArguments), **typing.get_type_hints(AffectTrainingArguments)}
    for name, value in settings.items():
        if name == "recipe":
            raise ValueError(f"{recipe} names another recipe, {value!r}; a recipe stands alone: copy what it needs")
        kinds = [typing.get_origin(kind) or kind for kind in typing.get_args(hints[name]) or [hints[name]]]
        if typing.get_origin(hints[name]) in (list, dict):
            kinds = [typing.get_origin(hints[name])]
        allowed = {list: list in kinds, dict: dict in kinds or name in MAPPINGS, bool: bool in kinds}
        if isinstance(value, tuple(allowed)) and not allowed[type(value)]:
            quoted = "; YAML reads no, off and yes so: put them in quotes" if isinstance(value, bool) else ""
            expected = "a mapping" if name in MAPPINGS else "one value" if list not in kinds else "a list of values"
            raise ValueError(f"{recipe}: {name} is {value!r}; give {expected}{quoted}")
        for entry in value if isinstance(value, list) else []:
            if not isinstance(entry, (str, int, float)) or str(entry).startswith("--"):
                raise ValueError(f"{recipe}: {name} has {entry!r}; give a list of numbers or names")


def _check_training(training: TrainingArguments) -> None:
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
        if getattr(training, name) < 1:
            raise ValueError(f"{name} is {getattr(training, name)}; give 1 or more")
    for name in ("learning_rate", "weight_decay", "num_train_epochs", "max_grad_norm"):
        if not 0 <= getattr(training, name) < math.inf:
            raise ValueError(f"{name} is {getattr(training, name)}; give a finite number of 0 or more")


def _to_argv(settings: dict) -> list[str]:
    argv = []
    for name, value in settings.items():
        if value is None:
            continue
        if isinstance(value, list):
            argv += [f"--{name}", *map(str, value)]
        else:  # in one piece, so that a text with a dash in front is not taken for another setting
            argv.append(f"--{name}={value if isinstance(value, str) else json.dumps(value)}")
    return argv


_CONDITIONS_EXAMPLE = "{systems: [mfb], white_db: [20, 10], room_s: [0.5]}"


def _conditions(settings: dict) -> tuple[list[str], list[Condition]]:
    """Systems, and the conditions they are tested under, out of `{systems, white_db, babble_db, room_s}`."""
    kinds = {"white_db": "white", "babble_db": "babble", "room_s": "room"}
    unknown = sorted(set(settings) - {"systems", *kinds})
    if unknown:
        hint = did_you_mean(unknown[0], ["systems", *kinds])
        raise ValueError(f"conditions has {unknown}; allowed are systems, {', '.join(kinds)}{hint}")
    for name, values in settings.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"conditions has {name}: {values!r}; give a list such as {_CONDITIONS_EXAMPLE}")
    if settings and ("systems" not in settings or len(settings) == 1):
        raise ValueError(
            f"conditions are {settings}; give systems and what they are tested under: {_CONDITIONS_EXAMPLE}"
        )
    for name in kinds:
        for value in settings.get(name, []):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"conditions has {value!r} among {name}; give numbers")
    conditions = [Condition(kind, float(value)) for name, kind in kinds.items() for value in settings.get(name, [])]
    return settings.get("systems", []), conditions
