"""Finished models as rows of the table: where each is, and what its outputs mean."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from speech_affect import DIMENSIONS

from .checks import check_mapping


ROLE = "checkpoint"
# what others call a dimension
SYNONYMS = {"arousal": "activation", "power": "dominance", "control": "dominance"}
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class CheckpointSpec:
    """One row that nothing is trained for.

    Args:
        name: Name of the row.
        role: `checkpoint`.
        id: Folder or Hub id: a checkpoint of this package, or any that `AutoModelForAudioClassification` takes.
        revision: Branch, tag or commit hash of a Hub model.
        outputs: The dimension of each output; by default as the model's configuration names them.
        output_range: Lowest and highest value of the outputs, which are moved linearly to the labels' range.
        trust_remote_code: Run the code in its repository; a Hub model then needs a commit hash as its revision.

    Raises:
        ValueError: A value is not allowed.
    """

    name: str
    role: str
    id: str
    revision: str | None = None
    outputs: list[str] | None = None
    output_range: list[float] | None = None
    trust_remote_code: bool = False

    def __post_init__(self):
        place = f"system {self.name!r}"
        if self.outputs is not None and dimensions_of(self.outputs) is None:
            raise ValueError(
                f"{place} has outputs: {self.outputs}; give the dimension of each output in its order, each once, "
                f"among {', '.join((*DIMENSIONS, *SYNONYMS))}"
            )
        if self.output_range is not None:
            low, high = self.output_range if len(self.output_range) == 2 else (0.0, 0.0)
            if not -math.inf < low < high < math.inf:
                raise ValueError(
                    f"{place} has output_range: {self.output_range}; give two numbers, the lower first, such as [0, 1]"
                )
        is_folder = Path(self.id).expanduser().is_dir()
        if self.trust_remote_code and not is_folder and not COMMIT.fullmatch(self.revision or ""):
            raise ValueError(
                f"{place} has trust_remote_code: read the code of {self.id}, and give the commit hash that you read "
                "as its revision (40 digits)"
            )


def dimensions_of(names: Sequence[str]) -> list[str] | None:
    """Return the dimension that each output's name means; None if one means none, or two the same."""
    found = [SYNONYMS.get(name.casefold(), name.casefold()) for name in names]
    return found if found and set(found) <= set(DIMENSIONS) and len(set(found)) == len(found) else None


def read_checkpoints(systems: dict, evaluate: Sequence[str]) -> dict[str, CheckpointSpec]:
    """Read the models that are to be evaluated alone, and behind them the checkpoints among a recipe's systems.

    Args:
        systems: Name -> settings.
        evaluate: Folders and Hub ids.

    Raises:
        ValueError: A setting does not exist or is not allowed, or a name is given twice.
    """
    rows: dict[str, dict] = {name: {"role": ROLE, "id": model} for name, model in named(evaluate).items()}
    for name, settings in systems.items():
        if is_checkpoint(settings) and rows.setdefault(name, settings) is not settings:
            raise ValueError(f"evaluate has {rows[name]['id']!r}, and systems a row {name!r}; name that one otherwise")
    types = {name: kind for name, kind in get_type_hints(CheckpointSpec).items() if name != "name"}
    for name, settings in rows.items():
        check_mapping(f"system {name!r}", settings, types)
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"system name {name!r} names a folder: letters, digits, - and _ only")
        if settings.get("role") != ROLE:
            raise ValueError(
                f"system {name!r} has an id and role: {settings.get('role')}; a finished model has role: {ROLE}"
            )
        if not settings.get("id"):
            raise ValueError(f"system {name!r} has no id; give the folder or Hub id of the model")
    return {name: CheckpointSpec(name, **settings) for name, settings in rows.items()}


def is_checkpoint(settings) -> bool:
    """Return whether the settings of a system are those of a finished model, its role perhaps misspelt."""
    return isinstance(settings, dict) and (settings.get("role") == ROLE or "id" in settings)


def named(paths: Sequence[str]) -> dict[str, str]:
    """Name folders, tables or Hub ids by the last part of their path; by two parts if that is not enough.

    Raises:
        ValueError: One is given twice, or two have the same name.
    """
    for parts in (1, 2):
        names = [_name(path, parts) for path in paths]
        if len(set(names)) == len(names):
            return dict(zip(names, map(str, paths), strict=True))
    raise ValueError(f"two of {paths} are named {max(names, key=names.count)}; give each once, or rename one")


def _name(path: str, parts: int) -> str:
    path = Path(path).expanduser().absolute()
    return re.sub(r"[^\w-]+", "-", "-".join((path.with_suffix("") if path.is_file() else path).parts[-parts:]))
