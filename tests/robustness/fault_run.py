"""A run of training/run.py in a forked process, which records what it does to files and can be killed at any point."""

import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath


SCRIPT = Path(__file__).resolve().parents[2] / "training" / "run.py"
LIMIT_S = 180.0  # of a run, which takes a few seconds
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")


@dataclass(frozen=True)
class Mark:
    """A moment of a run, just before a file is opened for writing, renamed, truncated or deleted."""

    at_s: float
    what: str
    path: str


@dataclass(frozen=True)
class Point:
    """A moment at which a run is killed.

    Args:
        job: part of the run.
        mark: number of the last mark before it.
        delay_s: seconds after the mark; None for right before what the mark announces.
        what: description.
    """

    job: str
    mark: int
    delay_s: float | None
    what: str


@dataclass
class Watch:
    """Marks of a run, and what happens at some of them.

    Args:
        die_at: number of the mark at which the run kills itself.
        signal_at: number of the mark that [`Run.reached`] waits for.
        journal: JSON file for the marks and the imported modules, written when the run ends by itself.
    """

    die_at: int | None = None
    signal_at: int | None = None
    journal: Path | None = None
    marks: list[Mark] = field(default_factory=list)

    def start(self, folder: Path, pipe: int) -> None:
        """Record all that this process does to files below a folder."""
        root, start_s, process = f"{folder}{os.sep}", time.monotonic(), os.getpid()

        def note(event: str, arguments: tuple) -> None:
            opened = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if event not in CHANGES and not opened:
                return
            path = _whole_path(arguments[0], arguments[-1] if event in ("os.remove", "os.rmdir") else -1)
            if not path.startswith(root) or os.getpid() != process:
                return
            if len(self.marks) == self.die_at:
                os.kill(process, signal.SIGKILL)
            if len(self.marks) == self.signal_at:
                os.write(pipe, b"x")
            self.marks.append(Mark(time.monotonic() - start_s, event, path.removeprefix(root)))

        sys.addaudithook(note)

    def write(self) -> None:
        """Write the journal, if there is to be one."""
        if self.journal is not None:
            marks = [[mark.at_s, mark.what, mark.path] for mark in self.marks]
            self.journal.write_text(json.dumps({"marks": marks, "modules": list(sys.modules)}), encoding="utf-8")


def _whole_path(path, folder: int) -> str:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return ""
    name = os.fsdecode(path)
    if folder not in (-1, None) and not os.path.isabs(name):  # a file that is deleted with its folder
        name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
    return name


def job_of(mark: Mark) -> str:
    """The part of the run that writes a file."""
    part, *rest = PurePath(mark.path).parts
    if part == "cache":
        return "frames"
    name = rest[0].strip(".").removesuffix(".tmp") if rest else ""
    if name in ("", "run.lock", "run.owner") or rest == ["jobs"]:
        return "start"
    if name == "jobs":
        return f"{'predict' if rest[-1].startswith('predict') else 'train'} {rest[1]}"
    if name.startswith(("results", "figures")) or rest[-1] == "README.md":
        return "report"
    return f"write {name}"


def marks_by_job(marks: Sequence[Mark]) -> dict[str, list[int]]:
    """Numbers of the marks of each job, in the order of the jobs."""
    found: dict[str, list[int]] = {}
    for number, mark in enumerate(marks):
        found.setdefault(job_of(mark), []).append(number)
    return found


def choose_points(marks: Sequence[Mark], points: int, seed: int) -> list[Point]:
    """Choose points in each job of an undisturbed run: half right before a file changes, half at random times."""
    chosen = []
    for job, numbers in marks_by_job(marks).items():
        generator = random.Random(f"{seed} {job}")
        own = [number for number in numbers if not marks[number].path.endswith(".py")]  # not the copied code
        exact = generator.sample(own, min((points + 1) // 2, len(own)))
        chosen += [Point(job, n, None, f"before {marks[n].what} {marks[n].path}") for n in sorted(exact)]
        spans = [(n, marks[n + 1].at_s - marks[n].at_s) for n in numbers if n + 1 < len(marks)]
        for _ in range(points - len(exact)):
            n, span_s = generator.choices(spans, [max(span, 1e-6) for _, span in spans])[0]
            delay_s = generator.random() * span_s
            chosen.append(Point(job, n, delay_s, f"{delay_s:.3f} s after {marks[n].what} {marks[n].path}"))
    return chosen


def load_training() -> None:
    """Import what a run imports, so that forked runs start at once; figures are not drawn, which takes longest."""
    import speech_affect_training.run  # noqa: F401
    from speech_affect_training.reports import report

    for name in [name for name in vars(report) if name.startswith("draw_")]:
        setattr(report, name, lambda path, *arguments: path.write_bytes(b"a figure"))


def load_modules(names: Sequence[str]) -> None:
    """Import what a run imported later on, as far as it can be imported by name."""
    for name in names:
        if name not in sys.modules and not name.startswith("__"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.freeze()  # runs need not search these objects for garbage


class Run:
    """A run in a process of its own.

    Args:
        argv: of training/run.py.
        folder: of its files.
        log: file for its output.
        watch: what happens at marks.
        prepare: called in the process before the run.
    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        log: Path,
        watch: Watch | None = None,
        prepare: Callable[[], None] = lambda: None,
    ):
        self.log, self.status = log, None
        self._reached, theirs = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(argv, folder, log, watch or Watch(), theirs, prepare)
        os.close(theirs)
        self._end_s = time.monotonic() + LIMIT_S

    def reached(self) -> bool:
        """Wait until the run is at `signal_at`; False if it ended before."""
        ready = select.select([self._reached], [], [], max(0.0, self._end_s - time.monotonic()))[0]
        return bool(ready) and os.read(self._reached, 1) == b"x"

    def kill(self) -> None:
        """Send SIGKILL to the run's process alone."""
        os.kill(self.pid, signal.SIGKILL)

    def pause(self) -> None:
        """Stop the run's process where it is, until [`Run.go_on`]."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused run go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> int:
        """Wait until the run has ended; returns its exit status, negative for the number of a signal."""
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                os.close(self._reached)
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
        """How long processes that a killed run had started went on; they are killed after 10 s."""
        start_s = time.monotonic()
        while time.monotonic() < start_s + 10:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return time.monotonic() - start_s
            time.sleep(0.02)
        os.killpg(self.pid, signal.SIGKILL)
        return time.monotonic() - start_s

    def end(self) -> None:
        """Kill it, with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def error(self) -> str | None:
        """The one line by which it refused to go on; None if it ended well or printed anything else."""
        status, text = self.wait(), self.log.read_text(encoding="utf-8", errors="replace")
        last = (text.strip().splitlines() or [""])[-1]
        alone = text.count("error: ") == 1 and "Traceback" not in text
        return last if status == 1 and last.startswith("error: ") and alone else None

    def tail(self) -> str:
        """The end of its output."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-1500:]


def _become(argv, folder: Path, log: Path, watch: Watch, pipe: int, prepare) -> None:
    """Be the run; never returns."""
    status = 1
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        from speech_affect_training.settings import cores

        cores.available_cores = lambda: 1  # one thread, as each worker has; several round differently
        watch.start(folder, pipe)
        prepare()
        sys.argv = [str(SCRIPT), *argv]
        status = _run_script()
        watch.write()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run_script() -> int:
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0
