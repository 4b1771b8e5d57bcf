"""Push what goes to the Hub beside checkpoints: the CCC metric as a Space, and the card of MSP-Podcast."""

from pathlib import Path

from .push import Pushed, Target, push_files, visible_files


TRAINING = Path(__file__).resolve().parents[1]
METRIC = TRAINING / "metrics" / "ccc"
DATASET_CARD = TRAINING / "corpora" / "msp_podcast.md"


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
