"""What the Space is told: on the command line, or by variables of its environment, as a Space on the Hub has them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path


DEMO = Path("outputs") / "demo"
MODEL, TEACHER = DEMO / "student_kd", DEMO / "fusion"  # where training/run.py leaves them


@dataclass(frozen=True)
class Settings:
    """
    Args:
        model: folder or Hub id of the model that estimates.
        teacher: of the one beside it in the comparison; empty for none.
        revision: of both on the Hub; empty for the newest.
        max_size_mb: of an uploaded file.
        max_length_s: of a recording, in seconds, and of a live session.
        timeout_s: of one request, in seconds.
        concurrency: requests that are worked on at once.
        queue_size: requests that may wait; those after them are refused.
        live_sessions: microphones that are heard at once.
        port: to listen at.

    Raises:
        ValueError: a number that is not above 0.
    """

    model: str = ""
    teacher: str = ""
    revision: str = ""
    max_size_mb: float = 50.0
    max_length_s: float = 900.0
    timeout_s: float = 60.0
    concurrency: int = 2
    queue_size: int = 20
    live_sessions: int = 8
    port: int = 7860

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) and not 0 < value < 1e9:
                raise ValueError(f"{field.name} is {value}; it must be above 0")

    @classmethod
    def read(cls, argv: list[str], environment: Mapping[str, str], checkout: Path) -> Settings:
        """
        From the command line, where it is silent from the environment (`MODEL_ID`, `TEACHER_ID`, `MODEL_REVISION`,
        `MAX_SIZE_MB`, `MAX_LENGTH_S`, `TIMEOUT_S`, `CONCURRENCY`, `QUEUE_SIZE`, `LIVE_SESSIONS`,
        `GRADIO_SERVER_PORT`), and else the defaults; models are then those of the main job on the demo corpus.

        Args:
            argv: without the program's name.
            environment: variables.
            checkout: folder in which `outputs/demo` may lie.

        Raises:
            ValueError: a variable that is no number, or out of range.
        """
        names = {
            "model": "MODEL_ID",
            "teacher": "TEACHER_ID",
            "revision": "MODEL_REVISION",
            "port": "GRADIO_SERVER_PORT",
        }
        parser = argparse.ArgumentParser(description="A page that estimates activation, valence and dominance.")
        for field in fields(cls):
            kind = type(field.default)
            variable = names.get(field.name, field.name.upper())
            parser.add_argument(f"--{field.name}", type=kind, help=f"or {variable}; {field.default or 'the demo'}")
        given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
        for field in fields(cls):
            variable = names.get(field.name, field.name.upper())
            if field.name not in given and environment.get(variable):
                given[field.name] = _converted(variable, environment[variable], type(field.default))
        if "model" not in given:
            demo = {"model": checkout / MODEL, "teacher": checkout / TEACHER}
            given = {**{name: str(path) for name, path in demo.items() if path.is_dir()}, **given}
        return cls(**given)


def _converted(variable: str, text: str, kind: type):
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{variable} is {text!r}; give a number") from None


def environment() -> Mapping[str, str]:
    """The process's variables."""
    return os.environ
