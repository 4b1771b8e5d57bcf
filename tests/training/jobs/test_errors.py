"""Which errors are one sentence, and which are faults of the program."""

import pytest
from safetensors import SafetensorError

from speech_affect_training.jobs.errors import user_message


GOES_ON = "start the run again: it goes on where it was"


@pytest.mark.parametrize(
    "error, sentence",
    [
        (ValueError("no system 'a';\n  there is b"), "no system 'a'; there is b"),
        (OSError("Encoder 'a' was not found"), "Encoder 'a' was not found"),
        (ChildProcessError("a process died"), "a process died"),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "[Errno 2] No such file or directory: 'a.csv'"),
        (OSError(28, "No space left on device", "out/a"), f"out/a: No space left on device; make room, and {GOES_ON}"),
        (OSError(28, "No space left on device"), f"No space left on device; make room, and {GOES_ON}"),
        (
            OSError(28, "No space left on device", "modeling/a.py", None, "out/a.py"),
            f"out/a.py: No space left on device; make room, and {GOES_ON}",
        ),
        (OSError(27, "File too large", 5), f"File too large; make room, and {GOES_ON}"),
        (
            PermissionError(13, "Permission denied", "cache/a"),
            "cache/a: Permission denied; give an --output_dir and a --cache_dir that can be written",
        ),
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            "a file could not be written (I/O error: No space left on device (os error 28)); "
            f"make room on the disk, and {GOES_ON}",
        ),
        (
            RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
            "a file could not be written (PytorchStreamWriter failed writing file data/3: file write failed); "
            f"make room on the disk, and {GOES_ON}",
        ),
    ],
)
def test_one_sentence(error, sentence):
    assert user_message(error) == sentence


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), KeyError("a"), TypeError("b"), AssertionError()])
def test_a_fault_of_the_program_has_its_traceback(error):
    assert user_message(error) is None
