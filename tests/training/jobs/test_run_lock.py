"""A run has its folder alone, for as long as it lasts."""

import os

import pytest

from speech_affect_training.jobs.run_lock import LOCK, OWNER, only_run_in


def test_a_second_run_learns_which_process_holds_the_folder(tmp_path):
    message = (
        rf"out is in use by process {os.getpid()} on \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; "
        "wait until that run has ended, end it, or give another --output_dir"
    )
    for _ in range(2):  # the lock ends with the run, also with one that fails
        with pytest.raises(KeyError), only_run_in(tmp_path / "out"):
            with pytest.raises(ValueError, match=message), only_run_in(tmp_path / "out"):
                pass
            raise KeyError
    assert {path.name for path in (tmp_path / "out").iterdir()} == {LOCK, OWNER}


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_an_owner_that_is_not_known(tmp_path, content):
    path = tmp_path / "out" / OWNER
    with only_run_in(tmp_path / "out"):
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(ValueError, match="out is in use by another process; wait"), only_run_in(tmp_path / "out"):
            pass


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("file", "the output folder .*file cannot be made: .*file is a file; name another"),
        ("file/out", "the output folder .*out cannot be made: .*file is a file; name another"),
        ("/proc/out", r"the folder /proc cannot be written to \(.*\); name another"),
    ],
)
def test_a_folder_that_cannot_be_written_to(tmp_path, output, message):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=f"^{message}$"), only_run_in(tmp_path / output):
        pass
