"""Fetch the common tests of the installed transformers, which its source distribution has and its wheel has not.

    python tests/peers/fetch_transformers_tests.py

They are unpacked into the folder `TRANSFORMERS_TESTS` of the environment, or else into one in the user's cache.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path


VERSION = version("transformers")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speech-affect"
FOLDER = Path(os.environ.get("TRANSFORMERS_TESTS") or CACHE / f"transformers-{VERSION}-tests")


def fetch() -> None:
    """Download the archive as pip does, and unpack the modules in its folder `tests`."""
    with tempfile.TemporaryDirectory() as scratch:
        # pip reads the archive's metadata; without isolation it installs nothing for that
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        archive = ["--no-binary", "transformers", f"transformers=={VERSION}"]
        subprocess.run([*pip, *archive, "--dest", scratch], check=True)
        with tarfile.open(next(Path(scratch).glob("transformers-*.tar.gz"))) as archive:
            members = [member for member in archive if Path(member.name).parts[1:-1] == ("tests",) and member.isfile()]
            for member in members:
                member.name = Path(member.name).name
            archive.extractall(FOLDER, members=members, filter="data")


if __name__ == "__main__":
    fetch()
    print(f"the tests of transformers {VERSION} are in {FOLDER}")
