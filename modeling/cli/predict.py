"""`speech-affect predict`: recordings to a table of activation, valence and dominance."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .estimators import MODEL_HELP, chosen_model, open_estimator, start_worker
from .formats import (
    FORMATS,
    OF_ONE_RECORDING,
    TEXT_GRID,
    WITHOUT_OVERLAP,
    audformat_rows,
    check_output,
    flat_row,
    write_csv,
    write_output,
)
from .recordings import STANDARD_INPUT, Recording, find_recordings
from .unfinished import Unfinished


PART = 8  # recordings; what is done when a command is interrupted counts in such parts
DECIMALS = 4

EXAMPLES = """examples:
  speech-affect predict talk.mp3
  speech-affect predict recordings/ --output values.csv
  speech-affect predict talk.mp3 --window-s 2 --output talk.TextGrid
  speech-affect predict turns.csv --output values.csv        (columns file, start, end)
  speech-affect predict recordings/ --format audformat --output values.csv
  ffmpeg -i film.mkv -f wav - | speech-affect predict - --window-s 4 --hop-s 1
"""


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser(
        "predict",
        help="recordings to a table of values",
        description="Estimate activation, valence and dominance of recordings: a row for each, or for each of its "
        "windows or segments. A recording that cannot be read has the reason in the column error.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="file, folder, pattern, list (.txt), table (.csv: file, start, end), or -",
    )
    add("--model", help=MODEL_HELP)
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=f"{', '.join(FORMATS)}; replaced if it is there (default: CSV on standard output)",
    )
    add("--format", choices=["audformat"], help="of a CSV: file, start, end as pandas has times, and the values alone")
    add("--window-s", type=float, metavar="SECONDS", help="a row for each window of this length, at least 0.1")
    add("--hop-s", type=float, metavar="SECONDS", help="from one window to the next; by default the window")
    add("--segments", type=Path, metavar="FILE", help="a row for each start and end in this table, instead of windows")
    add(
        "--scale",
        choices=("label", "unit", "signed"),
        default="label",
        help="of the values: that of the labels, 0 to 1, or -1 to 1",
    )
    add(
        "--on-error",
        choices=("skip", "raise"),
        default="skip",
        help="what to do about a recording that cannot be read",
    )
    add("--batch-size", type=int, default=1, metavar="N", help="pieces that go through the model at once")
    add("--workers", type=int, default=1, metavar="N", help="processes, each with a core")
    add("--resume", action="store_true", help="go on with an output that is not finished; one that is stays")


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0, or 1 if no recording could be read.

    Raises:
        ValueError: An option or an input is not allowed, or with `--on-error raise` a recording cannot be read.
    """
    recordings = find_recordings(given.inputs, given.segments)
    _check(given, recordings)
    options = {"scale": given.scale, "on_error": given.on_error, "batch_size": given.batch_size}
    if given.window_s is not None:
        options |= {"window_s": given.window_s, "hop_s": given.hop_s}
    model, form = chosen_model(given.model), audformat_rows if given.format else iter
    estimate = partial(_estimate, model, options)
    parts = [recordings[first : first + PART] for first in range(0, len(recordings), PART)]
    if given.output is None:
        counts = _Counts()
        write_csv(sys.stdout, form(counts.of(row for rows in _work(estimate, parts, given.workers) for row in rows)))
        return _report(counts, len(recordings), given)
    call: dict[str, Any] = {
        "model": model,
        "options": options,
        "recordings": [asdict(recording) for recording in recordings],
    }
    weights = sorted(map(str, Path(model).glob("*"))) or [model]
    call["files"] = _states([*(recording.path for recording in recordings), *weights])
    unfinished = Unfinished(given.output, call, given.resume)
    if unfinished.counts is not None:
        return _report(_Counts(**unfinished.counts), len(recordings), given, "is finished already, ")
    for rows in _work(estimate, parts, given.workers, done=unfinished.parts):
        unfinished.add(rows)
    counts = _Counts()
    write_output(given.output, form(counts.of(unfinished.rows())))
    unfinished.finish(asdict(counts))
    return _report(counts, len(recordings), given)


@dataclass
class _Counts:
    """How many recordings have an error, all or in a piece, and how many rows have none."""

    failed: int = 0
    rows: int = 0

    def of(self, rows: Iterable[dict]) -> Iterator[dict]:
        """Yield rows and count them; those of a recording follow one another."""
        latest = None  # recording with an error
        for row in rows:
            if row["error"] is None:
                self.rows += 1
            elif row["file"] != latest:
                self.failed, latest = self.failed + 1, row["file"]
            yield row


