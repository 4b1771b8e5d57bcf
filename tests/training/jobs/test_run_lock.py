"""A run has its folder alone, for as long as its process lives."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speech_affect_training.jobs import run_lock
from speech_affect_training.jobs.run_lock import OWNER, only_run_in


HOLD = """
import sys
from pathlib import Path
from speech_affect_training.jobs.run_lock import only_run_in
with only_run_in(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds `out`."""
    environment = {**os.environ, "PYTHONPATH": str(Path(run_lock.__file__).parent)}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_told_who_holds_it(holder, tmp_path):
    message = (
        rf"out is in use by process {holder.pid} on \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; "
        "wait until that run has ended, end it, or give another --output_dir"
    )
    for _ in range(2):  # it is not the refused one that holds it then
        with pytest.raises(ValueError, match=message), only_run_in(tmp_path / "out"):
            pass
    with only_run_in(tmp_path / "other"):
        pass


def test_the_lock_ends_with_its_process(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with only_run_in(tmp_path / "out"):
        assert json.loads((tmp_path / "out" / OWNER).read_text())["process"] == os.getpid()


def test_it_ends_with_the_run(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), only_run_in(tmp_path / "out"):
            raise KeyError
    with only_run_in(tmp_path / "out"):
        pass
    assert not list((tmp_path / "out").glob("*.tmp"))


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_an_owner_that_is_not_known(holder, tmp_path, content):
    path = tmp_path / "out" / OWNER
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match="out is in use by another process; wait"), only_run_in(tmp_path / "out"):
        pass
