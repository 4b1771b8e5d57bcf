"""`python tests/robustness/long_run.py`: sends mixed requests for an hour; memory and file handles must not grow."""

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path


# instead of this folder, whose module names are common words
sys.path[0] = str(Path(__file__).resolve().parents[1])

TARGETS = ("pipeline", "space")
MOST_SAMPLES = 1200
PROGRESS = 12  # lines of it
SHOWN = 10  # failures printed of each target; the JSON file has all


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse and check the command line."""
    from robustness.options import folder, whole_number

    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--minutes", type=float, default=60.0, help="of requests, default %(default)s")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the requests, default %(default)s")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), help="default: both")
    parser.add_argument("--model", type=folder, help="folder of a trained model; default: an untrained student")
    parser.add_argument("--output", type=Path, help="folder for long_run.json and long_run.png")
    options = parser.parse_args(argv)
    if not 0 < options.minutes < 1e5:
        parser.error(f"--minutes is {options.minutes:g}; it must be above 0, and below 100000")
    return options


@dataclass
class Interruption:
    """Whether the run is to end early; not an event, whose lock may be held when the signal comes."""

    has_come: bool = False


@contextmanager
def interrupts():
    """Yield an [`Interruption`] that is set by SIGINT or SIGTERM."""
    interruption = Interruption()

    def note(*_) -> None:
        interruption.has_come = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(options: argparse.Namespace, folder: Path, interruption: Interruption) -> dict:
    """Load the targets and send requests until the time is over; returns the JSON of the run."""
    from robustness.steady_load import pipeline_load, space_load
    from robustness.targets import prepare_model

    model, loads = prepare_model(options.model, folder / "model"), []
    with ExitStack() as stack:
        if "pipeline" in options.targets:
            ways = ("pipeline", "stream", "onnx")
            loads.append(stack.enter_context(pipeline_load(model, options.seed, folder / "pipeline", ways)))
        if "space" in options.targets:
            loads.append(stack.enter_context(space_load(model, options.seed, folder / "space")))
        print(f"sending requests for {options.minutes:g} minutes", file=sys.stderr, flush=True)
        start_s = time.monotonic()
        for load in loads:
            load.start()
        watch(loads, start_s + 60 * options.minutes, interruption)
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
    """Sample what the targets hold until the time is over, all have failed, or the run is interrupted."""
    start_s = shown_s = time.monotonic()
    pause_s, show_every_s = max(0.1, (end_s - start_s) / MOST_SAMPLES), (end_s - start_s) / PROGRESS
    while time.monotonic() < end_s and not interruption.has_come and any([load.is_working() for load in loads]):
        for load in loads:
            load.sample()
        if time.monotonic() - shown_s > show_every_s:
            shown_s = time.monotonic()
            progress = [f"{load.name} {load.answered} requests, {len(load.failures)} failures" for load in loads]
            print(f"{(shown_s - start_s) / 60:.1f} minutes: {'; '.join(progress)}", file=sys.stderr, flush=True)
        time.sleep(pause_s)


def main(argv: list[str]) -> int:
    """Run, print the table, write the files; returns 1 if anything failed or grew."""
    options = parse(argv)

    from robustness.long_figure import draw
    from robustness.report import long_run_table
    from speech_affect_training.files import write_json

    with interrupts() as interruption, tempfile.TemporaryDirectory(prefix="speech_affect_long_run_") as folder:
        result = run(options, Path(folder), interruption)
        print(long_run_table(result))
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
