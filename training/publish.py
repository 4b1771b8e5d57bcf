"""Push a trained system, the metric, the data set's page or the Space to the Hugging Face Hub by hand. Private
without --public.

python training/publish.py outputs/demo/student_kd --repo_id user/name [--public] [--revision BRANCH]
python training/publish.py --metric user/ccc
python training/publish.py --dataset_card user/msp-podcast
python training/publish.py --space user/name [--model_id user/student] [--teacher_id user/fusion]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

from huggingface_hub import constants, get_session

from speech_affect_training.hub.errors import PublishError
from speech_affect_training.hub.pages import push_dataset_card, push_metric
from speech_affect_training.hub.push import Pushed, checkpoint_files, push_checkpoint
from speech_affect_training.hub.space import push_space


# connect, read, write, pool: huggingface_hub itself waits for ever for a server that says nothing
TIMEOUTS_S = (30.0, 300.0, 300.0, 300.0)


def main(argv: list[str]) -> str:
    """Push what `argv` names; returns one line that says where it is."""
    arguments = _parse(argv)
    get_session().timeout = TIMEOUTS_S
    where = {"private": not arguments.public, "revision": arguments.revision}
    if arguments.metric:
        return _said("the metric", push_metric(arguments.metric, **where))
    if arguments.dataset_card:
        return _said("the data set's page", push_dataset_card(arguments.dataset_card, **where))
    if arguments.space:
        pushed = push_space(arguments.space, arguments.model_id, arguments.teacher_id, **where)
        return _said("the Space", pushed) + _secret(pushed.unreadable)
    folder = arguments.folder
    note = {
        "repo_id": arguments.repo_id,
        "revision": arguments.revision,
        "endpoint": constants.ENDPOINT,
        "files": {name: _sha256(path) for name, path in checkpoint_files(folder).items()},
    }
    before = read_note(folder)
    if arguments.if_changed and {**before, **note} == before:
        return f"{folder} is as it was pushed to {before['url']}"
    pushed = push_checkpoint(folder, arguments.repo_id, commit_message=arguments.commit_message, **where)
    _write_note(folder, {**note, "url": pushed.url, "commit": pushed.commit})
    return _said(folder, pushed)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="Of one system, as training/run.py writes it.")
    parser.add_argument("--repo_id", help="user/name of its repository; a name alone is one of your own.")
    parser.add_argument("--metric", metavar="USER/ccc", help="Push the CCC metric as a Space instead.")
    parser.add_argument("--dataset_card", metavar="USER/NAME", help="Push the MSP-Podcast builder instead.")
    parser.add_argument("--space", metavar="USER/NAME", help="Push the app, with the package beside it, instead.")
    parser.add_argument("--model_id", metavar="USER/NAME", help="On the Hub: what the Space estimates with.")
    parser.add_argument("--teacher_id", metavar="USER/NAME", help="On the Hub: what the Space compares it with.")
    parser.add_argument("--public", action="store_true", help="Anyone may see it; without it, it is private.")
    parser.add_argument("--revision", help="Branch to push to; main by default.")
    parser.add_argument("--commit_message", help="Of a system's commit.")
    parser.add_argument(
        "--if_changed", action="store_true", help="Only if the folder has changed since its last push."
    )
    arguments = parser.parse_args(argv)
    if sum(map(bool, (arguments.folder, arguments.metric, arguments.dataset_card, arguments.space))) != 1:
        parser.error("give a system's folder, or --metric, or --dataset_card, or --space")
    if bool(arguments.folder) != bool(arguments.repo_id):
        parser.error("a system's folder needs --repo_id, which is for a folder alone")
    if (arguments.model_id or arguments.teacher_id) and not arguments.space:
        parser.error("--model_id and --teacher_id are of a Space: give --space")
    return arguments


def note_path(folder: str | os.PathLike) -> Path:
    """Beside a system's folder: what of it was pushed last, and where to."""
    folder = Path(folder).resolve()
    return folder.with_name(f"{folder.name}.pushed.json")


def read_note(folder: str | os.PathLike) -> dict:
    """What [`note_path`] holds; nothing where there is no such file, or a damaged one."""
    try:
        note = json.loads(note_path(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _write_note(folder: str, note: dict) -> None:
    path = note_path(folder)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    return digest.hexdigest()


def _said(what: str, pushed: Pushed) -> str:
    seen = "private" if pushed.private else "public"
    return f"{what} is at {pushed.url} ({seen}, commit {pushed.commit[:7]})"


def _secret(unreadable: tuple[str, ...]) -> str:
    """What is left to do for a Space whose models are not for everybody."""
    if not unreadable:
        return ""
    closed = f"{' and '.join(unreadable)} {'are' if len(unreadable) > 1 else 'is'} private or gated"
    return f"; {closed}: add a secret HF_TOKEN that may read that, in the Space's settings"


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except (PublishError, ValueError) as error:
        sys.exit(f"error: {error}")
