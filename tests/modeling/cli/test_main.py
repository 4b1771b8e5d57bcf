"""`speech-affect`: the commands of other packages, also without what they need."""

import contextlib
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

import speech_affect
from speech_affect.cli import main as module
from speech_affect.cli.main import main


WITHOUT_TRAINING = """
import sys
for name in ("torchaudio", "datasets", "evaluate", "accelerate", "matplotlib", "gradio"):
    sys.modules[name] = None
sys.argv[0] = "speech-affect"  # the installed command, which imports models when it needs them
from speech_affect.cli.main import main
main(["--help"])
"""


# as pip writes it
SCRIPT = """
import sys
from {package}.cli.main import main
sys.exit(main())
"""
HEAVY = {"torch", "transformers", "numpy", "soundfile", "tqdm", "onnxruntime"}


@pytest.fixture
def program(tmp_path):
    """Gives the command line of the installed command of a package, or of `python -m`."""

    def given(package: str) -> list[str]:
        if package == "-m":
            return ["-m", "speech_affect"]
        (tmp_path / "speech-affect").write_text(SCRIPT.format(package=package))
        return [str(tmp_path / "speech-affect")]

    return given


@pytest.fixture
def register(monkeypatch):
    """Registers a command in place of those that are installed: its name, and what it does."""

    def registered(name: str, run, **defaults):
        def load():
            def add_arguments(commands):
                commands.add_parser(name, help="of another package").set_defaults(run=run, **defaults)

            return add_arguments if run else __import__("no_such_package")

        monkeypatch.setattr(module, "entry_points", lambda group: [SimpleNamespace(name=name, load=load)])

    return registered


def test_a_registered_command_is_listed_and_run(register, capsys):
    register("count", lambda given: 7)
    assert main(["count"]) == 7
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "    count     of another package" in capsys.readouterr().out


def test_a_command_without_its_packages_says_what_to_install(register, capsys):
    def run(given):
        import no_such_package  # noqa: F401

    register("count", run, extra="train")
    assert main(["count"]) == 1
    expected = "count cannot start (No module named 'no_such_package'): pip install 'speech-affect[train]'\n"
    assert capsys.readouterr().err == f"error: {expected}"
    register("count", run)
    assert main(["count"]) == 1
    assert capsys.readouterr().err.endswith(": pip install no_such_package\n")


def test_a_command_that_cannot_be_loaded_costs_a_warning(register, capsys):
    register("count", None)
    assert main(["predict", "nowhere"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "warning: no command count: No module named 'no_such_package'",
        "error: there is no file or folder 'nowhere'",
    ]


def test_an_interruption_names_resume_where_there_is_one(register, capsys):
    def run(given):
        raise KeyboardInterrupt

    register("count", run, output="x")
    assert main(["count"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("speech_affect", ["predict", "--help"]), ("-m", ["--help"]), ("speech_affect_onnx", ["complete", "bash"])],
)
def test_nothing_heavy_is_imported_before_arguments_are_parsed(program, package, arguments):
    command = [sys.executable, "-X", "importtime", *program(package), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "speech-affect" in done.stdout
    assert {"argparse", "multiprocessing.connection"} <= imported and not HEAVY & imported


@pytest.mark.parametrize("package", ["speech_affect", "-m"])
def test_an_interruption_while_packages_are_imported(program, package, tmp_path, monkeypatch):
    # a shell's background jobs ignore the signal
    interrupt = "import os, signal, time; signal.signal(2, signal.default_int_handler); os.kill(os.getpid(), 2)"
    (tmp_path / "transformers.py").write_text(f"{interrupt}; time.sleep(9)")
    (tmp_path / "a.wav").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    command = [sys.executable, *program(package), "predict", str(tmp_path / "a.wav")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_names_of_the_package():
    assert set(speech_affect.__all__) <= set(dir(speech_affect))
    assert all(hasattr(speech_affect, name) for name in speech_affect.__all__)
    with pytest.raises(AttributeError, match="^module 'speech_affect' has no attribute 'AffectTeacher'$"):
        speech_affect.AffectTeacher  # noqa: B018


def test_commands_of_training_are_listed_without_its_packages():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRAINING], capture_output=True, text=True)
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("    ")]
    assert {"predict", "evaluate", "adapt"} <= {line[0] for line in lines} and all(line[1] for line in lines)
    assert done.stderr == ""


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_commands_options_and_choices(tmp_path):
    with open(tmp_path / "script", "w") as file, contextlib.redirect_stdout(file):
        assert main(["complete", "bash"]) == 0
    complete = (
        f"source {tmp_path / 'script'}; cd {tmp_path}; COMP_CWORD=$#; COMP_WORDS=(speech-affect $@); "
        'COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; _shtab_speech_affect; echo ${COMPREPLY[@]}'
    )
    for words, expected in (
        ("pre", "predict"),
        ("predict --res", "--resume"),
        ("predict --scale u", "unit"),
        ("predict scr", "script"),
        ("plot --model scr", "script"),
    ):
        done = subprocess.run(["bash", "-c", complete, "bash", *words.split()], capture_output=True, text=True)
        assert done.stdout.split() == [expected], (words, done)


@pytest.mark.parametrize("name", ["adapt", "complete", "evaluate", "export", "plot", "predict", "serve"])
def test_every_command_has_a_description_and_examples(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([name, "--help"])
    usage, description, *_, examples = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: speech-affect {name} ")
    assert description.endswith(".") and max(map(len, description.splitlines())) < 80
    title, *lines = examples.strip().splitlines()
    assert title.startswith("example") and lines and all(f"speech-affect {name}" in line for line in lines)
