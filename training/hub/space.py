"""The Space to the Hub: its app, and the package beside it, which the app imports from there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.utils import validate_repo_id

from .errors import explained
from .push import Pushed, hub_api, push_files


CHECKOUT = Path(__file__).resolve().parents[2]
SPACE = CHECKOUT / "space"
PACKAGE = CHECKOUT / "modeling"
# what the app is made of; a recording that somebody tried it on is not
SPACE_SUFFIXES = frozenset((".py", ".md", ".txt", ".css", ".js", ".html", ".svg"))
EXAMPLES, EXAMPLE_SUFFIXES = "examples", frozenset((".flac", ".ogg", ".opus", ".wav"))


@dataclass(frozen=True)
class PushedSpace(Pushed):
    """
    A Space that was pushed.

    Args:
        unreadable: those of its models that the Space cannot load without a token of its own.
    """

    unreadable: tuple[str, ...] = ()


def space_files() -> dict[str, Path]:
    """
    What a Space's repository holds, by path: `space/` at its root, and `modeling/` under the name that it is
    imported by. `speech_affect_onnx` stays behind: it is for those who have no torch, and the app has.

    Raises:
        ValueError: there is no app, or no page of it.
    """
    files = {path.name: path for path in _visible(SPACE) if path.suffix in SPACE_SUFFIXES}
    missing = [name for name in ("app.py", "README.md", "requirements.txt") if name not in files]
    if missing:
        raise ValueError(f"{SPACE} has no {' and no '.join(missing)}; push from a whole checkout of the repository")
    clips = (path for path in _visible(SPACE / EXAMPLES) if path.suffix in EXAMPLE_SUFFIXES)
    files |= {f"{EXAMPLES}/{path.name}": path for path in clips}
    return files | {f"speech_affect/{path.name}": path for path in _visible(PACKAGE) if path.suffix == ".py"}


def push_space(
    repo_id: str,
    model_id: str | None = None,
    teacher_id: str | None = None,
    private: bool = True,
    token: str | None = None,
    revision: str | None = None,
) -> PushedSpace:
    """
    Push the app with the package in one commit, then tell the Space by its variables which models to load.

    Args:
        repo_id: `user/name` of the Space.
        model_id: on the Hub, becomes the variable MODEL_ID; without it that variable stays as it is.
        teacher_id: on the Hub, becomes TEACHER_ID, likewise.
        private, token, revision: as in [`hub_push.push_checkpoint`]; a Space runs what is on `main`.

    Raises:
        ValueError: a name that the Hub does not allow, or a checkout without the app.
        PublishError: anything that comes between this machine and the Hub, or one of the models is not there.
    """
    named = (("MODEL_ID", model_id), ("TEACHER_ID", teacher_id))
    variables = {variable: name for variable, name in named if name is not None}
    for name in (repo_id, *variables.values()):
        validate_repo_id(name)
    files, api = space_files(), hub_api(repo_id, token)
    unreadable = _private_models(api, repo_id, variables.values())
    folders = tuple({f"{path.split('/')[0]}/": None for path in files if "/" in path})
    pushed = push_files(files, repo_id, "space", private, token, revision, "Upload the app and its package", folders)
    for variable, name in variables.items():
        with explained(pushed.repo_id):
            api.add_space_variable(pushed.repo_id, variable, name)
    return PushedSpace(**vars(pushed), unreadable=unreadable)


def _private_models(api: HfApi, repo_id: str, models: Iterable[str]) -> tuple[str, ...]:
    """Those of the models that are not public; a PublishError where one cannot be found at all."""
    found = []
    for model in models:
        with explained(repo_id, about=model):
            info = api.model_info(model)
        if info.private or info.gated:
            found.append(model)
    return tuple(found)


def _visible(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.is_file() and not path.name.startswith(".")]
