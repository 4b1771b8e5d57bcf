"""Noise and room conditions under which a finished model is tested."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .checks import check_mapping


KEYS = {"white_db": "white", "babble_db": "babble", "room_s": "room"}  # of the mapping in a recipe
SHORTEST_T60_S, LONGEST_T60_S = 0.01, 10.0


@dataclass(frozen=True)
class Condition:
    """One way to degrade a clip.

    Args:
        kind: `white` (noise), `babble` (other voices) or `room` (reverberation).
        value: Signal-to-noise ratio in decibels for `white` and `babble`, reverberation time in seconds for `room`
            (0.01 to 10).

    Raises:
        ValueError: The value is not allowed for the kind.
    """

    kind: str
    value: float

    def __post_init__(self):
        if self.kind == "room":
            if not SHORTEST_T60_S <= self.value <= LONGEST_T60_S:
                raise ValueError(
                    f"value of a room is {self.value}; {SHORTEST_T60_S} to {LONGEST_T60_S:g} s are allowed"
                )
        elif not math.isfinite(self.value):
            raise ValueError(f"value of {self.kind} is {self.value}; give a finite signal-to-noise ratio in decibels")

    @property
    def name(self) -> str:
        """Name for tables and files, such as `white_10db`, `room_0.6s`."""
        return f"{self.kind}_{self.value:g}{'s' if self.kind == 'room' else 'db'}"

    @classmethod
    def parse(cls, name: str) -> Condition:
        """Read a condition from its name."""
        kind, _, value = name.partition("_")
        return cls(kind, float(value.removesuffix("s").removesuffix("db")))


def read_conditions(given: dict) -> tuple[list[str], list[Condition]]:
    """Return the systems and the conditions they are tested under.

    Args:
        given: A recipe's `{systems, white_db, babble_db, room_s}`, each a list; empty for no conditions.

    Raises:
        ValueError: A key or a value is not allowed, or systems or conditions are missing.
    """
    check_mapping("conditions", given, {"systems": list[str], **dict.fromkeys(KEYS, list[float])})
    if given and ("systems" not in given or len(given) == 1 or not all(given.values())):
        raise ValueError(
            f"conditions are {given}; give systems and what they are tested under: "
            "{systems: [mfb], white_db: [20, 10], room_s: [0.5]}"
        )
    conditions = [Condition(kind, float(value)) for key, kind in KEYS.items() for value in given.get(key, [])]
    return given.get("systems", []), conditions
