"""Errors that the user can mend, as one sentence that says what to do."""

import errno
import os
import re
from pathlib import Path

from huggingface_hub.constants import HF_HOME


# messages of the libraries that write weights, which raise no OSError when a write fails
FAILED_WRITE = re.compile(
    r"No space left on device|File too large|Disk quota exceeded|Read-only file system|Input/output error"
    r"|PytorchStreamWriter failed writing|inline_container"
)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)  # a file stands where a folder is to be made
GOES_ON = "start the run again: it goes on where it was"


def user_message(error: Exception) -> str | None:
    """Return one line for the user, or None for a fault of the program, whose traceback is to be shown."""
    if isinstance(error, OSError) and error.errno is not None:
        name = error.filename if error.filename2 is None else error.filename2  # of a copy
        file = f"{name}: " if isinstance(name, (str, os.PathLike)) else ""
        if error.errno in FULL:
            return f"{file}{error.strerror}; make room, and {GOES_ON}"
        if error.errno in (*FORBIDDEN, *NO_FOLDER) and file and Path(name).is_relative_to(HF_HOME):
            return f"{file}{error.strerror}; set HF_HOME to a folder that can be written"
        if error.errno in FORBIDDEN:
            return f"{file}{error.strerror}; give an --output_dir and a --cache_dir that can be written"
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError)):
        return text
    if FAILED_WRITE.search(text):
        return f"a file could not be written ({text}); make room on the disk, and {GOES_ON}"
    return None
