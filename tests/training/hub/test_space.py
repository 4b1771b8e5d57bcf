"""The Space, on a Hub on this machine: what arrives there, runs there, and what is said when it does not arrive."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from speech_affect_training.hub import space as hub_space
from speech_affect_training.hub.errors import PublishError
from speech_affect_training.hub.space import PACKAGE, push_space, space_files
from speech_affect_training.publish import main


ROOT = Path(__file__).resolve().parents[3]
PATH = re.compile(r"[\w-]+\.(py|md|txt|css|js|html|svg)|examples/[\w-]+\.(flac|ogg|opus|wav)|speech_affect/\w+\.py")

# a process that knows nothing of this checkout, started beside the app as a Space starts it; argv: a free folder
APP = """
import json, os, runpy, sys

root = os.getcwd()
sys.path[0] = root  # in place of '', which python -c puts there
import speech_affect

app = runpy.run_path("app.py", run_name="app")
strangers = [
    module.__file__
    for name, module in list(sys.modules.items())
    if (getattr(module, "__file__", None) or "").startswith(sys.argv[1])
    and not module.__file__.startswith(sys.prefix)  # an environment may lie in the checkout
]
page = app["build_app"](app["Settings"]())  # of no model
print(json.dumps([speech_affect.__file__, app["__file__"], type(page).__name__, strangers]))
"""


@pytest.fixture
def models(hub):
    """A student that all may see, and a teacher that is alice's alone."""
    api = HfApi()
    api.create_repo("alice/student")
    api.create_repo("alice/fusion", private=True)
    hub.calls.clear()


@pytest.fixture
def small_space(tmp_path, monkeypatch):
    """A folder that looks like `space/`, with what lies about there besides."""
    space = tmp_path / "space"
    (space / "examples").mkdir(parents=True)
    (space / "__pycache__").mkdir()
    (space / ".gradio").mkdir()
    (space / "README.md").write_text("---\nsdk: gradio\n---\n# Feel\n")
    for name in ("app.py", "requirements.txt", "style.css", "examples/calm.flac"):
        (space / name).write_text(f"of {name}")
    for name in (".env", "my recording.wav", "examples/.calm.swp", "examples/notes.csv", "__pycache__/app.pyc"):
        (space / name).write_text("not for others")
    monkeypatch.setattr(hub_space, "SPACE", space)
    return space


def space_of(hub):
    return hub.repositories["spaces", "alice/feel"]


def test_all_of_the_checkout_that_the_app_needs_and_nothing_else(hub):
    pushed = push_space("alice/feel")
    space, files = space_of(hub), space_of(hub).files()
    assert space.private and space.sdk == "gradio" and pushed.url == f"{hub.url}/spaces/alice/feel"
    assert space.messages == ["initial commit", "Upload the app and its package"]
    assert pushed.commit == space.branches["main"] and pushed.private and pushed.unreadable == ()
    assert [path for path in files if not PATH.fullmatch(path)] == [".gitattributes"]
    for path in {"app.py", "README.md", "requirements.txt"}:
        assert files[path] == (ROOT / "space" / path).read_bytes()
    package = {path.name: path.read_bytes() for path in PACKAGE.glob("*.py")}
    assert {name: files[f"speech_affect/{name}"] for name in package} == package
    assert space.variables == {} and hub.asked("variables") == 0


def test_the_page_of_the_space(hub):
    push_space("alice/feel")
    files = space_of(hub).files()
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert re.fullmatch(r"6\.\d+\.\d+", front["sdk_version"])
    required = {re.match(r"[\w-]+", line)[0] for line in files["requirements.txt"].decode().splitlines() if line}
    assert required >= {"torch", "transformers", "numpy", "soundfile"} and "torchaudio" not in required


def test_the_app_starts_from_what_was_pushed_alone(hub, tmp_path):
    push_space("alice/feel")
    root = tmp_path / "space"
    for path, content in space_of(hub).files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", APP, f"{ROOT}/"], capture_output=True, text=True, timeout=120, cwd=root
    )
    assert done.returncode == 0, done.stderr[-3000:]
    package, app, page, strangers = json.loads(done.stdout.splitlines()[-1])
    assert package == str(root / "speech_affect" / "__init__.py")
    assert (app, page, strangers) == ("app.py", "Blocks", [])


def test_what_lies_about_stays_here(hub, small_space):
    push_space("alice/feel")
    files = space_of(hub).files()
    there = {path for path in files if not path.startswith("speech_affect/")}
    assert there == {
        ".gitattributes", "README.md", "app.py", "requirements.txt", "style.css", "examples/calm.flac"
    }  # fmt: skip
    assert files["examples/calm.flac"] == b"of examples/calm.flac"
    assert set(space_files()) == set(files) - {".gitattributes"}


def test_a_checkout_without_an_app(hub, small_space):
    (small_space / "app.py").unlink()
    (small_space / "requirements.txt").unlink()
    with pytest.raises(ValueError, match=r"space has no app.py and no requirements.txt; push from a whole checkout"):
        push_space("alice/feel")
    assert not hub.calls


