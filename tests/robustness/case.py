"""One input that a caller might give a model instead of a sound recording."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Case:
    """A clip in the form in which it is given.

    Args:
        what: description in a few words.
        make: returns the clip, anew for each target: a file object can be read only once.
        sampling_rate: given with the clip; None leaves it to the default.
        options: of the pipeline and of `OnnxAffect`.
        unprivileged: call the target without superuser rights, which would allow reading every file.
    """

    what: str
    make: Callable[[], object]
    sampling_rate: object = None
    options: dict = field(default_factory=dict)
    unprivileged: bool = False
