"""`python tests/minimal_packages.py FOLDER`: an environment of torch, transformers, soundfile and what they require.

Its files are links to those of the environment that runs this, so that nothing is installed twice. `.ci/run` runs
`tests/minimal_environment.py` in it.
"""

import os
import shutil
import sys
import sysconfig
import venv
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement


def required(names: list[str]) -> set[str]:
    """Names of the distributions that these require on this machine, directly or not, and their own."""
    found, left = set(), [(name, "") for name in names]
    while left:
        name, extra = left.pop()
        found.add((name, extra))
        for requirement in map(Requirement, distribution(name).requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                left += {(requirement.name, each) for each in ("", *requirement.extras)} - found
    return {name for name, _ in found}


def make(folder: Path) -> None:
    """Make the environment, without pip."""
    venv.create(folder, symlinks=True)
    installed = Path(sysconfig.get_path("purelib"))
    [target] = folder.glob("lib/python*/site-packages")
    for name in required(["torch", "transformers", "soundfile"]):
        for file in distribution(name).files:
            if ".." not in file.parts and (installed / file).is_file():  # commands lie elsewhere
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                if not (target / file).exists():  # of a name that is written in two ways
                    link(installed / file, target / file)


def link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
