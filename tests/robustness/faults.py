"""`python tests/robustness/faults.py`: strikes tiny training runs, starts them again, and prints what came of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path


HERE = Path(__file__).resolve().parent
# this folder itself must not be searched: its `arrays` and `model` would hide others
sys.path[0] = str(HERE.parent)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--points", type=int, default=20, help="kills in each job of a run, default %(default)s")
    parser.add_argument("--at_most", type=int, help="of all these kills, evenly chosen; all without")
    parser.add_argument("--others", type=int, default=5, help="points of each other fault, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of all points, default %(default)s")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args(argv)
    for name, lowest in (("points", 1), ("at_most", 1), ("others", 0), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < lowest:
            parser.error(f"--{name} is {value}; it is at least {lowest}")
    return options


def main(argv: list[str]) -> int:
    """Run all faults, print a table, write the JSON; 1 if any failed."""
    options = parse(argv)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    from robustness.fault_process import load_training
    from robustness.fault_report import failures, table
    from robustness.fault_suite import strike
    from robustness.fault_workspace import Workspace

    load_training()
    start_s, verdicts = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="speech_affect_faults_") as folder:
        space = Workspace.make(Path(folder).resolve())
        try:
            for verdict in strike(space, options.points, options.at_most, options.others, options.seed):
                verdicts.append(verdict)
                said = f"FAILED: {verdict.failure}" if verdict.failure else verdict.refusal or "goes on"
                print(f"{len(verdicts)} {verdict.fault}, {verdict.point}: {said}", file=sys.stderr, flush=True)
        finally:
            space.end()
    seconds = time.monotonic() - start_s
    print(table(verdicts))
    print(f"\n{len(verdicts)} points in {seconds:.0f} s, seed {options.seed}")
    if options.output:
        points = [asdict(verdict) for verdict in verdicts]
        content = {"seed": options.seed, "seconds": round(seconds, 1), "points": points}
        # where the runs were is no result
        text = json.dumps(content, indent=1).replace(f"{Path(folder).resolve()}{os.sep}", "")
        options.output.write_text(text + "\n", encoding="utf-8")
    return 1 if failures(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
