"""A run that pushes: when, where to, and that nothing on the Hub's side costs its results."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from speech_affect_training.hub import background_push
from speech_affect_training.hub.background_push import Publication
from speech_affect_training.run import main
from speech_affect_training.settings.recipe import parse_arguments


ROOT = Path(background_push.__file__).resolve().parents[2]


@pytest.fixture
def arguments(tiny_recipe, tiny_corpus, tmp_path):
    """Of a run of one small system that pushes."""
    folders = {"recipe": tiny_recipe, "data_dir": tiny_corpus, "output_dir": tmp_path / "out"}
    argv = [str(part) for name, value in folders.items() for part in (f"--{name}", value)]
    argv += ["--cache_dir", str(tmp_path / "cache"), "--only", "mfb", "--num_train_epochs", "1"]
    return [*argv, "--push_to_hub", "--hub_model_id", "alice/tiny", "--hub_token", "hf_alice"]


def test_a_system_is_pushed_when_finished_and_again_with_its_card(hub, arguments, tmp_path, monkeypatch, capsys):
    from speech_affect_training import run

    def report(*given, **more):
        publications[-1].pushes.submit(lambda: None).result()  # what was pushed during training has arrived
        early.append(set(hub.model("alice/tiny-mfb").files()))
        hub.fail("commit", 503)  # the push at the end fails
        return write_report(*given, **more)

    publications, early, write_report = [], [], run.write_report
    monkeypatch.setattr(run, "Publication", lambda *a: publications.append(Publication(*a)) or publications[-1])
    monkeypatch.setattr(run, "write_report", report)
    monkeypatch.chdir(ROOT)
    facts = "{labels: tones, license: own, terms: ours, weights_license: mit}"
    results = main([*arguments, "--seeds", "0", "1", "--corpus_facts", facts])
    assert [system["name"] for system in results["systems"]] == ["mfb"]
    assert len(early) == 1 and {"model.safetensors", "config.json", "run.json", "modeling_affect.py"} <= early[0]
    assert "README.md" not in early[0]
    model, folder = hub.model("alice/tiny-mfb"), tmp_path / "out" / "mfb"
    assert list(hub.repositories) == [("models", "alice/tiny-mfb")]  # nothing of Trainer's own
    assert model.private and model.messages == ["initial commit", "Upload mfb"]
    log = capsys.readouterr().err
    assert f"{folder} is at {hub.url}/alice/tiny-mfb (private, commit" in log and "hf_alice" not in log
    (warning,) = re.findall("(?<=background_push: )pushing .*", log)
    assert warning.startswith("pushing to alice/tiny-mfb failed: the Hub is in trouble (503)")
    before, command = warning.split("; to push them again: ")
    assert before.endswith(f"; all files are in {folder}")
    command = shlex.split(command)
    assert command[:2] == ["python", "training/publish.py"]
    done = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b'name = "alice/tiny-mfb"' in model.files()["README.md"]  # the run's card
    assert {name: content for name, content in model.files().items() if name != ".gitattributes"} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def make(*argv, systems=("mfb",)) -> Publication:
    return Publication(parse_arguments(["--push_to_hub", *argv])[1], systems)


def test_where_systems_go(hub):
    target = make("--hub_model_id", "alice/x", "--hub_token", "hf_bob", "--hub_revision", "b").target("mfb")
    assert (target.repo_id, target.private, target.token, target.revision) == ("alice/x-mfb", True, "hf_bob", "b")
    assert not make("--hub_private_repo", "false", "--hub_model_id", "alice/x").target("mfb").private
    assert make("--output_dir", "outputs/some where/demo/").repo_id("mfb") == "demo-mfb"


@pytest.mark.parametrize(
    ("argv", "systems", "message"),
    [
        (["--output_dir", "outputs/my run"], ["mfb"], "no repository can be 'my run-mfb'; give --hub_model_id"),
        (["--hub_model_id", "alice/x"], ["mfb", "mit ü"], "no repository can be 'alice/x-mit ü'"),
        (["--hub_strategy", "checkpoint"], ["mfb"], "hub_strategy is checkpoint; give every_save .* or end"),
    ],
)
def test_errors_come_before_training(hub, argv, systems, message):
    with pytest.raises(ValueError, match=message):
        make(*argv, systems=systems)


def test_the_command_that_retries_has_the_same_target(hub, tmp_path, caplog):
    public = make("--hub_model_id", "alice/x", "--hub_private_repo", "false", "--hub_revision", "b")
    public.push("mfb", tmp_path / "missing")
    public.wait()
    assert "missing is no checkpoint" in caplog.text
    assert caplog.text.rstrip().endswith("missing --repo_id alice/x-mfb --public --revision b")


class FakeJob(SimpleNamespace):
    """A job that is finished or not."""

    def __init__(self, name: str, done: bool = True):
        super().__init__(spec=SimpleNamespace(name=name), done=done, missing=[])

    def result(self):
        return {} if self.done else None

    def unpredicted(self):
        return self.missing


def pushed_systems(one: Publication, systems: dict, write, jobs) -> list[str]:
    """Names of the systems that are pushed when these jobs are finished, in order."""
    pushed = []
    one.push = lambda name, folder: pushed.append(name)
    finished = one.after_job(systems, write)
    for job in jobs:
        finished(job)
    return pushed


def test_a_system_is_pushed_when_all_its_seeds_are_finished(hub, caplog):
    def push_after(*jobs, **options):
        return pushed_systems(make(*options.get("argv", ())), {"mfb": [first, second]}, lambda _: Path("mfb"), jobs)

    first, second, fold = FakeJob("mfb"), FakeJob("mfb", done=False), FakeJob("mfb")
    assert push_after(first, fold) == []
    second.done, second.missing = True, ["test1"]
    assert push_after(second) == []
    second.missing = []
    assert push_after(fold) == [] and push_after(second) == ["mfb"]
    assert push_after(second, argv=["--hub_strategy", "end"]) == []

    def write(jobs):
        raise RuntimeError("it differs by 3")

    assert pushed_systems(make(), {"mfb": [fold]}, write, [fold]) == []  # left to the end of the run
    assert "mfb is not pushed yet: it differs by 3" in caplog.text


@pytest.mark.parametrize("main_process", [True, False])
def test_only_the_main_process_pushes_and_only_when_asked(hub, checkpoint_folder, monkeypatch, main_process):
    monkeypatch.setattr(background_push, "PartialState", lambda: SimpleNamespace(is_main_process=main_process))
    argv = ["--output_dir", "no name!"] if main_process else ["--push_to_hub", "--hub_model_id", "alice/x"]
    silent, job = Publication(parse_arguments(argv)[1], ["mfb"]), FakeJob("mfb")
    silent.push("mfb", checkpoint_folder)
    silent.wait()
    assert pushed_systems(silent, {"mfb": [job]}, lambda jobs: checkpoint_folder, [job]) == []
    assert not hub.calls


def test_a_missing_token_is_reported_at_the_start(hub, monkeypatch, caplog):
    monkeypatch.delenv("HF_TOKEN")
    make("--hub_token", "hf_alice")
    assert not caplog.records
    make()
    assert "--push_to_hub will push nothing: no access token is known: log in with `hf auth login`" in caplog.text
