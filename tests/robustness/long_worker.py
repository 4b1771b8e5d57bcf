"""A process that holds a model for a long time: it reads numbers of requests and tells, line by line, what came."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .answers import InProcess, Judge
from .mixture import make_mixture


def serve(load: Callable, seed: int, folder: Path, ways: tuple[str, ...]) -> None:
    """
    Answer until standard input ends.

    Args:
        load: gives what has `ask`, as [`InProcess`] has.
        seed: of the mixture.
        folder: for its files.
        ways: of the mixture.
    """
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere
    requests, judge = make_mixture(seed, folder, ways), Judge(load().ask)
    print(json.dumps({"ready": len(requests)}), file=lines, flush=True)
    for line in sys.stdin:
        number, start_s = int(line), time.perf_counter()
        outcome, message = judge.judge(number, requests[number])
        taken_s = time.perf_counter() - start_s
        told = {"kind": requests[number].kind, "outcome": outcome, "message": message, "seconds": taken_s}
        print(json.dumps(told), file=lines, flush=True)


if __name__ == "__main__":
    model, seed, files, ways = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), tuple(sys.argv[4].split(","))
    serve(lambda: InProcess(model, ways), seed, files, ways)
