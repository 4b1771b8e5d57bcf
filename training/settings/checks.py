"""Checks of names and types, with messages that say what is allowed."""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum

from transformers import TrainingArguments


SET_FOR_ALL = ("output_dir", "seed", "push_to_hub", "hub_token")  # training arguments of the whole run
MOST_LISTED = 40  # names in a message
DESCRIPTIONS = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    dict: ("a mapping", "mappings"),
}


def did_you_mean(name, known: Iterable[str]) -> str:
    """Return `; did you mean 'seeds'?` if a known name is close to the given one, else nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_names(place: str, names: Iterable, known: Iterable[str], kind: str = "key") -> None:
    """Check that all names are known; `kind` is what such a name is called.

    Raises:
        ValueError: A name is not known; the message has the closest known name, and all names unless they are many.
    """
    known = list(known)
    for name in names:
        if name not in known:
            allowed = f"; allowed are {', '.join(known)}" if len(known) <= MOST_LISTED else ""
            raise ValueError(f"{place} has an unknown {kind} {name!r}{did_you_mean(name, known)}{allowed}")


def check_type(place: str, name: str, value, annotation) -> None:
    """Check that a value out of YAML or JSON has the type of its field; a whole number is a number too.

    An annotation is a plain type, `list[...]`, `Literal[...]`, an enumeration (a text in YAML), or a union of these.

    Raises:
        ValueError: The value is of another type.
    """
    if not _fits(value, annotation):
        hint = "; YAML reads no, off and yes as true or false: put them in quotes" if isinstance(value, bool) else ""
        if isinstance(value, str) and float in kinds(annotation):
            hint = ", such as 1.0e-3 (YAML reads it as a text without the .0)"
        raise ValueError(f"{place} has {name}: {value!r}; give {_described(annotation)}{hint}")


def check_mapping(place: str, mapping, annotations: Mapping[str, typing.Any]) -> None:
    """Check that a value is a mapping with known keys, and the type of each value.

    Raises:
        ValueError: As [`check_names`] and [`check_type`], or the value is not a mapping.
    """
    if not isinstance(mapping, dict):
        raise ValueError(f"{place} is {mapping!r}; give a mapping with keys among {', '.join(annotations)}")
    check_names(place, mapping, annotations)
    for name, value in mapping.items():
        check_type(place, name, value, annotations[name])


def check_training(place: str, training) -> None:
    """Check training arguments that are given over those of the run.

    Raises:
        ValueError: As [`check_mapping`], or one is that of the whole run.
    """
    check_mapping(place, training, typing.get_type_hints(TrainingArguments))
    for key in SET_FOR_ALL:
        if key in training:
            raise ValueError(f"{place} has {key}, which is set for the whole run; leave it out")


def kinds(annotation) -> tuple:
    """Return the types of a union, without their parameters; an enumeration counts as `str`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(kind for part in typing.get_args(annotation) for kind in kinds(part))
    kind = typing.get_origin(annotation) or annotation
    return (str if isinstance(kind, type) and issubclass(kind, Enum) else kind,)


def _fits(value, annotation) -> bool:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is typing.Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is list:
        return isinstance(value, list) and all(_fits(entry, parts[0]) for entry in value)
    (kind,) = kinds(annotation)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _described(annotation, plural: bool = False) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_described(part, plural) for part in parts if part is not type(None)))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is list:
        return f"{'lists' if plural else 'a list'} of {_described(parts[0], plural=True)}"
    (kind,) = kinds(annotation)
    return DESCRIPTIONS[kind][plural] if kind in DESCRIPTIONS else f"a value of type {kind.__name__}"
