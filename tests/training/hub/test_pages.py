"""The metric's Space and the data set's page, on a Hub on this machine and back from it."""

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

from speech_affect_training.hub.pages import METRIC, builder_files, push_dataset_card, push_metric


# another process, which has neither this repository nor the local copies; argv: where to download, a corpus
BACK = """
import json, sys

import evaluate
from huggingface_hub import snapshot_download

ccc = evaluate.load("alice/ccc")
said = [ccc.compute(predictions=[1.0, 2.0, 3.0], references=[2.0, 3.0, 4.0])]
folder = snapshot_download("alice/msp", repo_type="dataset", local_dir=sys.argv[1])
sys.path.insert(0, folder)
from speech_affect_training.corpora.msp_podcast import load_msp_podcast

splits = load_msp_podcast(sys.argv[2])
said.append({split: len(rows) for split, rows in splits.items()})
print(json.dumps([*said, sys.modules["corpora.msp_podcast"].__file__]))
"""


def front_matter(card: bytes) -> dict:
    return yaml.safe_load(card.decode().split("---\n")[1])


@pytest.fixture
def pushed(hub):
    return push_metric("alice/ccc"), push_dataset_card("alice/msp")


def test_there_and_back(hub, pushed, tiny_corpus, tmp_path):
    command = [sys.executable, "-c", BACK, str(tmp_path / "down"), str(tiny_corpus)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    ccc, counts, module = json.loads(done.stdout.splitlines()[-1])
    assert ccc == pytest.approx({"ccc": 4 / 7})
    assert counts == {"train": 24, "development": 12, "test1": 10, "test2": 6}
    assert Path(module).is_relative_to(tmp_path / "down")


def test_the_space_has_all_that_a_metric_needs(hub, pushed):
    space = hub.repositories["spaces", "alice/ccc"]
    files = space.files()
    assert space.private and space.sdk == "gradio" and pushed[0].url == f"{hub.url}/spaces/alice/ccc"
    assert set(files) == {".gitattributes", "README.md", "app.py", "requirements.txt", "ccc.py", "concordance.py"}
    front = front_matter(files["README.md"])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert re.fullmatch(r"\d+\.\d+\.\d+", front["sdk_version"])
    assert "metric" in front["tags"] and b"evaluate" in files["requirements.txt"]
    for name in ("README.md", "ccc.py"):
        assert b'evaluate.load("alice/ccc")' in files[name] and b"training/metrics" not in files[name]


def test_a_metric_is_called_as_its_module(hub):
    with pytest.raises(ValueError, match="repo_id is 'alice/concordance'; .* give user/ccc"):
        push_metric("alice/concordance")
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


def test_the_page_warns_and_holds_no_data(hub, pushed):
    page = hub.repositories["datasets", "alice/msp"]
    files = page.files()
    assert page.private and pushed[1].url == f"{hub.url}/datasets/alice/msp"
    front = front_matter(files["README.md"])
    assert (front["license"], front["license_name"], front["viewer"]) == ("other", "msp-podcast-agreement", False)
    card = files.pop("README.md").decode()
    assert "**No audio, label or transcript is here.**" in card
    assert "hf download alice/msp" in card and "REPO_ID" not in card
    code = {f"corpora/{name}.py" for name in ("msp_podcast", "msp_labels", "msp_release", "corpus")}
    assert code <= set(files)
    assert all(re.fullmatch(r"corpora/\w+\.py", path) for path in set(files) - {".gitattributes"})


def test_code_that_a_function_imports_travels_too(tmp_path, monkeypatch):
    folder = tmp_path / "corpora"
    folder.mkdir()
    (folder / "builder.py").write_text("from corpora import a\ndef f():\n    from corpora.b import x\n")
    (folder / "a.py").write_text("import os\nfrom corpora.builder import y\n")
    (folder / "b.py").write_text("from elsewhere import c\n")
    (folder / "c.py").write_text("")
    monkeypatch.setattr("speech_affect_training.hub.pages.BUILDER", folder / "builder.py")
    assert [path.name for path in builder_files()] == ["a.py", "b.py", "builder.py"]
