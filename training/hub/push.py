"""Files to a repository of the Hugging Face Hub: private unless told otherwise, and all of them in one commit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.utils import validate_repo_id

from .errors import NO_TOKEN, PublishError, explained


# what a checkpoint is made of: no pickle, no audio, no log
CHECKPOINT_SUFFIXES = frozenset((".json", ".safetensors", ".py", ".md", ".txt", ".model", ".jinja", ".png", ".onnx"))
# what would be loaded although the folder has it no longer: whole weights beside new shards
STALE_SUFFIXES = (".safetensors", ".safetensors.index.json")


@dataclass(frozen=True)
class Pushed:
    """Where files are now, and the commit that has them all."""

    repo_id: str
    url: str
    commit: str
    private: bool


def checkpoint_files(folder: str | os.PathLike) -> dict[str, Path]:
    """
    The files of a checkpoint, by name; hidden files, folders and whatever else lies there are left out.

    Raises:
        ValueError: there is no configuration or there are no weights.
    """
    folder = Path(folder)
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files = {
        path.name: path
        for path in found
        if path.is_file() and path.suffix in CHECKPOINT_SUFFIXES and not path.name.startswith(".")
    }
    if "config.json" not in files or not any(name.endswith(".safetensors") for name in files):
        raise ValueError(
            f"{folder} is no checkpoint (config.json and *.safetensors); "
            "give the folder of a system, such as outputs/demo/student_kd"
        )
    return files


def push_checkpoint(
    folder: str | os.PathLike,
    repo_id: str,
    private: bool = True,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
) -> Pushed:
    """
    Push weights, configuration, extractor, tokenizer, code, card and `run.json` of one system in one commit.

    Args:
        folder: of the system; see [`checkpoint_files`] for what of it is pushed.
        repo_id: `user/name`, or `name` for a repository of one's own; made when it is not there.
        private: a repository that is made is private, and one that is public already is refused.
        token: access token; by default HF_TOKEN or that of `hf auth login`.
        revision: branch to push to, made when it is not there; by default `main`.
        commit_message: by default names the folder.

    Returns:
        where it is.

    Raises:
        ValueError: the folder is no checkpoint, or the name is none that the Hub allows.
        PublishError: anything that comes between this machine and the Hub.
    """
    message = commit_message or f"Upload {Path(folder).resolve().name}"
    return push_files(checkpoint_files(folder), repo_id, "model", private, token, revision, message)


def push_files(
    files: Mapping[str, Path | bytes],
    repo_id: str,
    repo_type: str,
    private: bool,
    token: str | None,
    revision: str | None,
    commit_message: str,
    owned: tuple[str, ...] = (),
) -> Pushed:
    """
    Push files, by their path in the repository, in one commit, which also takes away weights that are none of them.
    Other arguments, `Returns` and `Raises` are those of [`push_checkpoint`].

    Args:
        files: path in the repository -> file on disk, or content.
        repo_type: `model`, `dataset`, or `space` (one of Gradio).
        owned: folders of the repository, `name/` each, whose other files are taken away too.
    """
    validate_repo_id(repo_id)
    if not commit_message:
        raise ValueError("commit_message is empty; say what is pushed, or leave it out")
    api = hub_api(repo_id, token)
    with explained(repo_id):
        return _push(api, files, repo_id, repo_type, private, revision, commit_message, owned)


def hub_api(repo_id: str, token: str | None) -> HfApi:
    """The Hub to push to `repo_id` with a token, by default the one of this machine; a PublishError without any."""
    token = token or get_token()
    if token is None:
        raise PublishError(f"pushing to {repo_id} failed: {NO_TOKEN}")
    return HfApi(token=token, library_name="speech-affect")


def _push(api, files, repo_id, repo_type, private, revision, commit_message, owned) -> Pushed:
    space_sdk = "gradio" if repo_type == "space" else None
    url = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=space_sdk)
    repo_id = url.repo_id
    info = api.repo_info(repo_id, repo_type=repo_type)
    if private and not info.private:  # the Hub leaves an existing repository as public as it was
        raise PublishError(
            f"pushing to {repo_id} failed: it is public already; push with --public (in a run --hub_private_repo "
            "false), make it private in its settings, or give another name"
        )
    if revision is not None and not revision.startswith("refs/"):
        api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        info = api.repo_info(repo_id, repo_type=repo_type, revision=revision)
    there = {sibling.rfilename for sibling in info.siblings or []}
    stale = [path for path in sorted(there - set(files)) if _is_stale(path, owned)]
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    operations += [CommitOperationDelete(path) for path in stale]
    commit = api.create_commit(
        repo_id, operations, commit_message=commit_message, repo_type=repo_type, revision=revision
    )
    return Pushed(repo_id, str(url), commit.oid, bool(info.private))


def _is_stale(path: str, owned: tuple[str, ...]) -> bool:
    return path.startswith(owned) if "/" in path else path.endswith(STALE_SUFFIXES)
