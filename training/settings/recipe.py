"""A recipe, the command line over it, and their check: the settings of a run."""

import math
import sys
from argparse import SUPPRESS, ArgumentDefaultsHelpFormatter, ArgumentParser
from dataclasses import MISSING, fields
from pathlib import Path
from typing import NoReturn, get_type_hints

import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.integrations import get_available_reporting_integrations, get_reporting_integration_callbacks

from .arguments import ALL_ARGUMENTS
from .checks import check_names, check_type, did_you_mean, kinds
from .recipe_file import read_recipe
from .run_settings import RunSettings, run_settings


RECIPES = Path(__file__).resolve().parents[1] / "recipes"
# how every run uses Trainer, unless a recipe or the command line says otherwise
TRAINER_DEFAULTS = {
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "logging_strategy": "epoch",
    "save_total_limit": 1,
    "load_best_model_at_end": True,
    "metric_for_best_model": "ccc_mean",
    "greater_is_better": True,
    "remove_unused_columns": False,  # the collator picks what the model takes
    "ddp_find_unused_parameters": False,
}
USAGE = """accelerate launch training/run.py [--recipe NAME_OR_FILE] [--data_dir FOLDER] [--any_argument VALUE ...]

Every argument of transformers.TrainingArguments is allowed too, such as --learning_rate: see --help_all."""


TYPES = {name: kind for group in ALL_ARGUMENTS for name, kind in get_type_hints(group).items()}


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parse_arguments(argv: list[str]) -> tuple[RunSettings, TrainingArguments]:
    """Read the recipe that the command line names, and the command line over it; `output_dir` is set in any case.

    Raises:
        ValueError: The recipe does not exist or is not a mapping, a setting is unknown, or a value is not allowed.
        SystemExit: `argv` asks for help, which is printed.
    """
    early = ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--recipe", default="demo", nargs="?")
    early.add_argument("--evaluate", nargs="*")
    for option in ("-h", "--help", "--help_all"):
        early.add_argument(option, action="store_true")
    asked = early.parse_known_args(argv)[0]
    if asked.help or asked.h or asked.help_all:
        _print_help(everything=asked.help_all)
        sys.exit()
    path = _recipe_path(asked.recipe)
    parser = _Parser(ALL_ARGUMENTS, add_help=False, allow_abbrev=False)
    on_gpu = {"dataloader_pin_memory": torch.cuda.is_available(), "use_cpu": not torch.accelerator.is_available()}
    output = "outputs/evaluation" if asked.evaluate else f"outputs/{path.stem}"
    parser.set_defaults(output_dir=output, **TRAINER_DEFAULTS, **on_gpu)
    parser.set_defaults(**_recipe_defaults(path))
    try:
        *groups, training, unused = parser.parse_args_into_dataclasses(
            argv, return_remaining_strings=True, look_for_args_file=False
        )
    except (TypeError, ImportError) as error:  # of TrainingArguments, about its own values
        raise ValueError(f"{path.name}: {' '.join(str(error).split())}") from error
    if unused:
        name = unused[0].lstrip("-").split("=")[0]
        raise ValueError(f"unknown argument {unused[0]!r}{did_you_mean(name, TYPES)}")
    _check_training(training)
    return run_settings({name: value for group in groups for name, value in vars(group).items()}), training


def _recipe_path(recipe: str) -> Path:
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
        raise ValueError(f"recipe {recipe!r} does not exist; give the path of a YAML file or one of {names}")
    return path


def _recipe_defaults(path: Path) -> dict:
    """Read a recipe's settings as defaults of the parser, which converts texts, and only these, to other types."""
    settings, defaults = _with_included(path), {}
    check_names(path.name, settings, TYPES, "setting")
    for name, value in settings.items():
        allowed = kinds(TYPES[name])
        if name == "recipe":
            raise ValueError(f"{path.name} names another recipe, {value!r}; to build on it write include: {value}")
        if value is None:
            continue
        if list in allowed and str not in allowed and not isinstance(value, (list, dict)):
            value = [value]
        if not (isinstance(value, str) and {bool, int, float} & set(allowed)):
            check_type(path.name, name, value, TYPES[name])
        defaults[name] = float(value) if float in allowed and type(value) is int else value
    return defaults


def _with_included(path: Path) -> dict:
    """Read a recipe, and those settings that it does not have itself from the one that it includes."""
    settings = read_recipe(path)
    if "include" not in settings:
        return settings
    name = settings.pop("include")
    check_type(path.name, "include", name, str)
    included = _recipe_path(str(path.parent / name) if Path(name).suffix else name)
    others = read_recipe(included)
    if "include" in others:
        raise ValueError(f"{path.name} includes {included.name}, which includes another recipe; only one can be")
    return {**others, **settings}


def _check_training(training: TrainingArguments) -> None:
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
        if getattr(training, name) < 1:
            raise ValueError(f"{name} is {getattr(training, name)}; give 1 or more")
    for name in ("learning_rate", "weight_decay", "num_train_epochs", "max_grad_norm"):
        if not 0 <= getattr(training, name) < math.inf:
            raise ValueError(f"{name} is {getattr(training, name)}; give a finite number of 0 or more")
    missing = [name for name in training.report_to if name not in get_available_reporting_integrations()]
    try:  # what Trainer would raise, but not before all frames are made
        for callback in get_reporting_integration_callbacks(missing):
            callback()
    except (ImportError, RuntimeError, ValueError) as error:
        raise ValueError(f"report_to is {', '.join(training.report_to)}: {' '.join(str(error).split())}") from error


def _print_help(everything: bool) -> None:
    parser = ArgumentParser(usage=USAGE, add_help=False, formatter_class=ArgumentDefaultsHelpFormatter)
    for arguments in ALL_ARGUMENTS:
        group = parser.add_argument_group(arguments.__doc__)
        for field in fields(arguments):
            if field.name in arguments.__annotations__:
                default = field.default_factory() if field.default is MISSING else field.default
                group.add_argument(f"--{field.name}", default=default, help=field.metadata["help"])
    print(parser.format_help())
    if everything:
        print(HfArgumentParser(TrainingArguments, add_help=False, usage=SUPPRESS).format_help())
