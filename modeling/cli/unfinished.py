"""Rows of an output that is not finished: kept beside it, so that an interrupted command can go on."""

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

    Raises:
        ValueError: What was left is of another call.
    """

    def __init__(self, output: Path, call: dict, resume: bool):
        self.rows_path = output.with_name(f".{output.name}.rows")
        self._state_path = output.with_name(f".{output.name}.state")
        self._identity = hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()
        state = _read(self._state_path) if resume and self.rows_path.is_file() else {}
        if state and state["call"] != self._identity:
            raise ValueError(
                f"the unfinished {output} is of another call (other recordings, model or options): repeat that call, "
                "or leave out --resume to start again"
            )
        self.parts: int = state.get("parts", 0)
        self.rows_path.touch()
        os.truncate(self.rows_path, state.get("bytes", 0))

    def add(self, rows: list[dict]) -> None:
        """Keep the rows of the next part."""
        with open(self.rows_path, "ab") as file:
            file.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
            end = file.tell()
        self.parts += 1
        temporary = self._state_path.with_name(self._state_path.name + ".tmp")
        temporary.write_text(json.dumps({"call": self._identity, "parts": self.parts, "bytes": end}))
        os.replace(temporary, self._state_path)

    def rows(self) -> Iterator[dict]:
        """Read all rows, one at a time."""
        with open(self.rows_path, encoding="utf-8") as file:
            yield from map(json.loads, file)

    def delete(self) -> None:
        """Delete what is kept, once the output has it."""
        for path in (self.rows_path, self._state_path):
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
