"""Names that are not there, and the one that was perhaps meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name, known: Iterable[str]) -> str:
    """`; did you mean 'seeds'?` where a known name is close to the given one; else nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_names(place: str, names: Iterable, known: Iterable[str], kind: str = "key") -> None:
    """
    Check that all names are known.

    Args:
        place: where they stand, at the beginning of the message.
        names: as given, of any type.
        known: those allowed.
        kind: what such a name is called.

    Raises:
        ValueError: names the first that is not known, the closest one, and all that are.
    """
    known = list(known)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"{place} has an unknown {kind} {name!r}{hint}; allowed are {', '.join(known)}")
