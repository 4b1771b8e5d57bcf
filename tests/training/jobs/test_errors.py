"""Which errors are one sentence, and which are faults of the program."""

import pytest
from huggingface_hub.constants import HF_HOME
from safetensors import SafetensorError

from speech_affect_training.jobs import errors
from speech_affect_training.jobs.errors import user_message


FULL = "No space left on device"
AGAIN = "start the run again: it goes on where it was"
SAFETENSORS = f"I/O error: {FULL} (os error 28)"
PYTORCH = "PytorchStreamWriter failed writing file data/3: file write failed"


@pytest.mark.parametrize(
    "error, message",
    [
        (ValueError("no system 'a';\n  there is b"), "no system 'a'; there is b"),
        (ChildProcessError("a process died"), "a process died"),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "[Errno 2] No such file or directory: 'a.csv'"),
        (OSError(28, FULL, "out/a"), f"out/a: {FULL}; make room, and {AGAIN}"),
        (OSError(28, FULL), f"{FULL}; make room, and {AGAIN}"),
        (OSError(28, FULL, "modeling/a.py", None, "out/a.py"), f"out/a.py: {FULL}; make room, and {AGAIN}"),
        (OSError(27, "File too large", 5), f"File too large; make room, and {AGAIN}"),
        (
            PermissionError(13, "Permission denied", "cache/a"),
            "cache/a: Permission denied; give an --output_dir and a --cache_dir that can be written",
        ),
        (
            PermissionError(13, "Permission denied", f"{HF_HOME}/datasets"),
            f"{HF_HOME}/datasets: Permission denied; set HF_HOME to a folder that can be written",
        ),
        *(
            (kind(text), f"a file could not be written ({text}); make room on the disk, and {AGAIN}")
            for kind, text in ((SafetensorError, SAFETENSORS), (RuntimeError, PYTORCH))
        ),
    ],
)
def test_one_sentence(error, message):
    assert user_message(error) == message


def test_a_home_that_is_no_folder(tmp_path, monkeypatch):
    """A file in place of a folder: root may write in any folder."""
    home = tmp_path / "home"
    home.touch()
    monkeypatch.setattr(errors, "HF_HOME", str(home))
    for folder, problem in ((home / "datasets", "Not a directory"), (home, "File exists")):
        with pytest.raises(OSError) as caught:
            folder.mkdir()
        assert user_message(caught.value) == f"{folder}: {problem}; set HF_HOME to a folder that can be written"


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), KeyError("a"), TypeError("b"), AssertionError()])
def test_a_fault_of_the_program_has_its_traceback(error):
    assert user_message(error) is None