def test_pushed_again_in_one_commit_without_what_is_gone(hub, small_space):
    first = push_space("alice/feel")
    assert push_space("alice/feel").commit == first.commit
    api = HfApi()
    for path in ("speech_affect/old.py", "theirs/notes.md", "extra.py"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id="alice/feel", repo_type="space")
    (small_space / "examples" / "calm.flac").rename(small_space / "examples" / "tired.ogg")
    (small_space / "app.py").write_text("new")
    commits = hub.asked("commit")
    push_space("alice/feel")
    files = space_of(hub).files()
    assert hub.asked("commit") == commits + 1 and files["app.py"] == b"new"
    assert "examples/tired.ogg" in files
    assert not {"examples/calm.flac", "speech_affect/old.py"} & set(files)
    assert {"theirs/notes.md", "extra.py"} <= set(files)  # others may have put them there


def test_models_are_variables_of_the_space(hub, small_space, models):
    push_space("alice/feel", "alice/student", "alice/fusion")
    assert space_of(hub).variables == {"MODEL_ID": "alice/student", "TEACHER_ID": "alice/fusion"}
    names = [name for name, _ in hub.calls]
    assert names.index("create") < names.index("commit") < names.index("variables")
    push_space("alice/feel")  # says nothing of models
    assert space_of(hub).variables == {"MODEL_ID": "alice/student", "TEACHER_ID": "alice/fusion"}
    push_space("feel", model_id="alice/fusion")
    assert space_of(hub).variables == {"MODEL_ID": "alice/fusion", "TEACHER_ID": "alice/fusion"}


def test_a_model_that_the_space_may_not_read(hub, small_space, models):
    said = main(["--space", "alice/feel", "--model_id", "alice/student"])
    commit = space_of(hub).branches["main"]
    assert said == f"the Space is at {hub.url}/spaces/alice/feel (private, commit {commit[:7]})"
    argv = ["--space", "alice/feel", "--model_id", "alice/student", "--teacher_id", "alice/fusion"]
    secret = "add a secret HF_TOKEN that may read that, in the Space's settings"
    assert main(argv) == f"{said}; alice/fusion is private or gated: {secret}"
    hub.model("alice/student").gated = True
    assert main(argv) == f"{said}; alice/student and alice/fusion are private or gated: {secret}"


def test_a_model_that_is_not_there(hub, small_space, models):
    with pytest.raises(
        PublishError, match="^pushing to alice/feel failed: alice/studnet, or the branch of it, is not"
    ):
        push_space("alice/feel", "alice/student", "alice/studnet")
    assert ("spaces", "alice/feel") not in hub.repositories


def test_names_that_are_none(hub, small_space):
    for names in (
        ["alice/a/b"],
        ["alice/feel", "outputs/demo/student_kd"],
        ["alice/feel", None, "a b"],
        ["alice/feel", ""],
    ):
        with pytest.raises(ValueError, match="Repo id"):
            push_space(*names)
    assert not hub.calls


def test_public_only_if_told(hub, small_space):
    assert "(public, commit" in main(["--space", "alice/feel", "--public"])
    assert not space_of(hub).private
    with pytest.raises(PublishError, match="pushing to alice/feel failed: it is public already; push with --public"):
        push_space("alice/feel")


@pytest.mark.parametrize(
    ("call", "status", "said"),
    [
        ("create", 402, "the account's plan does not cover this (402: so it is)"),
        ("commit", 503, "the Hub is in trouble (503: so it is): push again later"),
        ("variables", 403, "the access token may not write to alice/feel (403: so it is)"),
        ("variables", 429, "the Hub had too many requests (429: so it is): push again later"),
        ("info", 401, "the Hub does not accept the access token (401: so it is): log in anew"),
    ],
)
def test_what_the_hub_answers_is_one_sentence(hub, small_space, models, call, status, said):
    hub.fail(call, status, body={"error": "so\nit is."})
    with pytest.raises(PublishError, match="^pushing to alice/feel failed: " + re.escape(said)) as caught:
        push_space("alice/feel", "alice/student")
    assert "\n" not in str(caught.value) and "hf_alice" not in str(caught.value)
    push_space("alice/feel", "alice/student")  # as safe as it says
    assert space_of(hub).variables == {"MODEL_ID": "alice/student"}


def test_no_token_and_a_dropped_connection(hub, small_space, models, monkeypatch):
    hub.fail("variables", drop="before")
    with pytest.raises(PublishError, match=r"alice/feel failed: the connection to .+ broke off \(.+\): push again$"):
        push_space("alice/feel", "alice/student")
    monkeypatch.delenv("HF_TOKEN")
    calls = len(hub.calls)
    with pytest.raises(PublishError, match="pushing to alice/feel failed: no access token is known: log in by"):
        push_space("alice/feel", "alice/student")
    assert len(hub.calls) == calls
