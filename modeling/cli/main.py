"""The command `speech-affect`."""

import argparse
import sys
from collections.abc import Sequence

from ..checks import one_line
from . import predict


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 after an error, 130 after an interruption."""
    parser = argparse.ArgumentParser(
        prog="speech-affect", description="Activation, valence and dominance of speech, from the command line."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    predict.add_arguments(commands)
    given = parser.parse_args(argv)
    try:
        return given.run(given)
    except KeyboardInterrupt:
        kept = "; what was finished is kept, and --resume goes on from there" if given.output else ""
        print(f"interrupted{kept}", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
