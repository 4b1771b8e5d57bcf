"""One thing that somebody might give a model instead of a sound recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Case:
    """
    A clip, in the form in which it is given.

    Args:
        what: in a few words.
        make: gives the clip, anew for each target: a file object is read only once.
        sampling_rate: given with the clip; None where it is left to the default.
        options: of the pipeline and of `OnnxAffect`.
        unprivileged: called without the rights of the superuser, who may read every file.
    """

    what: str
    make: Callable[[], object]
    sampling_rate: object = None
    options: dict = field(default_factory=dict)
    unprivileged: bool = False
