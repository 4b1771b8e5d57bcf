"""A recipe as a file: YAML of plain values, each key once, nothing cyclic, small enough to hold."""

import json
import math
from pathlib import Path

import yaml


LARGEST_BYTES = 1 << 20
DEEPEST = 32
MOST_VALUES = 100_000


class RecipeError(ValueError):
    """Settings that cannot be read; the message says where they are."""


class _Loader(yaml.SafeLoader):
    """Checks a document while its nodes are composed, before values are made of them: depth, circles, size, keys."""

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # per finished node its values, those of an alias as often as it is used

    def compose_node(self, parent, index):
        alias, line = self.check_event(yaml.AliasEvent), self.peek_event().start_mark.line + 1
        if self._depth > DEEPEST:
            raise RecipeError(f"line {line} has more than {DEEPEST} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise RecipeError(f"the value in line {node.start_mark.line + 1} contains itself")
        parts = list(node.value) if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            _check_keys([key for key, _ in parts if isinstance(key, yaml.ScalarNode)])
            parts = [part for pair in parts for part in pair]
        self._sizes[id(node)] = 1 + sum(self._sizes[id(part)] for part in parts)
        if self._sizes[id(node)] > MOST_VALUES:
            raise RecipeError(f"the value in line {line} has more than {MOST_VALUES} values in it")
        return node


def _check_keys(keys: list[yaml.ScalarNode]) -> None:
    lines: dict[str, int] = {}
    for key in keys:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise RecipeError(f"{key.value!r} is in line {lines[key.value]} and again in line {line}")
        lines[key.value] = line


def read_recipe(path: Path) -> dict:
    """Read the settings of a recipe.

    Raises:
        ValueError: The file is too large, not UTF-8, or as [`read_yaml`]; or it does not hold a mapping.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise RecipeError(f"{path} has over {LARGEST_BYTES} bytes; a recipe is a short text")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not YAML: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    settings = read_yaml(text, str(path))
    if not isinstance(settings, dict):
        raise RecipeError(f"{path} must hold a mapping of settings, not {type(settings).__name__}")
    return settings


def read_mapping(name: str, value) -> dict:
    """Return the mapping of a setting, given as one or as its JSON or YAML text; anything else is a `ValueError`."""
    if isinstance(value, str):
        value = read_text(name, value)
    if not isinstance(value, dict):
        raise RecipeError(f"{name} must be a mapping, not {value!r}")
    return value


def read_text(name: str, text: str):
    """Read a setting's JSON or YAML text as [`read_yaml`] does; JSON comes first, since YAML reads 1e-05 as a text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return read_yaml(text, name, "neither YAML nor JSON")
    _check_plain(name, [], value)
    return value


def read_yaml(text: str, place: str, otherwise: str = "not YAML"):
    """Read a value from its YAML text; messages begin with the place of the text.

    Raises:
        ValueError: The text is not YAML, or has a key twice, a value that contains itself, more than 32 levels, more
            than 100,000 values, a number that is not finite, or a value that is neither text, number, true, false,
            null, list nor mapping.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        include = "; to build on another recipe write include: its name" if "!include" in str(error.problem) else ""
        raise RecipeError(f"{place} is {otherwise}: {error.problem}{line}{include}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date in month 13, a character that YAML does not allow
        raise RecipeError(f"{place} is {otherwise}: {' '.join(str(error).split())}") from error
    _check_plain(place, [], value)
    return value


def _check_plain(place: str, keys: list, value) -> None:
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".") or "it"
    if len(keys) > DEEPEST:
        raise RecipeError(f"{place} has more than {DEEPEST} levels")
    if isinstance(value, dict):
        for name, entry in value.items():
            if not isinstance(name, str):
                raise RecipeError(f"{place}: {where} has the key {name!r}; keys are texts, so put it in quotes")
            _check_plain(place, [*keys, name], entry)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            _check_plain(place, [*keys, index], entry)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{place}: {where} is {value}; give a finite number")
    elif not isinstance(value, str | int | float | None):
        raise RecipeError(f"{place}: {where} is a {type(value).__name__} ({value}); put it in quotes to give a text")
