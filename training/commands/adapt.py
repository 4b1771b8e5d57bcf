"""`speech-affect adapt`: a model on a few rated clips."""

import argparse


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser("adapt", help="a model to a corpus, by a few clips with ratings")
    parser.set_defaults(run=run, extra="train")


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0."""
    raise ValueError("this version cannot adapt yet")
