"""`speech-affect serve`: the page in a browser."""

import argparse
import runpy
import sys
from pathlib import Path

from .estimators import MODEL_HELP, chosen_model


PACKAGE = Path(__file__).resolve().parents[1]
# a checkout keeps the page beside this package; the wheel has it in the package
PAGE = (PACKAGE.parent if PACKAGE.name == "modeling" else PACKAGE) / "space"


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser(
        "serve",
        help="the page: recordings and the microphone in a browser",
        description="Serve the page on this machine until it is interrupted. Its limits are variables of the "
        "environment: MAX_SIZE_MB, MAX_LENGTH_S, TIMEOUT_S, CONCURRENCY, QUEUE_SIZE, LIVE_SESSIONS.",
        epilog="example:\n  speech-affect serve --model outputs/demo/student_kd --port 8000\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, extra="space")
    parser.add_argument("--model", help=MODEL_HELP.replace("exported file, ", ""))
    parser.add_argument("--teacher", metavar="MODEL", help="a second model beside it, under Compare")
    parser.add_argument("--port", type=int, help="of the server (default: 7860)")


def run(given: argparse.Namespace) -> int:
    """Serve the page; the exit status is 0 once it is interrupted.

    Raises:
        ValueError: No such model comes with the package.
    """
    models = {"--model": given.model, "--teacher": given.teacher}
    options = {name: model and chosen_model(model) for name, model in models.items()} | {"--port": given.port}
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    sys.argv = [str(PAGE / "app.py"), *words]
    sys.path.insert(0, str(PAGE))  # as `python space/app.py` does
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0
