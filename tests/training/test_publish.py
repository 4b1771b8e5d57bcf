"""The command that pushes by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

from speech_affect_training import publish
from speech_affect_training.publish import main


PUBLISH = Path(publish.__file__)


def run(*arguments) -> subprocess.CompletedProcess:
    """Run the command in a process of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, str(PUBLISH), *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def test_a_folder(hub, checkpoint_folder):
    before = sorted(checkpoint_folder.parent.rglob("*"))
    done = run(checkpoint_folder, "--repo_id", "alice/demo-mfb", "--commit_message", "By hand")
    model = hub.model("alice/demo-mfb")
    expected = f"{checkpoint_folder} is at {hub.url}/alice/demo-mfb (private, commit {model.branches['main'][:7]})\n"
    assert (done.stdout, done.returncode) == (expected, 0)
    assert model.messages[-1] == "By hand" and model.private
    assert sorted(checkpoint_folder.parent.rglob("*")) == before  # no token and nothing else is written


def test_errors_are_one_line(hub, checkpoint_folder):
    hub.fail("commit", 503)
    done = run(checkpoint_folder, "--repo_id", "alice/mfb")
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: pushing to alice/mfb failed: the Hub is in trouble (503)")


def test_everything_else_is_private_without_public(hub, checkpoint_folder):
    assert "(public, commit" in main([str(checkpoint_folder), "--repo_id", "alice/open", "--public"])
    assert not hub.model("alice/open").private
    assert main(["--metric", "alice/ccc"]).startswith(f"the metric is at {hub.url}/spaces/alice/ccc (private, commit")
    assert "(public, commit" in main(["--dataset_card", "alice/msp", "--public"])
    assert main(["--space", "alice/feel", "--model_id", "alice/open"]).startswith("the Space is at ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give a system's folder, or --metric, or --dataset_card, or --space"),
        (["folder", "--metric", "alice/ccc"], "give a system's folder, or --metric, or --dataset_card"),
        (["folder"], "a system's folder needs either --repo_id or --release, which nothing else takes"),
        (
            ["folder", "--repo_id", "alice/s", "--release", "s"],
            "a system's folder needs either --repo_id or --release",
        ),
        (["--metric", "alice/ccc", "--repo_id", "alice/ccc"], "a system's folder needs either"),
        (["--metric", "alice/ccc", "--model_id", "alice/s"], "--model_id and --teacher_id need --space"),
    ],
)
def test_arguments_that_do_not_fit(argv, message, capsys):
    with pytest.raises(SystemExit):
        main(argv)
    assert message in capsys.readouterr().err
