"""Push files to a repository of the Hugging Face Hub in one commit, private unless public is asked for."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session, get_token
from huggingface_hub.utils import validate_repo_id

from .errors import NO_TOKEN, PublishError, explained


# what a checkpoint consists of: no pickles, audio or logs
CHECKPOINT_SUFFIXES = frozenset((".json", ".safetensors", ".py", ".md", ".txt", ".model", ".jinja", ".png", ".onnx"))
# files that would still be loaded when the folder no longer has them: whole weights beside new shards
WEIGHT_SUFFIXES = (".safetensors", ".safetensors.index.json")
# connect, read, write, pool: by default huggingface_hub waits for ever for a server that does not answer
TIMEOUTS_S = (30.0, 300.0, 300.0, 300.0)


@dataclass(frozen=True)
class Target:
    """Where to push.

    Args:
        repo_id: `user/name`, or `name` for a repository of your own; created when it does not exist.
        private: Create the repository as private, and raise an error where it is public already.
        token: Access token; by default HF_TOKEN or that of `hf auth login`.
        revision: Branch, created when it does not exist; by default `main`.

    Raises:
        ValueError: The Hub does not allow that name.
    """

    repo_id: str
    private: bool = True
    token: str | None = None
    revision: str | None = None

    def __post_init__(self):
        validate_repo_id(self.repo_id)

    def api(self) -> HfApi:
        """Return a client of the Hub.

        Raises:
            PublishError: No token is known.
        """
        token = self.token or get_token()
        if token is None:
            raise PublishError(f"pushing to {self.repo_id} failed: {NO_TOKEN}")
        get_session().timeout = TIMEOUTS_S
        return HfApi(token=token, library_name="speech-affect")


@dataclass(frozen=True)
class Pushed:
    """Where files are now, the commit that has them all, and what is left to do."""

    repo_id: str
    url: str
    commit: str
    private: bool
    left_to_do: str = ""

    def describe(self, what: str | os.PathLike) -> str:
        """Return one line about `what` was pushed."""
        line = f"{what} is at {self.url} ({'private' if self.private else 'public'}, commit {self.commit[:7]})"
        return f"{line}; {self.left_to_do}" if self.left_to_do else line


def checkpoint_files(folder: str | os.PathLike) -> dict[str, Path]:
    """Return the files of a checkpoint by name, without hidden files, subfolders and whatever else lies there.

    Raises:
        ValueError: There is no configuration, or there are no weights.
    """
    files = {path.name: path for path in visible_files(folder) if path.suffix in CHECKPOINT_SUFFIXES}
    if "config.json" not in files or not any(name.endswith(".safetensors") for name in files):
        raise ValueError(
            f"{folder} is no checkpoint (config.json and *.safetensors); "
            "give the folder of a system, such as outputs/demo/student_kd"
        )
    return files


def visible_files(folder: str | os.PathLike) -> list[Path]:
    """Return the files of a folder that are not hidden, sorted; none where there is no such folder."""
    paths = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    return [path for path in paths if path.is_file() and not path.name.startswith(".")]


def push_checkpoint(folder: str | os.PathLike, target: Target, message: str | None = None) -> Pushed:
    """Push the [`checkpoint_files`] of one system in one commit, whose message names the folder by default.

    Raises:
        ValueError: The folder is no checkpoint.
        PublishError: Anything that fails between this machine and the Hub.
    """
    return push_files(checkpoint_files(folder), target, "model", message or f"Upload {Path(folder).resolve().name}")


def push_files(
    files: Mapping[str, Path | bytes], target: Target, repo_type: str, message: str, owned: tuple[str, ...] = ()
) -> Pushed:
    """Push files in one commit, which also deletes other weights at the root. What others added stays.

    Args:
        files: Path in the repository -> file on disk, or content.
        target: Where to.
        repo_type: `model`, `dataset` or `space` (a Gradio app).
        message: Of the commit.
        owned: Folders of the repository, each as `name/`, of which other files are deleted too.

    Raises:
        PublishError: Anything that fails between this machine and the Hub.
    """
    with explained(target.repo_id):
        api = target.api()
        sdk = "gradio" if repo_type == "space" else None
        url = api.create_repo(
            target.repo_id, repo_type=repo_type, private=target.private, exist_ok=True, space_sdk=sdk
        )
        repo = {"repo_id": url.repo_id, "repo_type": repo_type}
        info = api.repo_info(**repo)
        if target.private and not info.private:  # the Hub leaves an existing repository as public as it was
            raise PublishError(
                f"pushing to {url.repo_id} failed: it is public already; push with --public (in a run "
                "--hub_private_repo false), make it private in its settings, or give another name"
            )
        if target.revision is not None and not target.revision.startswith("refs/"):
            api.create_branch(**repo, branch=target.revision, exist_ok=True)
        there = set(api.list_repo_files(**repo, revision=target.revision))
        stale = [path for path in sorted(there - set(files)) if _is_stale(path, owned)]
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        operations += [CommitOperationDelete(path) for path in stale]
        commit = api.create_commit(**repo, operations=operations, commit_message=message, revision=target.revision)
        return Pushed(url.repo_id, str(url), commit.oid, bool(info.private))


def _is_stale(path: str, owned: tuple[str, ...]) -> bool:
    return path.startswith(owned) if "/" in path else path.endswith(WEIGHT_SUFFIXES)
