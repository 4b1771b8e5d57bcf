"""A run that pushes: when, where to, and that nothing on the Hub's side costs its results."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from speech_affect_training.hub import publication
from speech_affect_training.hub.publication import Publication
from speech_affect_training.run import main
from speech_affect_training.settings.recipe import parse_arguments


ROOT = Path(publication.__file__).resolve().parents[2]


@pytest.fixture
def arguments(tiny_recipe, tiny_corpus, tmp_path):
    """Of a run of one small system that pushes."""
    given = {
        "recipe": tiny_recipe,
        "data_dir": tiny_corpus,
        "output_dir": tmp_path / "out",
        "cache_dir": tmp_path / "c",
    }
    argv = [str(part) for name, value in given.items() for part in (f"--{name}", value)]
    return [*argv, "--only", "mfb", "--num_train_epochs", "1", "--push_to_hub"]


def test_each_system_as_it_is_finished_and_again_with_its_card(hub, arguments, tmp_path, monkeypatch, capsys):
    from speech_affect_training import run
    from speech_affect_training.jobs import trainer

    early = []

    def report(*given, **more):
        publications[-1].pushes.submit(lambda: None).result()  # what was pushed while it trained has arrived
        early.append(set(hub.model("alice/tiny-mfb").files()))
        return write_report(*given, **more)

    def cards(results, output, repo_id):
        (output / "mfb" / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n# the card of {repo_id('mfb')}\n")

    publications, write_report = [], run.write_report
    trained_with, train = [], trainer.AffectTrainer.train
    monkeypatch.setattr(
        trainer.AffectTrainer, "train", lambda self, **more: trained_with.append(self.args) or train(self, **more)
    )
    monkeypatch.setattr(run, "Publication", lambda *a: publications.append(Publication(*a)) or publications[-1])
    monkeypatch.setattr(run, "write_report", report)
    monkeypatch.setattr(run, "write_cards", cards)
    main([*arguments, "--hub_model_id", "alice/tiny", "--seeds", "0", "1", "--hub_token", "hf_alice"])
    assert [(args.push_to_hub, args.hub_token) for args in trained_with] == [(False, None)] * 2
    assert len(early) == 1 and {"model.safetensors", "config.json", "run.json", "modeling_affect.py"} <= early[0]
    assert "README.md" not in early[0]
    model = hub.model("alice/tiny-mfb")
    assert list(hub.repositories) == [("models", "alice/tiny-mfb")]  # nothing of Trainer's own
    assert b"# the card of alice/tiny-mfb" in model.files()["README.md"]
    assert model.private and model.messages == ["initial commit", "Upload mfb", "Upload mfb"]
    folder = tmp_path / "out" / "mfb"
    assert {name: content for name, content in model.files().items() if name != ".gitattributes"} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert f"{folder} is at {hub.url}/alice/tiny-mfb (private, commit" in capsys.readouterr().err
    calls = len(hub.calls)
    main([*arguments, "--hub_model_id", "alice/tiny", "--seeds", "0", "1"])
    assert len(hub.calls) == calls


def test_what_fails_is_said_with_the_command_that_retries(hub, arguments, tmp_path, capsys, monkeypatch):
    hub.fail("create", 503, times=99)
    monkeypatch.chdir(ROOT)
    results = main([*arguments, "--seeds", "0", "--hub_revision", "tried"])
    assert [system["name"] for system in results["systems"]] == ["mfb"]
    assert (tmp_path / "out" / "results.md").is_file()
    said = re.findall("(?<= publication: ).*", capsys.readouterr().err)
    assert len(said) == 2 and len(set(said)) == 1  # when it was finished, and at the end
    assert said[0].startswith("pushing to out-mfb failed: the Hub is in trouble (503)")
    assert f"; all of it is in {tmp_path / 'out' / 'mfb'}; to push it again: " in said[0]
    command = shlex.split(said[0].split("to push it again: ")[1])
    assert command[:2] == ["python", "training/publish.py"]
    hub.faults.clear()
    done = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "config.json" in hub.model("alice/out-mfb").files("tried")


def make(*argv, systems=("mfb",)) -> Publication:
    return Publication(parse_arguments(["--push_to_hub", *argv])[1], systems)


def test_where_systems_go(hub):
    assert make("--hub_model_id", "alice/x").repo_id("mfb") == "alice/x-mfb"
    assert make("--output_dir", "outputs/some where/demo/").repo_id("mfb") == "demo-mfb"


@pytest.mark.parametrize(
    ("argv", "systems", "said"),
    [
        (["--output_dir", "outputs/my run"], ["mfb"], "no repository can be 'my run-mfb'; give --hub_model_id"),
        (["--hub_model_id", "a/b/c"], ["mfb"], "no repository can be 'a/b/c-mfb'"),
        (["--hub_model_id", "alice/x"], ["mfb", "mit ü"], "no repository can be 'alice/x-mit ü'"),
        (["--hub_strategy", "checkpoint"], ["mfb"], "hub_strategy is checkpoint; give every_save .* or end"),
    ],
)
def test_what_cannot_be_is_said_before_training(hub, argv, systems, said):
    with pytest.raises(ValueError, match=said):
        make(*argv, systems=systems)


def test_private_unless_told_otherwise():
    assert parse_arguments([])[1].hub_private_repo is True
    assert parse_arguments(["--hub_private_repo", "false"])[1].hub_private_repo is False
    assert parse_arguments([])[1].push_to_hub is False


@pytest.mark.parametrize(
    ("argv", "public"), [([], False), (["--hub_private_repo", "false"], True), (["--hub_revision", "b"], False)]
)
def test_the_command(hub, checkpoint_folder, monkeypatch, argv, public):
    commands = []
    monkeypatch.setattr(publication, "_run", lambda *given: commands.append(given) or "done")
    one = make("--hub_model_id", "alice/x", "--hub_token", "hf_bob", *argv)
    one.push("mfb", checkpoint_folder)
    one.wait()
    (command, environment, limit_s), *_ = commands
    assert ("--public" in command) == public and ("--revision b" in " ".join(command)) == ("b" in argv)
    assert environment["HF_TOKEN"] == "hf_bob" and "hf_bob" not in command
    assert 300 < limit_s < 301


def test_a_push_without_end_is_given_up(hub, checkpoint_folder, monkeypatch, caplog):
    hub.fail("create", hang_s=60)
    monkeypatch.setattr(publication, "PATIENCE_S", 0.1)
    monkeypatch.setattr(publication, "SLOWEST_BYTES_PER_S", 1e6)
    one, started = make("--hub_model_id", "alice/x"), time.monotonic()
    one.push("mfb", checkpoint_folder)
    one.wait()
    assert time.monotonic() - started < 10
    assert re.search(
        "pushing to alice/x-mfb failed: it took more than 0 s and was given up; all of it is", caplog.text
    )


def test_whatever_ends_the_command(hub, tmp_path):
    python = [sys.executable, "-c", "raise SystemExit(7)", "folder", "--repo_id", "alice/x"]
    assert publication._run(python, {}, 60) == "error: publish.py ended with status 7"
    python[2] = "1 / 0"
    assert publication._run(python, {}, 60) == "error: ZeroDivisionError: data_splits by zero"
    nowhere = [str(tmp_path / "python"), "-c", "", "folder", "alice/x"]
    assert publication._run(nowhere, {}, 60).startswith("error: pushing to alice/x failed: ")


class FakeStage(SimpleNamespace):
    """One that is finished or not."""

    def __init__(self, name: str, done: bool = True, unpredicted=()):
        super().__init__(spec=SimpleNamespace(name=name), done=done, missing=list(unpredicted))

    def result(self):
        return {} if self.done else None

    def unpredicted(self):
        return self.missing


def finished_stages(one: Publication, systems: dict, write, jobs) -> list[str]:
    """Names of the systems that are pushed when these jobs are finished, in order."""
    pushed = []
    one.push = lambda name, folder: pushed.append(name)
    finished = one.after_job(systems, write)
    for job in jobs:
        finished(job)
    return pushed


def test_a_system_is_pushed_when_all_its_seeds_are_finished(hub):
    first, second, fold = FakeStage("mfb"), FakeStage("mfb", done=False), FakeStage("mfb")
    systems = {"mfb": [first, second]}
    assert finished_stages(make(), systems, lambda jobs: Path("mfb"), [first, fold]) == []
    second.done, second.missing = True, ["test1"]
    assert finished_stages(make(), systems, lambda jobs: Path("mfb"), [second]) == []
    second.missing = []
    assert finished_stages(make(), systems, lambda jobs: Path("mfb"), [fold]) == []
    assert finished_stages(make(), systems, lambda jobs: Path("mfb"), [second]) == ["mfb"]
    assert finished_stages(make("--hub_strategy", "end"), systems, lambda jobs: Path("mfb"), [second]) == []


def test_a_checkpoint_that_fails_is_left_to_the_end_of_the_run(hub, caplog):
    def write(jobs):
        raise RuntimeError("it differs by 3")

    job = FakeStage("mfb")
    assert finished_stages(make(), {"mfb": [job]}, write, [job]) == []
    assert "mfb is not pushed yet: it differs by 3" in caplog.text


def test_only_the_main_process_pushes(hub, checkpoint_folder, monkeypatch):
    monkeypatch.setattr(publication, "PartialState", lambda: SimpleNamespace(is_main_process=False))
    other = make("--hub_model_id", "alice/x")
    job = FakeStage("mfb")
    assert finished_stages(other, {"mfb": [job]}, lambda jobs: checkpoint_folder, [job]) == []
    other = make("--hub_model_id", "alice/x")
    other.push("mfb", checkpoint_folder)
    other.wait()
    assert not hub.calls


def test_nothing_happens_unless_asked(hub, checkpoint_folder):
    silent = Publication(parse_arguments(["--output_dir", "no name!"])[1], ["mfb"])
    silent.push("mfb", checkpoint_folder)
    silent.wait()
    assert not hub.calls


def test_a_missing_token_is_said_at_the_start(hub, monkeypatch, caplog):
    make()
    assert not caplog.records
    monkeypatch.delenv("HF_TOKEN")
    make("--hub_token", "hf_alice")
    assert not caplog.records
    make()
    assert "--push_to_hub will push nothing: no access token is known: log in by `hf auth login`" in caplog.text
