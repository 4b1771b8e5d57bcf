"""`speech-affect complete`: what a shell needs to complete the commands, their options and paths."""

import argparse
from pathlib import Path


EXAMPLES = """examples:
  speech-affect complete bash > ~/.local/share/bash-completion/completions/speech-affect
  speech-affect complete zsh > ~/.zfunc/_speech-affect
"""


def add_arguments(commands: argparse._SubParsersAction, program: argparse.ArgumentParser) -> None:
    """Add the command to those of `speech-affect`, which are those of `program`."""
    parser = commands.add_parser(
        "complete",
        help="a script by which a shell completes these commands",
        description="Print a script with which a shell completes commands, options and paths.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "tcsh"))
    parser.set_defaults(run=run, extra="completion", program=program, parsers=commands.choices)


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0."""
    import shtab  # an extra

    for parser in given.parsers.values():
        for action in parser._actions:
            if action.type in (None, Path) and action.nargs != 0 and not action.choices:
                action.complete = shtab.FILE
    print(shtab.complete(given.program, given.shell))
    return 0
