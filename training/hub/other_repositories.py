"""Push what goes to the Hub beside checkpoints: the app with its package, the CCC metric, the card of MSP-Podcast."""

from dataclasses import replace
from pathlib import Path

from huggingface_hub.utils import validate_repo_id

from .errors import explained
from .push import Pushed, Target, push_files, visible_files


TRAINING = Path(__file__).resolve().parents[1]
CHECKOUT = TRAINING.parent
METRIC = TRAINING / "metrics" / "ccc"
DATASET_CARD = TRAINING / "corpora" / "msp_podcast.md"
SPACE = CHECKOUT / "space"
PACKAGE = CHECKOUT / "modeling"
COMMAND = PACKAGE / "__main__.py"  # whose folder a Space does not have
RELEASED = CHECKOUT / "model_cards" / "student"  # the page's model where no other is named
# folder of `space/` ("" is its root) -> suffixes of what is pushed; a recording that somebody tried the app on is not
SPACE_FOLDERS = {
    "": (".py", ".md", ".txt", ".css", ".js", ".html", ".svg"),
    "examples": (".flac", ".ogg", ".opus", ".wav"),
    "page": (".py",),
    "web": (".css", ".js", ".md", ".html", ".svg"),
}


def push_metric(target: Target) -> Pushed:
    """Push `metrics/ccc` as a Space that `evaluate.load("user/ccc")` loads and that shows a widget in the browser.

    Raises:
        ValueError: The Space would have another name than `ccc`: evaluate loads the module of the Space's name.
        PublishError: Anything that fails between this machine and the Hub.
    """
    if target.repo_id.split("/")[-1] != METRIC.name:
        raise ValueError(
            f"repo_id is {target.repo_id!r}; evaluate loads a Space's module by the Space's name: "
            f"give user/{METRIC.name}"
        )
    paths = [path for path in visible_files(METRIC) if path.suffix in (".md", ".py", ".txt")]
    here, there = b"training/metrics/ccc", target.repo_id.encode()  # its examples load it from where it is
    files = {path.name: path.read_bytes().replace(here, there) for path in paths}
    return push_files(files, target, "space", "Upload the CCC metric")


def push_dataset_card(target: Target) -> Pushed:
    """Push the card that says how to build MSP-Podcast from a licence holder's own copy; no audio, labels or code.

    Raises:
        PublishError: Anything that fails between this machine and the Hub.
    """
    return push_files({"README.md": DATASET_CARD.read_bytes()}, target, "dataset", "Upload the card")


def space_files() -> dict[str, Path]:
    """Return what a Space's repository holds, by path: `space/` at its root, and `modeling/*.py` as `speech_affect/`.

    The released student, where there is one, lies in the package as in a wheel.

    Raises:
        ValueError: There is no app, or no page of it.
    """
    files = {
        f"{folder}/{path.name}".lstrip("/"): path
        for folder, suffixes in SPACE_FOLDERS.items()
        for path in visible_files(SPACE / folder)
        if path.suffix in suffixes
    }
    missing = [name for name in ("app.py", "README.md", "requirements.txt") if name not in files]
    if missing:
        raise ValueError(f"{SPACE} has no {' and no '.join(missing)}; push from a whole checkout of the repository")
    files |= {
        f"speech_affect/{path.name}": path
        for path in visible_files(PACKAGE)
        if path.suffix == ".py" and path != COMMAND
    }
    weights = [path for path in visible_files(RELEASED) if path.suffix in (".json", ".safetensors")]
    return files | {f"speech_affect/checkpoints/{RELEASED.name}/{path.name}": path for path in weights}


def push_space(target: Target, model_id: str | None = None, teacher_id: str | None = None) -> Pushed:
    """Push the app with the package in one commit, then set the Space's variables, which name the models to load.

    Args:
        target: Where to; a Space runs what is on `main`.
        model_id: On the Hub, becomes the variable MODEL_ID; without it that variable stays as it is.
        teacher_id: On the Hub, becomes TEACHER_ID, likewise.

    Raises:
        ValueError: The Hub does not allow a name, or the checkout lacks the app.
        PublishError: Anything that fails between this machine and the Hub, or a model that does not exist.
    """
    named = {"MODEL_ID": model_id, "TEACHER_ID": teacher_id}
    variables = {variable: name for variable, name in named.items() if name is not None}
    for name in variables.values():
        validate_repo_id(name)
    files, closed = space_files(), []
    for name in variables.values():
        with explained(target.repo_id, about=name):
            info = target.api().model_info(name)
        closed += [name] if info.private or info.gated else []
    folders = tuple({f"{path.split('/')[0]}/": None for path in files if "/" in path})
    pushed = push_files(files, target, "space", "Upload the app and its package", folders)
    for variable, name in variables.items():
        with explained(pushed.repo_id):
            target.api().add_space_variable(pushed.repo_id, variable, name)
    if not closed:
        return pushed
    models = f"{' and '.join(closed)} {'are' if len(closed) > 1 else 'is'} private or gated"
    return replace(pushed, left_to_do=f"{models}: add a secret HF_TOKEN that may read that, in the Space's settings")
