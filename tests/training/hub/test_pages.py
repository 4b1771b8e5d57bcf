"""The metric's Space and the dataset's card, on a Hub on this machine and back from it."""

import re
import subprocess
import sys
import types

import pytest
import yaml

from speech_affect_training.hub.pages import METRIC, push_dataset_card, push_metric
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
