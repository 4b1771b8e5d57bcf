"""Push a trained system, the metric, the dataset's card or the Space to the Hub; private without --public.

python training/publish.py outputs/demo/student_kd --repo_id user/name [--public] [--revision BRANCH]
python training/publish.py outputs/voices/student_kd --release NAME
python training/publish.py --metric user/ccc
python training/publish.py --dataset_card user/msp-podcast
python training/publish.py --space user/name [--model_id user/student] [--teacher_id user/fusion]
"""

import argparse
import sys
from pathlib import Path

from speech_affect_training.hub.errors import PublishError
from speech_affect_training.hub.other_repositories import push_dataset_card, push_metric, push_space
from speech_affect_training.hub.push import Target, push_checkpoint
from speech_affect_training.hub.release import release_checkpoint


MODELS = Path(__file__).resolve().parents[1] / "model_cards"  # that come with the package


def main(argv: list[str]) -> str:
    """Push what `argv` names; returns one line that says where it is."""
    arguments = _parse(argv)
    if arguments.release:
        return f"{arguments.folder} is at {release_checkpoint(Path(arguments.folder), arguments.release, MODELS)}"

    def target(repo_id: str) -> Target:
        return Target(repo_id, private=not arguments.public, revision=arguments.revision)

    if arguments.metric:
        return push_metric(target(arguments.metric)).describe("the metric")
    if arguments.dataset_card:
        return push_dataset_card(target(arguments.dataset_card)).describe("the dataset's card")
    if arguments.space:
        pushed = push_space(target(arguments.space), arguments.model_id, arguments.teacher_id)
        return pushed.describe("the Space")
    pushed = push_checkpoint(arguments.folder, target(arguments.repo_id), arguments.commit_message)
    return pushed.describe(arguments.folder)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="Of one system, as training/run.py writes it.")
    parser.add_argument("--repo_id", help="user/name of its repository; a name alone is one of your own.")
    parser.add_argument(
        "--release", metavar="NAME", help="Do not push it: make it a model that comes with the package."
    )
    parser.add_argument("--metric", metavar="USER/ccc", help="Push the CCC metric as a Space instead.")
    parser.add_argument("--dataset_card", metavar="USER/NAME", help="Push the card of MSP-Podcast instead.")
    parser.add_argument("--space", metavar="USER/NAME", help="Push the app, with the package beside it, instead.")
    parser.add_argument("--model_id", metavar="USER/NAME", help="On the Hub: the model that the Space runs.")
    parser.add_argument("--teacher_id", metavar="USER/NAME", help="On the Hub: the model that it is compared with.")
    parser.add_argument("--public", action="store_true", help="Anyone may see it; without it, it is private.")
    parser.add_argument("--revision", help="Branch to push to; main by default.")
    parser.add_argument("--commit_message", help="Of a system's commit.")
    arguments = parser.parse_args(argv)
    if sum(map(bool, (arguments.folder, arguments.metric, arguments.dataset_card, arguments.space))) != 1:
        parser.error("give a system's folder, or --metric, or --dataset_card, or --space")
    if bool(arguments.folder) != (bool(arguments.repo_id) + bool(arguments.release) == 1):
        parser.error("a system's folder needs either --repo_id or --release, which nothing else takes")
    if (arguments.model_id or arguments.teacher_id) and not arguments.space:
        parser.error("--model_id and --teacher_id need --space")
    return arguments


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except (PublishError, ValueError) as error:
        sys.exit(f"error: {error}")
