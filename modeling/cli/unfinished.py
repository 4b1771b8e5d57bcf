"""What is kept beside an output: of what call it is, and the rows until it is finished."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path


class Unfinished:
    """Rows on their way into an output file, as JSON lines, and how many parts of the work they are of.

    A part is written whole or, after an interruption, cut off again.

    Args:
        output: The file to be.
        call: All that the rows depend on, as JSON takes it.
        resume: Go on with what an interrupted command left; without, it is written over.

    Attributes:
        counts: What [`finish`] was given, where `resume` finds the output finished by this call; else None.

    Raises:
        ValueError: What was left, or the finished output, is of another call.
    """

    def __init__(self, output: Path, call: dict, resume: bool):
        self.rows_path = output.with_name(f".{output.name}.rows")
        self._state_path = output.with_name(f".{output.name}.state")
        self._identity = hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()
        self._output = output
        state = _read(self._state_path) if resume else {}
        self.counts: dict | None = state.get("counts")
        if not (self.rows_path.is_file() if self.counts is None else state["output"] == _version(output)):
            state, self.counts = {}, None  # the rows are gone, or the output is, or others wrote it
        if state and state["call"] != self._identity:
            raise ValueError(
                f"the {'unfinished' if self.counts is None else 'finished'} {output} is of another call (other "
                "recordings, model or options): repeat that call, or leave out --resume to start again"
            )
        if self.counts is not None:
            return
        if not state:
            self._state_path.unlink(missing_ok=True)
        self.parts: int = state.get("parts", 0)
        self.rows_path.touch()
        os.truncate(self.rows_path, state.get("bytes", 0))

    def add(self, rows: list[dict]) -> None:
        """Keep the rows of the next part."""
        with open(self.rows_path, "ab") as file:
            file.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
            end = file.tell()
        self.parts += 1
        self._write_state({"parts": self.parts, "bytes": end})

    def rows(self) -> Iterator[dict]:
        """Read all rows, one at a time."""
        with open(self.rows_path, encoding="utf-8") as file:
            yield from map(json.loads, file)

    def finish(self, counts: dict) -> None:
        """Delete the rows, once the output has them; the call is kept, and these counts."""
        self._write_state({"counts": counts, "output": _version(self._output)})
        self.rows_path.unlink()

    def _write_state(self, state: dict) -> None:
        temporary = self._state_path.with_name(self._state_path.name + ".tmp")
        temporary.write_text(json.dumps({"call": self._identity, **state}))
        os.replace(temporary, self._state_path)


def _version(path: Path) -> list[int] | None:
    """Return size and time of a file, by which a later one is told from it; None where there is none."""
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else None


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
