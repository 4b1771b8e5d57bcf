"""The lowest versions that pyproject.toml allows, as exact pins: so that what it promises is tried.

    python tests/lowest_versions.py [EXTRA ...] > lowest.txt
    python3.10 -m venv lowest && lowest/bin/pip install -r lowest.txt

prints one pin a line for the package's own dependencies and for those of the extras named.
"""

import sys
from pathlib import Path

from packaging.requirements import Requirement


try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def lowest_pins(project: dict, extras: list[str]) -> list[str]:
    """`name==version` for every dependency of a `[project]` table and of these extras of it, in order, each once.

    An extra of the project's own (`speech-affect[onnx]`) stands for what it names.

    Raises:
        ValueError: for an extra that the project lacks, or a requirement without a lowest version.
    """
    optional = project.get("optional-dependencies", {})
    unknown = sorted(set(extras) - set(optional))
    if unknown:
        raise ValueError(f"no extra {', '.join(unknown)} in pyproject.toml; it has {', '.join(sorted(optional))}")
    lines = list(project["dependencies"])
    for extra in extras:
        lines += optional[extra]
    pins = []
    for requirement in map(Requirement, lines):
        if requirement.name == project["name"]:
            own = lowest_pins(project, sorted(requirement.extras))
        else:
            own = [lowest_pin(requirement)]
        pins += [pin for pin in own if pin not in pins]
    return pins


def lowest_pin(requirement: Requirement) -> str:
    """The lowest version that a requirement allows; an index reads `==1.26` as 1.26.0 also."""
    floors = [clause.version for clause in requirement.specifier if clause.operator in (">=", "==", "~=")]
    if len(floors) != 1:
        raise ValueError(f"{requirement} names {len(floors)} lowest versions; write one, as in name>=1.2,<3")
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}=={floors[0]}{marker}"


if __name__ == "__main__":
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    try:
        print("\n".join(lowest_pins(project, sys.argv[1:])))
    except ValueError as error:
        sys.exit(str(error))
