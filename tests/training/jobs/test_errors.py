"""Which errors are one sentence, and which are faults of the program."""

import pytest
from safetensors import SafetensorError

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
        *(
            (kind(text), f"a file could not be written ({text}); make room on the disk, and {AGAIN}")
            for kind, text in ((SafetensorError, SAFETENSORS), (RuntimeError, PYTORCH))
        ),
    ],
)
def test_one_sentence(error, message):
    assert user_message(error) == message


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), KeyError("a"), TypeError("b"), AssertionError()])
def test_a_fault_of_the_program_has_its_traceback(error):
    assert user_message(error) is None
