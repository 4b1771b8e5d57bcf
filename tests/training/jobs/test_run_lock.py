"""A run has its folder alone, for as long as its process lives."""

import json
import os
import signal
import subprocess
import sys

import pytest

from speech_affect_training.jobs.run_lock import LOCK, OWNER, only_run_in


# another process that holds the lock, by the name that a run gives it
HOLD = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds `out`, as one that left its name there."""
    with only_run_in(tmp_path / "out"):
        pass
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out" / LOCK)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_learns_which_process_holds_the_folder(holder, tmp_path):
    message = (
        rf"out is in use by process {os.getpid()} on \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; "
        "wait until that run has ended, end it, or give another --output_dir"
    )
    for _ in range(2):
        with pytest.raises(ValueError, match=message), only_run_in(tmp_path / "out"):
            pass
    with only_run_in(tmp_path / "other"):
        pass


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_an_owner_that_is_not_known(holder, tmp_path, content):
    path = tmp_path / "out" / OWNER
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match="out is in use by another process; wait"), only_run_in(tmp_path / "out"):
        pass


def test_the_lock_ends_with_its_process_and_with_the_run(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    for _ in range(2):
        with pytest.raises(KeyError), only_run_in(tmp_path / "out"):
            raise KeyError
    with only_run_in(tmp_path / "out"):
        assert json.loads((tmp_path / "out" / OWNER).read_text())["process"] == os.getpid()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {LOCK, OWNER}
