"""Uploading a dataset that must not be public."""

from __future__ import annotations

import os

from huggingface_hub import HfApi


def push_privately(folder: str | os.PathLike, repo_id: str) -> str:
    """Uploads a folder as a private dataset repository; the same call goes on where it was interrupted.

    Args:
        folder: What to upload.
        repo_id: `user/name`; made when it does not exist.

    Returns:
        The address of the repository.

    Raises:
        ValueError: The repository exists and is public; nothing is uploaded then.
    """
    api = HfApi()
    address = api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
    # the Hub leaves an existing repository as public as it was
    if api.dataset_info(address.repo_id).private is not True:
        raise ValueError(
            f"{repo_id} is public, and this corpus must not be: make it private in its settings, or give another name"
        )
    api.upload_folder(repo_id=address.repo_id, folder_path=os.fspath(folder), repo_type="dataset")
    return str(address)
