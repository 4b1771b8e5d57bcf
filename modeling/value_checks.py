"""Whether values read from a file are of the kind and within the bounds that they must be; needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from numbers import Real


def is_number(value) -> bool:
    """Whether a value is a finite number, which a float can hold, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def are_numbers(values, count: int) -> bool:
    """Whether a value is a list or tuple of so many finite numbers."""
    return isinstance(values, (list, tuple)) and len(values) == count and all(map(is_number, values))


def check_whole_numbers(config, limits: Mapping[str, int]) -> None:
    """
    Check that fields are whole numbers from 1 to their limits.

    Raises:
        ValueError: names the field, its value, and what is allowed.
    """
    for name, limit in limits.items():
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
            raise ValueError(f"{name} is {value!r:.200}; give a whole number from 1 to {limit}")


def check_numbers(config, names, low: float, high: float, allowed: str) -> None:
    """
    Check that fields are numbers in [low, high).

    Raises:
        ValueError: names the field, its value, and what is `allowed`.
    """
    for name in names:
        value = getattr(config, name)
        if not is_number(value) or not low <= value < high:
            raise ValueError(f"{name} is {value!r:.200}; it must be {allowed}")


def check_flags(config, names) -> None:
    """
    Check that fields are true or false.

    Raises:
        ValueError: names the field and its value.
    """
    for name in names:
        if not isinstance(getattr(config, name), bool):
            raise ValueError(f"{name} is {getattr(config, name)!r:.200}; give true or false")
