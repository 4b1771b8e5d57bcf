"""A run of training/run.py in a forked process, which notes what it does to files and can be ended at any moment."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


TRAINING = Path(__file__).resolve().parents[2] / "training"
LIMIT_S = 180.0  # of a run; one takes a few seconds
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")


@dataclass(frozen=True)
class Mark:
    """
    A moment in a run: just before a file is opened to write, renamed, cut or deleted.

    Args:
        at_s: since the first one.
        what: is done.
        path: to which file, relative to the run's folder.
    """

    at_s: float
    what: str
    path: str


def load_training() -> None:
    """
    Import what a run imports: processes forked from this one then begin at once. Figures are not drawn: they are no
    results, and take longer than all else.
    """
    sys.path.insert(0, str(TRAINING))
    import run  # noqa: F401

    from speech_affect_training.reports import report

    for name in [name for name in vars(report) if name.startswith("draw_")]:
        setattr(report, name, lambda path, *arguments: path.write_bytes(b"a figure"))


def load_modules(names: Sequence[str]) -> None:
    """Import what a run imported while it went on; what cannot be had by its name alone is left out."""
    for name in names:
        if name not in sys.modules and not name.startswith("__"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.freeze()  # what is here now is not searched for garbage again by each run


class Run:
    """
    A run that goes on in a process of its own.

    Args:
        argv: of training/run.py.
        folder: below which its files lie.
        log: file for what it says.
        die_at: number of the mark at which it kills itself.
        tell_at: number of the mark that it tells of, see [`Run.reached`].
        journal: JSON file for its marks and the modules that it imported, written when it ends by itself.
        prepare: called in the process before the run.
    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        log: Path,
        die_at: int | None = None,
        tell_at: int | None = None,
        journal: Path | None = None,
        prepare: Callable[[], None] = lambda: None,
    ):
        self.log = log
        self._told, tell = os.pipe()
        self.status: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(argv, folder, log, die_at, tell_at, tell, journal, prepare)
        os.close(tell)
        self._end_s = time.monotonic() + LIMIT_S

    def reached(self) -> bool:
        """Wait until it is at the mark it tells of; False if it has ended without."""
        ready = select.select([self._told], [], [], max(0.0, self._end_s - time.monotonic()))[0]
        return bool(ready) and os.read(self._told, 1) == b"x"

    def kill(self) -> None:
        """SIGKILL to the run's process alone."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """
        Until it has ended, and the processes that it started with it.

        Returns:
            exit status; minus the number of the signal that ended it.
        """
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                os.close(self._told)
            elif time.monotonic() > self._end_s:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                time.sleep(0.01)
        return self.status

    def workers(self) -> list[int]:
        """Processes of its job pool, the busiest first."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                state = (path / "stat").read_text().rpartition(")")[2].split()
                if int(state[1]) == self.pid and b"spawn_main" in (path / "cmdline").read_bytes():
                    found[int(path.name)] = int(state[11])
        return sorted(found, key=found.__getitem__, reverse=True)

    def left_behind_s(self) -> float:
        """How long processes that a killed run had started went on; they are ended after 10 s."""
        start_s = time.monotonic()
        while time.monotonic() < start_s + 10:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.02)
        else:
            os.killpg(self.pid, signal.SIGKILL)
        return time.monotonic() - start_s

    def end(self) -> None:
        """Whatever it is at, and with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def refusal(self) -> str | None:
        """The one sentence by which it refused; None if it said anything else, or ended well."""
        status, text = self.wait(), self.log.read_text(encoding="utf-8", errors="replace")
        last = (text.strip().splitlines() or [""])[-1]
        alone = text.count("error: ") == 1 and "Traceback" not in text
        return last if status == 1 and last.startswith("error: ") and alone else None

    def tail(self) -> str:
        """The end of what it said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-1500:]


def _become(argv, folder: Path, log: Path, die_at, tell_at, tell: int, journal: Path | None, prepare) -> None:
    """Be the run; never returns."""
    status = 1
    try:
        os.setsid()
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(said, 1)
        os.dup2(said, 2)
        from speech_affect_training.settings import cores

        cores.available_cores = lambda: 1  # one thread, as each worker has; several round otherwise
        marks: list[Mark] = []
        _watch(folder, marks, die_at, tell_at, tell)
        prepare()
        sys.argv = [str(TRAINING / "run.py"), *argv]
        status = _run()
        if journal is not None:
            noted = {"marks": [[mark.at_s, mark.what, mark.path] for mark in marks], "modules": list(sys.modules)}
            journal.write_text(json.dumps(noted), encoding="utf-8")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run() -> int:
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0


def _watch(folder: Path, marks: list[Mark], die_at: int | None, tell_at: int | None, tell: int) -> None:
    root, start_s, mine = f"{folder}{os.sep}", time.monotonic(), os.getpid()

    def note(event: str, arguments: tuple) -> None:
        if event not in CHANGES and not (event == "open" and _writes(*arguments[1:])):
            return
        path = _whole_path(arguments[0], arguments[-1] if event in ("os.remove", "os.rmdir") else -1)
        if not path.startswith(root) or os.getpid() != mine:
            return
        if len(marks) == die_at:
            os.kill(mine, signal.SIGKILL)
        if len(marks) == tell_at:
            os.write(tell, b"x")
        marks.append(Mark(time.monotonic() - start_s, event, path.removeprefix(root)))

    sys.addaudithook(note)


def _writes(mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _whole_path(path, folder: int) -> str:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return ""
    name = os.fsdecode(path)
    if folder not in (-1, None) and not os.path.isabs(name):  # a file that goes with its folder
        name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
    return name
