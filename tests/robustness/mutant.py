"""A copy of the repository with one contract broken, and what its tests say of that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .mutation_table import Mutation


ROOT = Path(__file__).resolve().parents[2]
COPIED = ("modeling", "training", "tests", "pyproject.toml")
# broken code may run for ever
LIMIT_S = 900
PASSED, FAILED = 0, 1
CAUGHT, NOT_CAUGHT, BROKEN = "caught", "NOT CAUGHT", "ERROR"


@dataclass(frozen=True)
class Verdict:
    """
    What became of a mutation.

    Args:
        name: of the contract.
        outcome: `CAUGHT`, `NOT_CAUGHT`, or `BROKEN` where the tests could not be run.
        test: the first that failed; the last lines of what pytest said where none did.
    """

    name: str
    outcome: str
    test: str


def mutated(source: str, mutation: Mutation) -> str:
    """
    The source text with the contract broken.

    Raises:
        ValueError: the text to be replaced does not stand there exactly once.
    """
    found = source.count(mutation.old)
    if found != 1:
        raise ValueError(
            f"{mutation.path} has {found} times {mutation.old!r}, which {mutation.name!r} replaces; it must stand "
            "there once: bring mutation_table.py up to date"
        )
    return source.replace(mutation.old, mutation.new)


def copy_repository(scratch: Path, root: Path = ROOT) -> None:
    """
    Copy code and tests, so that `speech_affect` is the copy's.

    Args:
        scratch: an empty folder.
        root: of the repository.

    Raises:
        RuntimeError: Python would import another `speech_affect` all the same.
    """
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, scratch / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, scratch / name)
    (scratch / "packages").mkdir()
    (scratch / "packages" / "speech_affect").symlink_to(scratch / "modeling")
    (scratch / "packages" / "speech_affect_onnx").symlink_to(scratch / "modeling" / "speech_affect_onnx")
    _check_imports(scratch)


def run_unchanged(scratch: Path, mutations: Iterable[Mutation]) -> Verdict:
    """Whether all their tests pass as the code is; `CAUGHT` would mean nothing otherwise."""
    tests = dict.fromkeys(test for mutation in mutations for test in mutation.tests)
    code, said = _pytest(scratch, tests)
    outcome = NOT_CAUGHT if code == PASSED else BROKEN
    return Verdict("nothing broken", outcome, "" if code == PASSED else _tail(said))


def run_mutated(scratch: Path, mutation: Mutation) -> Verdict:
    """Break the contract in the copy, run its tests there, and mend it."""
    path = scratch / mutation.path
    whole = path.read_text(encoding="utf-8")
    path.write_text(mutated(whole, mutation), encoding="utf-8")
    try:
        code, said = _pytest(scratch, mutation.tests)
    finally:
        path.write_text(whole, encoding="utf-8")
    if code == FAILED:  # other codes are of tests that could not even be collected
        return Verdict(mutation.name, CAUGHT, re.search("^FAILED (.+?)( - .*)?$", said, re.MULTILINE)[1])
    return Verdict(mutation.name, NOT_CAUGHT if code == PASSED else BROKEN, _tail(said))


def _pytest(scratch: Path, tests: Iterable[str]) -> tuple[int, str]:
    command = ["-m", "pytest", "-q", "-x", "-n0", "--color=no", "-p", "no:cacheprovider", *tests]
    return _python(scratch, *command)


def _python(scratch: Path, *arguments: str) -> tuple[int, str]:
    # bytecode is told from its source by second and size, which a mutation may leave
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))},
        **{"PYTHONPATH": str(scratch / "packages"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
    }
    try:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=scratch, env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return FAILED, "FAILED a-time-limit (no test ended)"
    return done.returncode, done.stdout + done.stderr


def _check_imports(scratch: Path) -> None:
    code, said = _python(scratch, "-c", "import speech_affect; print(speech_affect.__file__)")
    if code or not Path(said.strip()).is_relative_to(scratch):
        raise RuntimeError(f"tests of the copy would import another speech_affect: {said.strip()}")


def _tail(said: str) -> str:
    return "\n".join(said.splitlines()[-20:])
