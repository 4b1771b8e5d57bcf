"""The command `speech-affect`: commands of this package, and those that other packages register."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from textwrap import fill

from . import complete, plot, predict
from .estimators import has_torch


GROUP = "speech_affect.commands"  # of entry points, each a function `add_arguments(commands)` as those here


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 after an error, 130 after an interruption."""
    given = argparse.Namespace()
    try:
        _parse(argv, given)
        return given.run(given)
    except KeyboardInterrupt:
        kept = "; what was finished is kept, and --resume goes on from there" if _resumes(given) else ""
        print(f"interrupted{kept}", file=sys.stderr)
        return 130
    except ImportError as error:
        needed = f"'speech-affect[{given.extra}]'" if hasattr(given, "extra") else error.name
        fix = f": pip install {needed}" if needed and "pip install" not in str(error) else ""
        print(f"error: {given.command} cannot start ({_one_line(error)}){fix}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 1


def _parse(argv: Sequence[str] | None, given: argparse.Namespace) -> None:
    """Parse the arguments of a command. Until that is done nothing is imported that takes time, such as torch."""
    parser = argparse.ArgumentParser(
        prog="speech-affect",
        description="Activation, valence and dominance of speech, from the command line.",
        epilog="speech-affect COMMAND --help has the options of a command, and examples.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (predict, plot):
        module.add_arguments(commands)
    complete.add_arguments(commands, parser)
    own = set(commands.choices)
    for add_arguments in _registered():
        add_arguments(commands)
    for command in commands.choices.values():  # argparse wraps a description only where it wraps the examples as well
        command.description = fill(command.description or "", 79)
    parser.parse_args(argv, given)
    if given.command not in own and has_torch():  # which may rely on what `import speech_affect` registers
        import_module("speech_affect._registered")


def _one_line(error: Exception) -> str:
    from ..audio_file import one_line  # not for --help

    return one_line(error)


def _resumes(given: argparse.Namespace) -> bool:
    return getattr(given, "output", None) is not None and hasattr(given, "resume")


def _registered() -> Iterator[Callable[[argparse._SubParsersAction], None]]:
    """Yield the functions that add the commands of other packages; one that cannot be loaded costs a warning."""
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            yield entry.load()
        except ImportError as error:
            print(f"warning: no command {entry.name}: {_one_line(error)}", file=sys.stderr)
