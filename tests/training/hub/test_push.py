"""Pushing one folder to a Hub on this machine: what arrives, and what the error says when it does not."""

import re
import socket

import huggingface_hub
import pytest

from speech_affect_training.hub import push
from speech_affect_training.hub.errors import PublishError
from speech_affect_training.hub.push import Target, checkpoint_files, push_checkpoint


FILES = {"README.md", "config.json", "preprocessor_config.json", "run.json", "modeling_affect.py", "model.safetensors"}
MFB = Target("alice/mfb")


def test_one_private_commit_of_the_checkpoint_alone(hub, checkpoint_folder):
    for name in ("optimizer.pt", "training_args.bin", ".env", "clip.wav", "train.log", ".hidden.json"):
        (checkpoint_folder / name).write_text("not for others")
    (checkpoint_folder / "checkpoints").mkdir()
    (checkpoint_folder / "checkpoints" / "model.safetensors").write_bytes(b"not for others")
    pushed = push_checkpoint(checkpoint_folder, Target("alice/demo-mfb"))
    model = hub.model("alice/demo-mfb")
    assert model.private and model.messages == ["initial commit", "Upload mfb"]
    assert set(model.files()) == FILES | {".gitattributes"}
    for name in FILES:
        assert model.files()[name] == (checkpoint_folder / name).read_bytes()
    large = {path for path, file in model.trees[model.sha("main")].items() if file.sha256}
    assert large == {"model.safetensors"}
    assert [hub.asked(name) for name in ("lfs-batch", "lfs-upload", "commit")] == [1, 1, 1]
    assert (pushed.repo_id, pushed.url) == ("alice/demo-mfb", f"{hub.url}/alice/demo-mfb")
    assert pushed.commit == model.branches["main"] and pushed.private


def test_a_second_push_commits_only_what_has_changed(hub, checkpoint_folder):
    first = push_checkpoint(checkpoint_folder, MFB)
    assert push_checkpoint(checkpoint_folder, MFB) == first
    (checkpoint_folder / "README.md").write_text("---\nlicense: mit\n---\n")
    push_checkpoint(checkpoint_folder, MFB, message="Card")
    assert hub.model("alice/mfb").messages == ["initial commit", "Upload mfb", "Card"]
    assert hub.asked("lfs-upload") == 1
    assert b"mit" in hub.model("alice/mfb").files()["README.md"]


def test_stale_weights_are_deleted_and_files_of_others_stay(hub, checkpoint_folder):
    push_checkpoint(checkpoint_folder, MFB)
    api = huggingface_hub.HfApi()
    for path in ("notes.md", "onnx/model.safetensors"):
        api.upload_file(path_or_fileobj=b"theirs", path_in_repo=path, repo_id="alice/mfb")
    (checkpoint_folder / "model.safetensors").rename(checkpoint_folder / "model-00001-of-00001.safetensors")
    (checkpoint_folder / "model.safetensors.index.json").write_text("{}")
    push_checkpoint(checkpoint_folder, MFB)
    there = set(hub.model("alice/mfb").files())
    assert "model.safetensors" not in there
    assert there >= {"model-00001-of-00001.safetensors", "model.safetensors.index.json"}
    assert there >= {"notes.md", "onnx/model.safetensors"}
    assert hub.asked("commit") == 4


def test_a_branch_is_created_and_main_is_left_alone(hub, checkpoint_folder):
    for _ in range(2):
        pushed = push_checkpoint(checkpoint_folder, Target("alice/mfb", revision="try/1"))
    model = hub.model("alice/mfb")
    assert set(model.files("main")) == {".gitattributes"}
    assert set(model.files("try/1")) == FILES | {".gitattributes"}
    assert pushed.commit == model.branches["try/1"]


def test_a_name_without_owner_is_a_repository_of_your_own(hub, checkpoint_folder):
    assert push_checkpoint(checkpoint_folder, Target("mfb")).repo_id == "alice/mfb"
    assert push_checkpoint(checkpoint_folder, Target("mfb", token="hf_bob")).repo_id == "bob/mfb"


def test_a_public_repository_needs_public(hub, checkpoint_folder):
    opened = Target("alice/open", private=False)
    assert "(public, commit" in push_checkpoint(checkpoint_folder, opened).describe("it")
    assert not hub.model("alice/open").private
    commits = hub.asked("commit")
    with pytest.raises(PublishError, match="pushing to alice/open failed: it is public already; push with --public"):
        push_checkpoint(checkpoint_folder, Target("alice/open"))
    assert hub.asked("commit") == commits
    push_checkpoint(checkpoint_folder, Target("alice/closed"))
    assert push_checkpoint(checkpoint_folder, Target("alice/closed", private=False)).private


