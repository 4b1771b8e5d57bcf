"""Settings and limits of the page, and the error that a visitor is shown."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from speech_affect import released


RELEASED_MODEL = "student"
# where training/run.py leaves the models of the main job
DEMO_MODEL, DEMO_TEACHER = Path("outputs/demo/student_kd"), Path("outputs/demo/fusion")
VARIABLES = {"model": "MODEL_ID", "teacher": "TEACHER_ID", "revision": "MODEL_REVISION", "port": "GRADIO_SERVER_PORT"}


class UserError(ValueError):
    """A request that cannot be served; its text is one sentence for the visitor, without paths."""


class Deadline:
    """A time limit in seconds from now, checked between two blocks of work."""

    def __init__(self, timeout_s: float):
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def check(self) -> None:
        """Raise a `UserError` if the time is over."""
        if time.monotonic() > self._end:
            raise UserError(f"This took longer than {self._timeout_s:g} s and was stopped: try a shorter clip.")


@dataclass(frozen=True)
class Settings:
    """Models and limits of a page; a number that is not above 0 raises a `ValueError`."""

    model: str = ""  # folder or Hub id of the model that estimates
    teacher: str = ""  # of the model beside it in the comparison; empty for none
    revision: str = ""  # of both on the Hub; empty for the newest
    max_size_mb: float = 50.0  # largest uploaded file
    max_length_s: float = 900.0  # longest recording and longest live session
    timeout_s: float = 60.0  # longest computation for one request
    concurrency: int = 2  # requests that are computed at the same time
    queue_size: int = 20  # requests that may wait; further ones are turned away
    live_sessions: int = 8  # microphones at the same time
    port: int = 7860

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) and not 0 < value < 1e9:
                raise ValueError(f"{field.name} is {value}; it must be above 0")

    @classmethod
    def read(cls, argv: list[str], environment: Mapping[str, str], checkout: Path) -> Settings:
        """Read the command line, then environment variables, then the defaults.

        An option is also a variable by its name in capitals (`MAX_SIZE_MB`), or `MODEL_ID`, `TEACHER_ID`,
        `MODEL_REVISION` and `GRADIO_SERVER_PORT`. Without a model it is the released one; where there is none, those
        of the demo corpus in `checkout`, as far as they exist.
        """
        parser = argparse.ArgumentParser(description="A page that estimates activation, valence and dominance.")
        for field in fields(cls):
            variable = VARIABLES.get(field.name, field.name.upper())
            parser.add_argument(
                f"--{field.name}",
                type=type(field.default),
                default=environment.get(variable) or None,
                help=f"or variable {variable} (default: {field.default or 'see README.md'})",
            )
        given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
        if "model" not in given:
            given = {**_default_models(checkout), **given}
        return cls(**given)


def _default_models(checkout: Path) -> dict[str, str]:
    try:
        return {"model": str(released(RELEASED_MODEL))}
    except ValueError:
        demo = {"model": checkout / DEMO_MODEL, "teacher": checkout / DEMO_TEACHER}
        return {name: str(path) for name, path in demo.items() if path.is_dir()}
