"""A recipe as a file: YAML of plain values, each key once, nothing that is cyclic or without end."""

from __future__ import annotations

import json
import math
from pathlib import Path

import yaml


LARGEST_BYTES = 1 << 20
DEEPEST = 32
MOST_VALUES = 100_000


class RecipeError(ValueError):
    """Settings that cannot be read; the message says where they stand."""


def read_recipe(path: Path) -> dict:
    """
    The settings of a recipe.

    Raises:
        ValueError: the file is too large, no UTF-8 or no YAML, holds no mapping, or something in it that no setting
            takes; names the file, and the line or the key.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"{path} has over {LARGEST_BYTES} bytes; a recipe is a short text")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no YAML: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    settings = read_yaml(text, str(path))
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold a mapping of settings, not {type(settings).__name__}")
    return settings


def read_mapping(name: str, value) -> dict:
    """
    A mapping, or the JSON or YAML text of one, as the command line has it.

    Args:
        name: of the setting, for messages.
        value: mapping or text.

    Raises:
        ValueError: it is no mapping, or no text of one.
    """
    if isinstance(value, str):
        value = read_text(name, value)
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a mapping, not {value!r}")
    return value


def read_text(name: str, text: str):
    """
    A value out of JSON or YAML; JSON goes first, because YAML takes 1e-05 for a text.

    Raises:
        ValueError: as [`read_yaml`].
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return read_yaml(text, name, "neither YAML nor JSON")
    _check_plain(name, "", value)
    return value


def read_yaml(text: str, place: str, otherwise: str = "no YAML"):
    """
    What a YAML document holds.

    Args:
        text: the document.
        place: file or setting, for messages.
        otherwise: what the text then is.

    Raises:
        ValueError: no YAML, or a key that occurs twice, a value that holds itself, more than 32 levels, more than
            100,000 values, a number that is not finite, or a value that is neither text, number, true, false, null,
            list nor mapping.
    """
    try:
        _check_depth(text, place)
        _check_nodes(yaml.compose(text, Loader=yaml.SafeLoader), place)
        value = yaml.safe_load(text)
    except RecipeError:
        raise
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        include = "; a recipe includes no other file" if "!include" in str(error.problem) else ""
        raise RecipeError(f"{place} is {otherwise}: {error.problem}{line}{include}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date in month 13, a character that YAML does not allow
        raise RecipeError(f"{place} is {otherwise}: {' '.join(str(error).split())}") from error
    _check_plain(place, "", value)
    return value


def _check_depth(text: str, place: str) -> None:
    """Events come one by one and without recursion: so too deep a text ends here, before time and stack do."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise RecipeError(f"{place}: line {event.start_mark.line + 1} has more than {DEEPEST} levels")


def _check_nodes(root: yaml.Node | None, place: str) -> None:
    """Aliases make a graph of the document: it must have no circle, and not unfold to more than a machine can hold."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        line = node.start_mark.line + 1
        if id(node) in sizes:
            if sizes[id(node)] is None:
                raise RecipeError(f"{place}: the value in line {line} holds itself")
            return sizes[id(node)]
        sizes[id(node)] = None
        parts = list(node.value) if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            _check_keys([key for key, _ in parts], place)
            parts = [part for pair in parts for part in pair]
        sizes[id(node)] = 1 + sum(map(size, parts))
        if sizes[id(node)] > MOST_VALUES:
            raise RecipeError(f"{place}: the value in line {line} unfolds to more than {MOST_VALUES} values")
        return sizes[id(node)]

    if root is not None:
        size(root)


def _check_keys(keys: list[yaml.Node], place: str) -> None:
    seen: dict[str, int] = {}
    for key in keys:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise RecipeError(f"{place}: {key.value!r} is in line {seen[key.value]} and again in line {line}")
            seen[key.value] = line


def _check_plain(place: str, key: str, value) -> None:
    if isinstance(value, dict):
        for name, entry in value.items():
            if not isinstance(name, str):
                raise RecipeError(f"{place}: {key or 'it'} has the key {name!r}; keys are texts, so put it in quotes")
            _check_plain(place, f"{key}.{name}" if key else name, entry)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            _check_plain(place, f"{key}[{index}]", entry)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{place}: {key} is {value}; give a finite number")
    elif not (value is None or isinstance(value, (str, bool, int, float))):
        raise RecipeError(f"{place}: {key} is a {type(value).__name__} ({value}); put it in quotes to give a text")
