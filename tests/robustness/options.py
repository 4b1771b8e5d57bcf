"""Types of command-line options that say what is allowed."""

import argparse
from collections.abc import Callable
from pathlib import Path


def whole_number(lowest: int) -> Callable[[str], int]:
    """A type for whole numbers from `lowest` on."""

    def read(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"it is {text}; give a whole number, at least {lowest}")
        return int(text)

    return read


def folder(text: str) -> Path:
    """A type for existing folders."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return Path(text)
