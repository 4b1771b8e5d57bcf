"""The app's and the metric's Space and the dataset's card, on a Hub on this machine and back from it."""

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel
from speech_affect_training.hub import other_repositories
from speech_affect_training.hub.errors import PublishError
from speech_affect_training.hub.other_repositories import (
    METRIC,
    PACKAGE,
    push_dataset_card,
    push_metric,
    push_space,
    space_files,
)
from speech_affect_training.hub.push import Target


# in a process that has neither this repository nor the local copies
LOAD = """
import evaluate
print(evaluate.load("alice/ccc").compute(predictions=[1.0, 2.0, 3.0], references=[2.0, 3.0, 4.0]))
"""


def front_matter(card: bytes) -> dict:
    return yaml.safe_load(card.decode().split("---\n")[1])


def test_the_space_has_all_that_a_metric_needs_and_loads(hub, tmp_path):
    pushed = push_metric(Target("alice/ccc"))
    space = hub.repositories["spaces", "alice/ccc"]
    files = space.files()
    assert space.private and space.sdk == "gradio" and pushed.url == f"{hub.url}/spaces/alice/ccc"
    assert set(files) == {".gitattributes", "README.md", "app.py", "requirements.txt", "ccc.py", "concordance.py"}
    front = front_matter(files["README.md"])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert re.fullmatch(r"\d+\.\d+\.\d+", front["sdk_version"])
    assert "metric" in front["tags"] and b"evaluate" in files["requirements.txt"]
    for name in ("README.md", "ccc.py"):
        assert b'evaluate.load("alice/ccc")' in files[name] and b"training/metrics" not in files[name]
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["{'ccc': 0.5714285714285715}"], done.stderr[-3000:]


def test_a_metric_is_named_like_its_module(hub):
    with pytest.raises(ValueError, match="repo_id is 'alice/concordance'; .* give user/ccc"):
        push_metric(Target("alice/concordance"))
    assert not hub.calls


def test_the_widget(monkeypatch):
    gradio = types.ModuleType("gradio")
    gradio.Error, shown = type("Error", (Exception,), {}), {}
    gradio.Interface = lambda **parts: shown.update(parts)
    gradio.Dataframe = gradio.JSON = lambda **parts: parts
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    app = types.ModuleType("app")
    app.__file__ = str(METRIC / "app.py")
    exec(compile((METRIC / "app.py").read_text(), app.__file__, "exec"), app.__dict__)
    table = shown["inputs"]
    assert app.concordance(table["value"]) == pytest.approx({"ccc": 4 / 7})
    assert app.concordance([*table["value"], ["", None]]) == pytest.approx({"ccc": 4 / 7})
    assert shown["article"].lstrip().startswith("# Metric Card for CCC")
    for rows in ([], [["a", 1]], [[1, None]]):
        with pytest.raises(gradio.Error, match="Give two numbers in each row"):
            app.concordance(rows)


def test_the_card_of_the_dataset_comes_alone_and_warns(hub):
    pushed = push_dataset_card(Target("alice/msp"))
    page = hub.repositories["datasets", "alice/msp"]
    assert page.private and pushed.url == f"{hub.url}/datasets/alice/msp"
    assert set(page.files()) == {".gitattributes", "README.md"}
    front = front_matter(page.files()["README.md"])
    assert (front["license"], front["license_name"], front["viewer"]) == ("other", "msp-podcast-agreement", False)
    card = page.files()["README.md"].decode()
    assert "**No audio, label or transcript is here.**" in card
    assert "from speech_affect_training.corpora.msp_podcast import load_msp_podcast" in card


ROOT = Path(__file__).resolve().parents[3]
PATH = re.compile(
    r"([\w-]+|page/[\w-]+)\.py|web/[\w-]+\.(css|js|md|html|svg)|\w+\.(md|txt)"
    r"|examples/[\w-]+\.(flac|ogg|opus|wav)|speech_affect/\w+\.py"
    r"|speech_affect/checkpoints/student/(config|preprocessor_config)\.json"
    r"|speech_affect/checkpoints/student/model\.safetensors"
)
FEEL = Target("alice/feel")

# a process that knows nothing of this checkout, started beside the app as a Space starts it; argv: the checkout
APP = """
import json, os, runpy, sys
from pathlib import Path

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
settings = app["Settings"].read([], {}, Path("elsewhere"))
page = app["build_app"](settings)
print(json.dumps([speech_affect.__file__, app["__file__"], settings.model, page.title, strangers]))
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
    monkeypatch.setattr(other_repositories, "SPACE", space)
    return space


def space_of(hub):
    return hub.repositories["spaces", "alice/feel"]


def test_the_checkout_is_pushed_and_its_app_starts_there(hub, tmp_path, monkeypatch):
    student = tmp_path / "student"
    AffectStudentModel(AffectStudentConfig(conv_channels=8)).save_pretrained(student)
    AffectFeatureExtractor().save_pretrained(student)
    (student / "README.md").write_text("# Student\n")
    monkeypatch.setattr(other_repositories, "RELEASED", student)
    pushed = push_space(FEEL)
    space, files = space_of(hub), space_of(hub).files()
    assert space.private and space.sdk == "gradio" and pushed.url == f"{hub.url}/spaces/alice/feel"
    assert space.messages == ["initial commit", "Upload the app and its package"]
    assert pushed.commit == space.branches["main"] and pushed.private
    assert [path for path in files if not PATH.fullmatch(path)] == [".gitattributes"]
    modules = {f"speech_affect/{path.name}" for path in PACKAGE.glob("*.py")} - {"speech_affect/__main__.py"}
    assert modules == {name for name in files if name.startswith("speech_affect/") and name.endswith(".py")}
    assert space.variables == {} and hub.asked("variables") == 0
    front = front_matter(files["README.md"])
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
    package, app, model, title, strangers = json.loads(done.stdout.splitlines()[-1])
    assert package == str(root / "speech_affect" / "__init__.py")
    assert model == str(root / "speech_affect" / "checkpoints" / "student")
    assert (app, title, strangers) == ("app.py", "What a voice sounds like", [])


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
