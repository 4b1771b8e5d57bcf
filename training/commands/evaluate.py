"""`speech-affect evaluate`: models on a corpus."""

import argparse


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser("evaluate", help="models on a corpus, to a table with paired tests")
    parser.set_defaults(run=run, extra="train")


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0."""
    raise ValueError("this version cannot evaluate yet")
