"""`python tests/robustness/long_run.py`: mixed requests for an hour, with memory and file handles that stay flat."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path


HERE = Path(__file__).resolve().parent
# this folder itself must not be searched: its `arrays` and `model` would hide others
sys.path[0] = str(HERE.parent)

TARGETS = ("pipeline", "space")
MOST_SAMPLES = 1200
PROGRESS = 12  # lines of it
SHOWN = 10  # failures printed of each target; the JSON file has all


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--minutes", type=float, default=60.0, help="of asking, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the requests and their order, default %(default)s")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), help="default: both")
    parser.add_argument("--model", type=Path, help="folder of a trained model; an untrained student without")
    parser.add_argument("--output", type=Path, help="folder for long_run.json and long_run.png")
    options = parser.parse_args(argv)
    if not 0 < options.minutes < 1e5:
        parser.error(f"--minutes is {options.minutes:g}; it must be above 0, and below 100000")
    if options.seed < 0:
        parser.error(f"--seed is {options.seed}; it is at least 0")
    if options.model is not None and not options.model.is_dir():
        parser.error(f"--model {options.model} is no folder")
    return options


@dataclass
class Interruption:
    """Whether somebody wants the run to end early. No event: its lock may be held when the signal comes."""

    has_come: bool = False


@contextmanager
def interrupts():
    """An [`Interruption`] that comes with SIGINT or SIGTERM: the run ends early and tells what it has."""
    interruption = Interruption()

    def note(*_) -> None:
        interruption.has_come = True

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(options: argparse.Namespace, folder: Path, interruption: Interruption) -> dict:
    """Load the targets, ask until the time is over, and put together what came of it."""
    from robustness.model import prepare_model
    from robustness.steady_targets import pipeline_load, space_load

    model, loads = prepare_model(options.model, folder / "model"), []
    try:
        import onnxruntime  # noqa: F401

        ways = ("pipeline", "stream", "onnx")
    except ImportError:
        ways = ("pipeline", "stream")
    with ExitStack() as stack:
        if "pipeline" in options.targets:
            loads.append(stack.enter_context(pipeline_load(model, options.seed, folder / "pipeline", ways)))
        if "space" in options.targets:
            loads.append(stack.enter_context(space_load(model, options.seed, folder / "space")))
        print(f"asking for {options.minutes:g} minutes", file=sys.stderr, flush=True)
        start_s = time.monotonic()
        end_s = start_s + 60 * options.minutes
        for load in loads:
            load.start()
        watch(loads, end_s, interruption)
        for load in loads:
            load.stop()
        taken_s = time.monotonic() - start_s
    return {
        "schema_version": 1,
        "minutes": round(taken_s / 60, 2),
        "seed": options.seed,
        "interrupted": interruption.has_come,
        "targets": {load.name: load.result() for load in loads},
    }


def watch(loads: list, end_s: float, interruption: Interruption) -> None:
    """Sample what the targets hold until the time is over, all have failed, or somebody interrupts."""
    start_s = told_s = time.monotonic()
    pause_s, told_every_s = max(0.1, (end_s - start_s) / MOST_SAMPLES), (end_s - start_s) / PROGRESS
    while time.monotonic() < end_s and not interruption.has_come and any([load.is_working() for load in loads]):
        for load in loads:
            load.sample()
        if time.monotonic() - told_s > told_every_s:
            told_s = time.monotonic()
            progress = [f"{load.name} {load.answered} requests, {len(load.failures)} failures" for load in loads]
            print(f"{(told_s - start_s) / 60:.1f} minutes: {'; '.join(progress)}", file=sys.stderr, flush=True)
        time.sleep(pause_s)


def main(argv: list[str]) -> int:
    """Run, print the table, write the files; 1 if anything failed or grew."""
    options = parse(argv)

    from robustness.long_report import draw, table, write_json

    with interrupts() as interruption, tempfile.TemporaryDirectory(prefix="speech_affect_long_run_") as folder:
        result = run(options, Path(folder), interruption)
        print(table(result))
        if options.output:
            write_json(options.output / "long_run.json", result)
            draw(options.output / "long_run.png", result)
    failed = 0
    for name, load in result["targets"].items():
        failed += len(load["failures"])
        for message in load["failures"][:SHOWN]:
            print(f"FAILED {name}: {message}")
    early = ", interrupted" if result["interrupted"] else ""
    print(f"{result['minutes']:g} minutes{early}, {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
