"""The Space, on a Hub on this machine: what arrives there, that it starts there, and what errors say."""

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
from speech_affect_training.hub.push import Target
from speech_affect_training.hub.space import PACKAGE, push_space, space_files


ROOT = Path(__file__).resolve().parents[3]
PATH = re.compile(
    r"([\w-]+|page/[\w-]+)\.py|web/[\w-]+\.(css|js|md|html|svg)|\w+\.(md|txt)"
    r"|examples/[\w-]+\.(flac|ogg|opus|wav)|speech_affect/\w+\.py"
)
FEEL = Target("alice/feel")

# a process that knows nothing of this checkout, started beside the app as a Space starts it; argv: the checkout
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
page = app["build_app"](app["Settings"]())  # without a model
print(json.dumps([speech_affect.__file__, app["__file__"], type(page).__name__, strangers]))
"""


@pytest.fixture
def models(hub):
    """A public student, and a teacher that alice alone may read."""
    api = HfApi()
    api.create_repo("alice/student")
    api.create_repo("alice/fusion", private=True)
    hub.calls.clear()


@pytest.fixture
def small_space(tmp_path, monkeypatch):
    """A folder that looks like `space/`, with files that must not be pushed."""
    space = tmp_path / "space"
    for folder in ("examples", "page", "web", "__pycache__", ".gradio"):
        (space / folder).mkdir(parents=True)
    (space / "README.md").write_text("---\nsdk: gradio\n---\n# Feel\n")
    for name in ("app.py", "requirements.txt", "page/layout.py", "web/style.css", "examples/calm.flac"):
        (space / name).write_text(f"of {name}")
    for name in (".env", "my recording.wav", "examples/.calm.swp", "examples/notes.csv", "__pycache__/app.pyc"):
        (space / name).write_text("not for others")
    monkeypatch.setattr(hub_space, "SPACE", space)
    return space


def space_of(hub):
    return hub.repositories["spaces", "alice/feel"]


def test_the_checkout_is_pushed_and_its_app_starts_there(hub, tmp_path):
    pushed = push_space(FEEL)
    space, files = space_of(hub), space_of(hub).files()
    assert space.private and space.sdk == "gradio" and pushed.url == f"{hub.url}/spaces/alice/feel"
    assert space.messages == ["initial commit", "Upload the app and its package"]
    assert pushed.commit == space.branches["main"] and pushed.private
    assert [path for path in files if not PATH.fullmatch(path)] == [".gitattributes"]
    assert {f"speech_affect/{path.name}" for path in PACKAGE.glob("*.py")} <= set(files)
    assert space.variables == {} and hub.asked("variables") == 0
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert re.fullmatch(r"6\.\d+\.\d+", front["sdk_version"])
    required = {re.match(r"[\w-]+", line)[0] for line in files["requirements.txt"].decode().splitlines() if line}
    assert required >= {"torch", "transformers", "numpy", "soundfile"} and "torchaudio" not in required

    root = tmp_path / "space"
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    command = [sys.executable, "-c", APP, f"{ROOT}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    package, app, page, strangers = json.loads(done.stdout.splitlines()[-1])
    assert package == str(root / "speech_affect" / "__init__.py")
    assert (app, page, strangers) == ("app.py", "Blocks", [])


def test_a_second_push_deletes_what_is_gone_and_keeps_files_of_others(hub, small_space):
    first = push_space(FEEL)
    files = space_of(hub).files()
    assert {path for path in files if not path.startswith("speech_affect/")} == {
        ".gitattributes", "README.md", "app.py", "requirements.txt", "page/layout.py", "web/style.css",
        "examples/calm.flac",
    }  # fmt: skip
    assert set(space_files()) == set(files) - {".gitattributes"}
    assert push_space(FEEL).commit == first.commit
    api = HfApi()
    for path in ("speech_affect/old.py", "page/old.py", "theirs/notes.md", "extra.py"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id="alice/feel", repo_type="space")
    (small_space / "examples" / "calm.flac").rename(small_space / "examples" / "tired.ogg")
    (small_space / "app.py").write_text("new")
    commits = hub.asked("commit")
    push_space(FEEL)
    files = space_of(hub).files()
    assert hub.asked("commit") == commits + 1 and files["app.py"] == b"new"
    assert {"examples/tired.ogg", "theirs/notes.md", "extra.py"} <= set(files)
    assert not {"examples/calm.flac", "page/old.py", "speech_affect/old.py"} & set(files)


def test_models_become_variables_of_the_space(hub, small_space, models):
    assert push_space(FEEL, "alice/student").describe("the Space").endswith(")")
    pushed = push_space(FEEL, "alice/student", "alice/fusion")
    secret = "add a secret HF_TOKEN that may read that, in the Space's settings"
    assert pushed.describe("the Space").endswith(f"; alice/fusion is private or gated: {secret}")
    both = {"MODEL_ID": "alice/student", "TEACHER_ID": "alice/fusion"}
    assert space_of(hub).variables == both
    names = [name for name, _ in hub.calls]
    assert names.index("create") < names.index("commit") < names.index("variables")
    push_space(FEEL)  # names no models
    assert space_of(hub).variables == both
    hub.model("alice/student").gated = True
    pushed = push_space(Target("feel"), "alice/fusion", "alice/student")
    assert space_of(hub).variables == {"MODEL_ID": "alice/fusion", "TEACHER_ID": "alice/student"}
    assert "; alice/fusion and alice/student are private or gated" in pushed.describe("the Space")


def test_errors_come_before_anything_is_pushed(hub, small_space, models):
    with pytest.raises(PublishError, match="^pushing to alice/feel failed: alice/studnet, or its branch, does not"):
        push_space(FEEL, "alice/student", "alice/studnet")
    calls = len(hub.calls)
    for names in (["outputs/demo/student_kd"], [None, "a b"], [""]):
        with pytest.raises(ValueError, match="Repo id"):
            push_space(FEEL, *names)
    for name in ("app.py", "requirements.txt"):
        (small_space / name).unlink()
    with pytest.raises(ValueError, match=r"space has no app.py and no requirements.txt; push from a whole checkout"):
        push_space(FEEL)
    assert len(hub.calls) == calls and ("spaces", "alice/feel") not in hub.repositories
