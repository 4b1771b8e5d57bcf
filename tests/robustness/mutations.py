"""`python tests/robustness/mutations.py`: breaks contracts in a copy, one at a time, and says which tests see it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path


HERE = Path(__file__).resolve().parent
# this folder itself must not be searched: its `arrays` and `model` would hide others
sys.path[0] = str(HERE.parent)


def parse(argv: list[str], names: list[str]) -> argparse.Namespace:
    """The command line; `names` of all mutations."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--only", nargs="+", metavar="WORDS", help="mutations whose names begin with these")
    parser.add_argument("--list", action="store_true", help="print their names and break nothing")
    options = parser.parse_args(argv)
    for start in options.only or []:
        if not any(name.startswith(start) for name in names):
            parser.error(f"--only {start!r} is the beginning of none of: {'; '.join(names)}")
    return options


def main(argv: list[str]) -> int:
    """Run them, a line each; 1 if one was not caught, or the tests fail as the code is."""
    from robustness.mutant import CAUGHT, NOT_CAUGHT, copy_repository, run_mutated, run_unchanged
    from robustness.mutation_table import MUTATIONS

    options = parse(argv, [mutation.name for mutation in MUTATIONS])
    chosen = [m for m in MUTATIONS if options.only is None or m.name.startswith(tuple(options.only))]
    if options.list:
        print(*(mutation.name for mutation in chosen), sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="speech_affect_mutations_") as folder:
        scratch = Path(folder).resolve()
        copy_repository(scratch)
        unchanged = run_unchanged(scratch, chosen)
        if unchanged.outcome != NOT_CAUGHT:
            print(f"tests fail though nothing is broken:\n{unchanged.test}")
            return 1
        print("nothing broken | all tests pass", flush=True)
        verdicts = []
        for mutation in chosen:
            verdicts.append(run_mutated(scratch, mutation))
            print(" | ".join((mutation.name, verdicts[-1].outcome, verdicts[-1].test)), flush=True)
    missed = [verdict for verdict in verdicts if verdict.outcome != CAUGHT]
    print(f"{len(verdicts) - len(missed)} of {len(verdicts)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
