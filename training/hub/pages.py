"""What goes to the Hub beside checkpoints: the CCC metric as a Space, the page of the MSP-Podcast builder."""

from __future__ import annotations

import ast
from pathlib import Path

from .push import Pushed, push_files


TRAINING = Path(__file__).resolve().parents[1]
METRIC = TRAINING / "metrics" / "ccc"
BUILDER = TRAINING / "corpora" / "msp_podcast.py"
BUILDER_CARD = TRAINING / "corpora" / "msp_podcast.md"


def push_metric(repo_id: str, private: bool = True, token: str | None = None, revision: str | None = None) -> Pushed:
    """
    Push `metrics/ccc` as a Space that `evaluate.load("user/ccc")` loads and that shows a widget in the browser.

    Args:
        repo_id: `user/ccc`.
        private, token, revision: as in [`hub_push.push_checkpoint`].

    Raises:
        ValueError: another name than `ccc`: evaluate looks for a module that is called as its Space.
        PublishError: anything that comes between this machine and the Hub.
    """
    if repo_id.split("/")[-1] != METRIC.name:
        raise ValueError(
            f"repo_id is {repo_id!r}; evaluate loads a Space's module by the Space's name: give user/{METRIC.name}"
        )
    names = ("README.md", "app.py", "requirements.txt", *(path.name for path in METRIC.glob("*.py")))
    files = {name: (METRIC / name).read_bytes() for name in dict.fromkeys(names)}
    # its examples load it from where it is
    files = {name: content.replace(b"training/metrics/ccc", repo_id.encode()) for name, content in files.items()}
    return push_files(files, repo_id, "space", private, token, revision, "Upload the CCC metric")


def push_dataset_card(
    repo_id: str, private: bool = True, token: str | None = None, revision: str | None = None
) -> Pushed:
    """
    Push the page of the MSP-Podcast builder and its code, which makes a data set of a licence holder's own copy.
    Neither audio nor labels are pushed.

    Args:
        repo_id: `user/msp-podcast`.
        private, token, revision: as in [`hub_push.push_checkpoint`].

    Raises:
        PublishError: anything that comes between this machine and the Hub.
    """
    files = {path.relative_to(TRAINING).as_posix(): path for path in builder_files()}
    files["README.md"] = BUILDER_CARD.read_bytes().replace(b"REPO_ID", repo_id.encode())
    return push_files(files, repo_id, "dataset", private, token, revision, "Upload the builder and its card")


def builder_files() -> list[Path]:
    """The builder's module and all of `corpora` that it imports, directly or not, at the top or in a function."""
    found, waiting = [], [BUILDER]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.append(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == BUILDER.parent.name:
                waiting += [BUILDER.with_name(f"{alias.name}.py") for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{BUILDER.parent.name}."):
                waiting.append(BUILDER.with_name(f"{node.module.split('.')[1]}.py"))
    return sorted(found)
