"""`python tests/robustness/faults.py`: disturbs tiny training runs, starts them again, and prints what came of it."""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path


# instead of this folder, whose module names are common words
sys.path[0] = str(Path(__file__).resolve().parents[1])


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse and check the command line."""
    from robustness.options import whole_number

    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--points", type=whole_number(1), default=20, help="kills in each job, default %(default)s")
    parser.add_argument("--at_most", type=whole_number(1), help="of all these kills, evenly chosen; default: all")
    parser.add_argument("--others", type=whole_number(0), default=5, help="of each other fault, default %(default)s")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of all points, default %(default)s")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run all faults, print a table, write the JSON; returns 1 if any failed."""
    options = parse(argv)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    from robustness.fault_kinds import strike
    from robustness.fault_run import load_training
    from robustness.fault_workspace import Workspace
    from robustness.report import faults_table

    load_training()
    start_s, points = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="speech_affect_faults_") as temporary:
        folder = Path(temporary).resolve()
        space = Workspace.make(folder)
        try:
            for verdict in strike(space, options.points, options.at_most, options.others, options.seed):
                points.append(asdict(verdict))
                result = f"FAILED: {verdict.failure}" if verdict.failure else verdict.refusal or "goes on"
                print(f"{len(points)} {verdict.fault}, {verdict.point}: {result}", file=sys.stderr, flush=True)
        finally:
            space.end()
    result = {"seed": options.seed, "seconds": round(time.monotonic() - start_s, 1), "points": points}
    print(faults_table(result))
    print(f"\n{len(points)} points in {result['seconds']:.0f} s, seed {options.seed}")
    if options.output:
        text = json.dumps(result, indent=1).replace(f"{folder}{os.sep}", "")  # where the runs were is no result
        options.output.write_text(text + "\n", encoding="utf-8")
    return 1 if any(point["failure"] for point in points) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