@pytest.mark.parametrize(
    ("call", "status", "message"),
    [
        ("create", 401, "the Hub does not accept the access token (401: so {it} is): log in again with"),
        ("create", 402, "the account's plan does not cover this (402: so {it} is): see huggingface.co/settings"),
        ("commit", 403, "the access token may not write to alice/mfb (403: so {it} is): use a token or a name that"),
        ("preupload", 404, "alice/mfb, or its branch, does not exist for this access token (404: so {it} is)"),
        ("commit", 409, "somebody else is changing alice/mfb (409: so {it} is): push again in a minute"),
        ("commit", 412, "somebody else changed alice/mfb meanwhile (412: so {it} is): push again"),
        ("create", 429, "the Hub had too many requests (429: so {it} is): push again in 77 s"),
        ("lfs-upload", 413, "the Hub rejected the push (413: so {it} is): correct that and push again"),
        ("create", 503, "the Hub is in trouble (503: so {it} is): push again later, see status.huggingface.co"),
    ],
)
def test_each_answer_of_the_hub_becomes_one_sentence(hub, checkpoint_folder, call, status, message):
    hub.fail(call, status, headers={"Retry-After": "77"}, body={"error": "so\n{it} is."})
    with pytest.raises(PublishError, match="^pushing to alice/mfb failed: " + re.escape(message)) as caught:
        push_checkpoint(checkpoint_folder, MFB)
    assert isinstance(caught.value, OSError) and caught.value.__cause__ is not None
    assert "\n" not in str(caught.value) and "hf_alice" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "fault"), [("create", {"drop": "before"}), ("commit", {"drop": "middle"}), ("create", {"hang_s": 30})]
)
def test_a_connection_that_breaks_or_hangs(hub, checkpoint_folder, monkeypatch, call, fault):
    monkeypatch.setattr(push, "TIMEOUTS_S", 1.0)
    hub.fail(call, **fault)
    with pytest.raises(PublishError, match=rf"failed: the connection to {hub.url} failed \(.+\): check network"):
        push_checkpoint(checkpoint_folder, MFB)
    push_checkpoint(checkpoint_folder, MFB)  # safe, also where the first commit has arrived
    assert hub.model("alice/mfb").messages == ["initial commit", "Upload mfb"]


def test_no_server_and_offline_mode(hub, checkpoint_folder, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    with pytest.raises(PublishError, match=rf"{url} failed \(.+\): check network, proxy and HF_ENDPOINT, then push"):
        push_checkpoint(checkpoint_folder, MFB)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError, match="huggingface_hub is in offline mode: unset HF_HUB_OFFLINE and push again"):
        push_checkpoint(checkpoint_folder, MFB)
    assert not hub.calls


def test_tokens(hub, checkpoint_folder, monkeypatch):
    with pytest.raises(PublishError, match="the Hub does not accept the access token"):
        push_checkpoint(checkpoint_folder, Target("alice/mfb", token="hf_wrong"))
    with pytest.raises(PublishError, match="may not write to alice/mfb .403: You don't have the rights"):
        push_checkpoint(checkpoint_folder, Target("alice/mfb", token="hf_reader"))
    monkeypatch.delenv("HF_TOKEN")
    calls = len(hub.calls)
    with pytest.raises(PublishError, match="no access token is known: log in with `hf auth login`, or set HF_TOKEN"):
        push_checkpoint(checkpoint_folder, MFB)
    assert len(hub.calls) == calls and not hub.repositories


def test_xet_storage_that_fails(hub, checkpoint_folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(PublishError, match="push again, or with HF_HUB_DISABLE_XET=1$"):
        push_checkpoint(checkpoint_folder, MFB)


def test_a_card_that_the_hub_cannot_read(hub, checkpoint_folder):
    (checkpoint_folder / "README.md").write_text("---\nlicense: mit\n")
    with pytest.raises(PublishError, match="README.md.* the front matter has no end: correct that and push again"):
        push_checkpoint(checkpoint_folder, MFB)
    assert hub.asked("commit") == 0


def test_a_folder_that_is_no_checkpoint_and_a_name_that_is_not_allowed(checkpoint_folder, tmp_path):
    with pytest.raises(ValueError, match="nowhere is no checkpoint .* give the folder of a system, such as outputs"):
        checkpoint_files(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Repo id must"):
        Target("alice/a/b")
    (checkpoint_folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="mfb is no checkpoint"):
        push_checkpoint(checkpoint_folder, MFB)
