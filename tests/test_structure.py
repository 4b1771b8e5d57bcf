"""The house: rooms that depend one way, names that shadow no library, a checkpoint that a person can read."""

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
# a room may import those before it; metrics and hub stand at the side
ORDER = (
    "settings",
    "corpora",
    "audio",
    "encoders",
    "frames",
    "jobs",
    "reports",
    "probing",
    "hub",
    "adapting",
    "commands",
)
AT_THE_SIDE = ("metrics",)
PACKAGES = {"speech_affect": ROOT / "modeling", "speech_affect_training": ROOT / "training"}
PRODUCT = [path for folder in ("modeling", "training", "space") for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    """Dotted name of a module of ours, by the name of its package."""
    for package, folder in PACKAGES.items():
        if path.is_relative_to(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            return ".".join((package, *parts)).removesuffix(".__init__")
    return ".".join(path.relative_to(ROOT / "space").with_suffix("").parts)


def imports(path: Path, names: set[str]) -> set[str]:
    """Modules of ours that a file imports when it is imported itself."""
    name = module_name(path)
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in _at_import(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            found |= {
                f"{target}.{alias.name}" if f"{target}.{alias.name}" in names else target for alias in node.names
            }
    return found & names


def _at_import(tree: ast.AST):
    """Nodes outside functions and outside `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _at_import(node)


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Module -> modules of ours that it imports."""
    names = {module_name(path) for path in PRODUCT}
    return {module_name(path): imports(path, names) for path in PRODUCT}


def test_no_module_imports_itself_in_a_circle(graph):
    done, circles = set(), []

    def visit(name, path):
        if name in path:
            circles.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph[name]):
                visit(target, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    assert not circles


def test_rooms_of_training_depend_downwards_only(graph):
    wrong = []
    for name, targets in graph.items():
        for target in targets:
            rooms = [part.split(".")[1] if part.count(".") > 1 else "" for part in (name, target)]
            if not all(part.startswith("speech_affect_training.") for part in (name, target)) or rooms[0] == rooms[1]:
                continue
            if rooms[0] in AT_THE_SIDE and rooms[1]:
                wrong.append(f"{name} imports {target}")
            if set(rooms) <= set(ORDER) and ORDER.index(rooms[0]) < ORDER.index(rooms[1]):
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_every_room_is_known_and_there_are_at_most_a_dozen():
    rooms = {path.name for path in (ROOT / "training").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == {*ORDER, *AT_THE_SIDE, "recipes", "launch"}
    assert len({*ORDER, *AT_THE_SIDE}) <= 12
    modules = [path.name for path in (ROOT / "training").glob("*.py")]
    assert len(modules) <= 4, modules


def test_no_room_bears_the_name_of_a_library():
    """`accelerate launch training/run.py` puts `training/` first on the path, `python space/app.py` `space/`."""
    taken = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())
    ours = {"speech_affect", "speech_affect_training", "speech_affect_onnx"}
    for folder in ("training", "space"):
        names = {path.stem for path in (ROOT / folder).iterdir() if not path.name.startswith(("_", "."))}
        assert not names & (taken - ours), folder


def test_what_travels_with_a_checkpoint_is_at_most_20_flat_files():
    flat = sorted((ROOT / "modeling").glob("[!_]*.py"))
    assert len(flat) <= 20
    for path in flat:
        relative = re.findall(r"^\s*from (\.[\w.]*) import", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert all(name.count(".") == 1 for name in relative), path.name


def test_files_and_functions_are_of_a_readable_length():
    long = []
    for path in sorted(ROOT.glob("*/**/*.py")):
        if path.relative_to(ROOT).parts[0] not in ("modeling", "training", "space", "tests"):
            continue
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 400:
            long.append(f"{path.relative_to(ROOT)} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= 60:
                long.append(f"{path.relative_to(ROOT)}: {node.name} has {node.end_lineno - node.lineno + 1} lines")
    assert not long
