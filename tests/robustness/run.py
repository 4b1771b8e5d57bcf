"""`python tests/robustness/run.py`: hostile audio, against all four ways into the package; prints what came of it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path


HERE = Path(__file__).resolve().parent
# this folder itself must not be searched: its `arrays` and `model` would hide others
sys.path[0] = str(HERE.parent)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--cases", type=int, default=10_000, help="how many, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of all of them, default %(default)s")
    parser.add_argument("--case", type=int, help="run this one alone, and say what each target answers")
    parser.add_argument("--workers", type=int, default=1, help="processes at once, default %(default)s")
    parser.add_argument("--model", type=Path, help="folder of a trained model; an untrained student without")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args(argv)
    for name, lowest in (("cases", 1), ("seed", 0), ("case", 0), ("workers", 1)):
        value = getattr(options, name)
        if value is not None and value < lowest:
            parser.error(f"--{name} is {value}; it is at least {lowest}")
    if options.model is not None and not options.model.is_dir():
        parser.error(f"--model {options.model} is no folder")
    return options


def main(argv: list[str]) -> int:
    """Run the cases, print a table, write the JSON; 1 if any failed."""
    options = parse(argv)

    from robustness.model import prepare_model
    from robustness.report import print_failures, result_of, tell_progress
    from robustness.summary import table
    from robustness.supervisor import run_cases
    from robustness.targets import TARGETS

    indices = range(options.cases) if options.case is None else [options.case]
    with tempfile.TemporaryDirectory(prefix="speech_affect_robustness_") as folder:
        model = prepare_model(options.model, Path(folder) / "model")
        start_s = time.monotonic()
        tell = tell_progress(len(indices) * len(TARGETS), alone=options.case is not None)
        verdicts = run_cases(model, options.seed, indices, TARGETS, options.workers, tell)
    result = result_of(verdicts, options.seed, options.workers, time.monotonic() - start_s)
    if options.case is None:
        print(table(verdicts))
    print_failures(result)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
