"""`python tests/coverage_check.py coverage.json`: is enough of the code run by tests, and every refusal reached?"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path


ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("modeling", "training")
# where every `raise` is to be reached
REFUSING = "modeling"


def shares(report: dict, folder: str) -> dict[str, float]:
    """
    Percentages of a folder that were run, all its files as one.

    Args:
        report: of `coverage json`, with branches.
        folder: as paths in the report begin.

    Returns:
        `{"lines": ..., "branches": ...}`, 0 to 100.

    Raises:
        ValueError: nothing of the folder is in the report, or branches were not measured.
    """
    files = [file["summary"] for path, file in report["files"].items() if Path(path).parts[0] == folder]
    if not files:
        raise ValueError(f"the report has no file of {folder}/: run the tests under coverage in the repository's root")
    if any("num_branches" not in file for file in files):
        raise ValueError("the report has no branches: [tool.coverage.run] in pyproject.toml says branch = true")
    parts = {"lines": ("covered_lines", "num_statements"), "branches": ("covered_branches", "num_branches")}
    return {name: _percent(*(sum(file[key] for file in files) for key in keys)) for name, keys in parts.items()}


def unreached(report: dict, root: Path, folder: str = REFUSING) -> list[str]:
    """Every `raise` in the files of a folder that no test came to, as `path:line: source`."""
    listed = []
    for path in sorted((root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        run = set(report["files"].get(name, {}).get("executed_lines", ()))
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        raises = [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)]
        listed += [f"{name}:{line}: {lines[line - 1].strip()}" for line in sorted(raises) if line not in run]
    return listed


def _percent(covered: int, of: int) -> float:
    return 100 * covered / of if of else 100.0


def main(argv: list[str]) -> int:
    """Print both; 1 if there is too little of either."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("report", type=Path, help="JSON file of `coverage json`")
    parser.add_argument("--least", type=float, default=90.0, help="percent, default %(default)g")
    parser.add_argument("--root", type=Path, default=ROOT, help="of the repository")
    options = parser.parse_args(argv)
    try:
        report = json.loads(options.report.read_text(encoding="utf-8"))
        measured = {folder: shares(report, folder) for folder in FOLDERS}
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{'folder':10} | {'lines':>8} | {'branches':>8}")
    for folder, percent in measured.items():
        print(f"{folder:10} | {percent['lines']:7.1f}% | {percent['branches']:7.1f}%")
    missed = unreached(report, options.root)
    print(f"\n`raise` in {REFUSING}/ that no test reaches: {len(missed)}", *missed, sep="\n")
    is_enough = all(value >= options.least for percent in measured.values() for value in percent.values())
    return 0 if is_enough and not missed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
