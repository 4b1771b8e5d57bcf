"""Mutations fit the source as it is, and the command tells one that is caught from one that is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from . import mutant
from .mutant import BROKEN, CAUGHT, NOT_CAUGHT, ROOT, copy_repository, mutated, run_mutated, run_unchanged
from .mutation_table import MUTATIONS, Mutation


COMMAND = Path(__file__).with_name("mutations.py")
if sys.platform == "win32":
    pytest.skip("the copy has symbolic links, which Windows users may not make", allow_module_level=True)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_every_mutation_fits_the_source_and_names_tests_that_are_there(mutation):
    source = (ROOT / mutation.path).read_text(encoding="utf-8")
    broken = mutated(source, mutation)
    assert broken != source
    compile(broken, mutation.path, "exec")  # one that is no Python would be "caught" by any test
    assert mutation.tests and all((ROOT / test.split("::")[0]).is_file() for test in mutation.tests)


def test_the_contracts_are_all_there():
    kinds = {mutation.name.split(":")[0] for mutation in MUTATIONS}
    assert kinds >= {"mask", "padding", "scale", "splits", "atomic rename"}
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 10


@pytest.mark.parametrize("source, times", [("", 0), ("a = 1\na = 1\n", 2)])
def test_text_that_does_not_stand_there_once_is_refused(source, times):
    with pytest.raises(ValueError, match=f"x.py has {times} times 'a = 1'.*bring mutation_table.py up to date"):
        mutated(source, Mutation("some contract", "x.py", "a = 1", "a = 2", ("tests",)))


@pytest.fixture
def copied(tmp_path):
    """A copy of a repository with one function and one test of it."""
    (root := tmp_path / "root").mkdir()
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    (scratch := tmp_path / "scratch").mkdir()
    copy_repository(scratch, root)
    return scratch


FILES = {
    "modeling/__init__.py": "def half(number):\n    return number / 2\n",
    "training/run.py": "",
    "tests/test_half.py": "from speech_affect import half\n\ndef test_half():\n    assert half(4) == 2\n",
    "pyproject.toml": "",
}
HALF = Mutation("half", "modeling/__init__.py", "number / 2", "number / 3", ("tests/test_half.py",))


@pytest.mark.parametrize(
    "new, outcome, said",
    [
        ("number / 3", CAUGHT, "tests/test_half.py::test_half"),
        ("number * 0.5", NOT_CAUGHT, "1 passed"),
        ("number /", BROKEN, "SyntaxError"),
    ],
)
def test_one_that_is_seen_one_that_is_not_and_one_that_is_no_python(copied, new, outcome, said):
    verdict = run_mutated(copied, HALF._replace(new=new))
    assert verdict.outcome == outcome and said in verdict.test
    assert (copied / HALF.path).read_text() == FILES[HALF.path]


def test_whatever_fails_though_nothing_is_broken(copied):
    assert run_unchanged(copied, [HALF, HALF]).outcome == NOT_CAUGHT
    (copied / HALF.path).write_text(FILES[HALF.path].replace("/ 2", "/ 3"))
    verdict = run_unchanged(copied, [HALF])
    assert verdict.outcome == BROKEN and "assert half(4) == 2" in verdict.test


def test_a_copy_that_would_not_be_what_is_tested_is_refused(tmp_path, monkeypatch):
    (root := tmp_path / "root" / "modeling").mkdir(parents=True)
    (root / "__init__.py").write_text("__file__ = '/elsewhere/speech_affect/__init__.py'\n")
    monkeypatch.setattr(mutant, "COPIED", ("modeling",))
    (scratch := tmp_path / "scratch").mkdir()
    with pytest.raises(RuntimeError, match="would import another speech_affect: /elsewhere/speech_affect/__init__.py"):
        copy_repository(scratch, tmp_path / "root")


def test_the_command_on_one_of_them():
    done = subprocess.run(
        [sys.executable, str(COMMAND), "--only", "mask: pooling"], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "nothing broken | all tests pass",
        "mask: pooling counts padding | caught | tests/modeling/test_pooling.py::test_masked_mean_leaves_padding_out",
        "1 of 1 caught",
    ]


def test_the_command_line_says_what_is_allowed():
    done = subprocess.run(
        [sys.executable, str(COMMAND), "--only", "masks"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "--only 'masks' is the beginning of none of: mask: pooling" in done.stderr
    done = subprocess.run(
        [sys.executable, str(COMMAND), "--only", "scale", "--list"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3
