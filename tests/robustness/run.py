"""`python tests/robustness/run.py`: gives hostile audio to all four ways into the package and prints the outcomes."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path


# instead of this folder, whose module names are common words
sys.path[0] = str(Path(__file__).resolve().parents[1])

SHOWN = 40  # failures printed; the JSON file has all
PROGRESS_EVERY = 2000  # verdicts


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse and check the command line."""
    from robustness.options import folder, whole_number

    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--cases", type=whole_number(1), default=10_000, help="how many, default %(default)s")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of all cases, default %(default)s")
    parser.add_argument("--case", type=whole_number(0), help="run this one alone and print what each target returns")
    parser.add_argument("--workers", type=whole_number(1), default=1, help="processes at once, default %(default)s")
    parser.add_argument("--model", type=folder, help="folder of a trained model; default: an untrained student")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run the cases, print a table, write the JSON; returns 1 if any failed."""
    options = parse(argv)

    from robustness.report import audio_line, audio_result, audio_table
    from robustness.supervisor import run_cases
    from robustness.targets import TARGETS, prepare_model

    indices = range(options.cases) if options.case is None else [options.case]
    done = 0

    def report(verdict) -> None:
        nonlocal done
        done += 1
        if options.case is not None:
            print(f"{verdict.target:10} {verdict.outcome:8} {verdict.what}\n{'':20}{verdict.message}")
        elif done % PROGRESS_EVERY == 0:
            print(f"{done} of {len(indices) * len(TARGETS)}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="speech_affect_robustness_") as folder:
        Path(folder).chmod(0o755)  # some cases run as another user
        model = prepare_model(options.model, Path(folder) / "model")
        start_s = time.monotonic()
        verdicts = run_cases(model, options.seed, indices, TARGETS, options.workers, report)
    result = audio_result(verdicts, options.seed, options.workers, time.monotonic() - start_s)
    print(audio_table(result), audio_line(result), sep="\n\n")
    for failure in result["failures"][:SHOWN]:
        print(f"FAILED {failure['message']}")
        if "index" in failure:
            print(f"    {failure['target']}, {failure['kind']}: {failure['what']}")
            print(f"    repeat: --seed {result['seed']} --case {failure['index']}")
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