def _report(counts: _Counts, recordings: int, given: argparse.Namespace, state: str = "") -> int:
    """Say on standard error what was done, and return the exit status."""
    where = "the warnings" if given.format else "the column error"
    output = "" if given.output is None else f"{given.output}: {state}"
    if not counts.rows:
        print(f"error: {output}none of {recordings} recordings could be read, see {where}", file=sys.stderr)
        return 1
    if given.output is not None or counts.failed:
        errors = f"; {counts.failed} could not be read, see {where}" if counts.failed else ""
        print(f"{output}{recordings} recordings{errors}", file=sys.stderr)
    return 0


def _states(paths: Sequence[str]) -> list[tuple[int, int] | None]:
    """Return size and time of each file, None for what is none: rows of an earlier file are not taken for its own."""
    states = [os.stat(path) if os.path.isfile(path) else None for path in paths]
    return [state and (state.st_size, state.st_mtime_ns) for state in states]


def _check(given: argparse.Namespace, recordings: Sequence[Recording]) -> None:
    for name in ("batch_size", "workers"):
        if getattr(given, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(given, name)}; give 1 or more")
    if given.hop_s is not None and given.window_s is None:
        raise ValueError("--hop-s is of windows: give --window-s as well")
    if given.window_s is not None and any(recording.segments for recording in recordings):
        raise ValueError("these are segments, or windows: leave out --window-s or the table of segments")
    if len({bool(recording.segments) for recording in recordings}) > 1:
        raise ValueError("some recordings have segments and others none; make two calls")
    if given.resume and given.output is None:
        raise ValueError("--resume needs the --output that was not finished")
    if any(recording.path == STANDARD_INPUT for recording in recordings) and given.workers > 1:
        raise ValueError("standard input is read by one process; leave out --workers")
    if given.output is not None:
        check_output(given.output, [".csv"] if given.format else FORMATS)
        if given.output.suffix == TEXT_GRID:  # before the work, not after it
            if len(recordings) > 1 or (given.window_s is None and not recordings[0].segments):
                raise ValueError(OF_ONE_RECORDING)
            if given.hop_s is not None and given.hop_s < given.window_s:
                raise ValueError(WITHOUT_OVERLAP)


def _work(estimate: Callable, parts: Sequence[list[Recording]], workers: int, done: int = 0) -> Iterator[list[dict]]:
    """Yield the rows of each part in order, from the first that is not done, and show the progress."""
    from tqdm import tqdm  # not for --help

    counts = {"total": sum(map(len, parts)), "initial": sum(map(len, parts[:done]))}
    with _mapped(workers) as mapped, tqdm(**counts, unit="recording", disable=None) as progress:
        for part, rows in zip(parts[done:], mapped(estimate, parts[done:]), strict=True):
            progress.update(len(part))
            yield rows


@contextmanager
def _mapped(workers: int) -> Iterator[Callable]:
    """Give a `map` in this process, or over processes that keep only a few parts waiting."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker) as pool:

        def mapped(function, items):
            waiting = []
            try:
                for item in items:
                    waiting.append(pool.submit(function, item))
                    if len(waiting) > 2 * workers:
                        yield waiting.pop(0).result()
                while waiting:
                    yield waiting.pop(0).result()
            except BrokenProcessPool:
                raise OSError(
                    "a process was ended from outside, for want of memory perhaps: try fewer --workers"
                ) from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

        yield mapped


_estimators: dict[str, Callable] = {}  # of this process


def _estimate(model: str, options: dict, part: list[Recording]) -> list[dict]:
    if model not in _estimators:
        _estimators[model] = open_estimator(model)
    estimator = _estimators[model]
    sources = [sys.stdin.buffer.read() if each.path == STANDARD_INPUT else each.path for each in part]
    if part[0].segments:
        results = [
            estimator(source, segments=each.segments, **options) for each, source in zip(part, sources, strict=True)
        ]
    else:
        results = estimator(sources, **options)
    rows = []
    for recording, result in zip(part, results, strict=True):
        rows += [_rounded(flat_row(recording.path, one)) for one in (result if isinstance(result, list) else [result])]
    return rows


def _rounded(row: dict) -> dict:
    return {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in row.items()}
