"""The command that pushes by hand, and what it notes beside a folder."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from speech_affect_training import publish
from speech_affect_training.publish import main, note_path, read_note


PUBLISH = Path(publish.__file__)


def run(*arguments) -> subprocess.CompletedProcess:
    """The command in a process of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, str(PUBLISH), *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def test_a_folder(hub, checkpoint_folder):
    before = sorted(path.name for path in checkpoint_folder.iterdir())
    done = run(checkpoint_folder, "--repo_id", "alice/demo-mfb", "--commit_message", "By hand")
    model = hub.model("alice/demo-mfb")
    commit = model.branches["main"]
    expected = f"{checkpoint_folder} is at {hub.url}/alice/demo-mfb (private, commit {commit[:7]})\n"
    assert (done.stdout, done.returncode) == (expected, 0)
    assert model.messages[-1] == "By hand" and model.private
    assert sorted(path.name for path in checkpoint_folder.iterdir()) == before
    note = json.loads((checkpoint_folder.parent / "mfb.pushed.json").read_text())
    assert note["commit"] == commit and note["url"] == f"{hub.url}/alice/demo-mfb"
    assert "hf_alice" not in json.dumps(note)


def test_errors_are_one_line(hub, checkpoint_folder, tmp_path):
    hub.fail("commit", 503)
    done = run(checkpoint_folder, "--repo_id", "alice/mfb")
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: pushing to alice/mfb failed: the Hub is in trouble (503)")
    assert not note_path(checkpoint_folder).exists()


def test_xet_storage(hub, checkpoint_folder, monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_XET")
    monkeypatch.setenv("HF_XET_XORB_COMPRESSION_POLICY", "none")
    hub.xet = True
    done = run(checkpoint_folder, "--repo_id", "alice/mfb")
    assert done.returncode == 0, done.stderr
    assert hub.asked("xet-token") >= 1 and hub.asked("lfs-batch") == 0
    assert hub.model("alice/mfb").messages == ["initial commit", "Upload mfb"]
    weights = (checkpoint_folder / "model.safetensors").read_bytes()
    assert hub.model("alice/mfb").files()["model.safetensors"] == weights
    hub.xet = False
    (checkpoint_folder / "model.safetensors").write_bytes(b"other weights")
    done = run(checkpoint_folder, "--repo_id", "alice/mfb")
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("error: pushing to alice/mfb failed: ")
    assert last.endswith(": push again, or with HF_HUB_DISABLE_XET=1")


def test_only_if_changed(hub, checkpoint_folder):
    argv = [str(checkpoint_folder), "--repo_id", "mfb", "--if_changed"]
    main(argv)
    calls = len(hub.calls)
    assert main(argv) == f"{checkpoint_folder} is as it was pushed to {hub.url}/alice/mfb"
    assert len(hub.calls) == calls
    main(argv[:-1])  # by hand it is looked up
    assert len(hub.calls) > calls
    (checkpoint_folder / "README.md").write_text("# changed\n")
    assert "(private, commit" in main(argv)
    calls = len(hub.calls)
    main([*argv, "--revision", "other"])  # another place is another matter
    assert len(hub.calls) > calls
    note_path(checkpoint_folder).write_text("{damaged")
    assert read_note(checkpoint_folder) == {}
    assert "(private, commit" in main(argv)


def test_public(hub, checkpoint_folder):
    assert "(public, commit" in main([str(checkpoint_folder), "--repo_id", "alice/open", "--public"])
    assert not hub.model("alice/open").private
    assert "(private, commit" in main(["--metric", "alice/ccc"])
    assert "(public, commit" in main(["--dataset_card", "alice/msp", "--public"])


def test_a_server_that_says_nothing_is_not_waited_for_without_end(hub, checkpoint_folder):
    main([str(checkpoint_folder), "--repo_id", "alice/mfb"])
    timeout = huggingface_hub.get_session().timeout
    assert (timeout.connect, timeout.read) == (30, 300)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "give a system's folder, or --metric, or --dataset_card, or --space"),
        (["folder", "--metric", "alice/ccc"], "give a system's folder, or --metric, or --dataset_card"),
        (["folder"], "a system's folder needs --repo_id, which is for a folder alone"),
        (["--metric", "alice/ccc", "--repo_id", "alice/ccc"], "a system's folder needs --repo_id"),
        (["--space", "alice/feel", "--metric", "alice/ccc"], "give a system's folder, or --metric, or"),
        (["--space", "alice/feel", "--repo_id", "alice/feel"], "a system's folder needs --repo_id"),
        (["--metric", "alice/ccc", "--model_id", "alice/s"], "--model_id and --teacher_id are of a Space"),
        (["folder", "--repo_id", "alice/s", "--teacher_id", "alice/t"], "are of a Space: give --space"),
    ],
)
def test_what_to_give(argv, said, capsys):
    with pytest.raises(SystemExit):
        main(argv)
    assert said in capsys.readouterr().err
