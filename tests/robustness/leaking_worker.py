"""A worker that keeps something of every request, to see that it is noticed: memory, a handle, a thread, a file."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

from .answers import Answer
from .long_worker import serve
from .verdict import REFUSED, VALUES


KEPT = []


class Leaking:
    """In place of the pipeline; answers as it must."""

    def ask(self, request) -> Answer:
        """Of most requests little is kept: 0.1 MB, one thing in eight."""
        KEPT.append(bytearray(100_000))
        if len(KEPT) % 8 == 0:
            KEPT.append(tempfile.NamedTemporaryFile(delete=False))  # noqa: SIM115  a handle and a file
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        time.sleep(0.001)
        return Answer(REFUSED if request.refused else VALUES, [len(request.case.what)])


if __name__ == "__main__":
    serve(Leaking, int(sys.argv[2]), Path(sys.argv[3]), tuple(sys.argv[4].split(",")))
