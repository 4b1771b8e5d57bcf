"""`speech-affect-onnx` by itself: what its wheel holds, what it installs, how much that is, and that it runs."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from speech_affect import AffectStudentConfig, AffectStudentModel, released
from speech_affect.onnx import OnnxAffect
from speech_affect.onnx.export import export_onnx

from ..conftest import talk


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[3]
PROJECTS = {
    name: tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))
    for name, folder in (("whole", "."), ("light", "modeling/speech_affect_onnx"))
}
REQUIREMENTS = [Requirement(each) for each in PROJECTS["light"]["project"]["dependencies"]]
MOST_BYTES = 150e6
BUILD = "import sys; from setuptools import build_meta; [getattr(build_meta, f'build_{k}')(k) for k in sys.argv[1:]]"
RUN = """
import json, sys
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
model, clip, *sys.path[:0] = sys.argv[1:]
from speech_affect_onnx import OnnxAffect
absent = [name for name in ("torch", "transformers", "speech_affect", "onnx") if find_spec(name) is None]
estimate = OnnxAffect(model)
with ProcessPoolExecutor(1, get_context("spawn")) as pool:
    print(json.dumps([absent, estimate(clip), pool.submit(estimate, clip).result()]))
"""


PREDICT = """
import sys
sys.path[:0] = sys.argv[1:3]
from speech_affect_onnx.cli.main import main
sys.exit(main(sys.argv[3:]))
"""


def build(project: Path, *kinds: str) -> list[Path]:
    """A wheel, a source distribution or both, by the backend that pip calls."""
    subprocess.run([sys.executable, "-c", BUILD, *kinds], cwd=project, check=True)
    return [next((project / kind).iterdir()) for kind in kinds]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    """That of a checkout, and that of its source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("distribution")
    shutil.copytree(ROOT / "modeling", folder / "modeling", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "LICENSE", folder)
    project = folder / "modeling" / "speech_affect_onnx"
    wheel, source = build(project, "wheel", "sdist")
    shutil.unpack_archive(source, folder / "source")
    [again] = build(next((folder / "source").iterdir()), "wheel")
    unpacked = [folder / "first", folder / "second"]
    for built, target in zip((wheel, again), unpacked, strict=True):
        zipfile.ZipFile(built).extractall(target)
    return unpacked


def installed(requirements: list[Requirement]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions that pip installs for these requirements, as they are here."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found[name] = importlib.metadata.distribution(name)
        waiting += map(Requirement, found[name].requires or ())
    return found


def test_the_wheel_holds_the_modules_and_nothing_else(wheels):
    contents = [
        {str(path.relative_to(wheel)): path.read_bytes() for path in wheel.rglob("speech_affect_onnx/**/*.*")}
        for wheel in wheels
    ]
    assert contents[0] == contents[1]
    for name, content in contents[0].items():
        part = name.removeprefix("speech_affect_onnx/")
        original = ROOT / "modeling" / (name if part == "__init__.py" else part)
        assert original.read_bytes() == content, name
    assert {"speech_affect_onnx/__init__.py", "speech_affect_onnx/onnx/runtime.py"} <= set(contents[0])
    assert "speech_affect_onnx/setup.py" not in contents[0]
    for wheel in wheels:
        assert (wheel / "speech_affect_onnx/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_it_runs_and_is_pickled_where_nothing_else_is_installed(wheels, tmp_path):
    for distribution in installed(REQUIREMENTS).values():
        for name in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            (tmp_path / "site" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "site" / name).symlink_to(distribution.locate_file(name))
    model = export_onnx(AffectStudentModel(AffectStudentConfig()).eval(), tmp_path / "model.onnx")
    soundfile.write(tmp_path / "talk.flac", np.stack([talk(1.3, 44100)] * 2, axis=1), 44100)
    arguments = [str(model), str(tmp_path / "talk.flac")]
    # -I, -S: without PYTHONPATH and site-packages
    command = [sys.executable, "-I", "-S", "-c", RUN, *arguments, str(wheels[0]), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    absent, values, of_other_process = json.loads(done.stdout)
    assert absent == ["torch", "transformers", "speech_affect", "onnx"]
    assert values == of_other_process == OnnxAffect(arguments[0])(arguments[1])
    command = [sys.executable, "-I", "-S", "-c", PREDICT, str(wheels[0]), str(tmp_path / "site"), "predict"]
    done = subprocess.run([*command, arguments[1], "--model", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    header, row = done.stdout.splitlines()
    assert header == "file,activation,valence,dominance,speech_ratio,error"
    assert row == f"{arguments[1]},{','.join(str(round(value, 4)) for value in values.values())},"
    done = subprocess.run([*command, arguments[1]], capture_output=True, text=True)
    assert done.stderr.startswith("error: without torch there is no model to begin with") and done.returncode == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there onnxruntime still needs sympy")
def test_what_it_installs_is_small():
    for requirement in REQUIREMENTS:
        version = importlib.metadata.version(requirement.name)
        if version not in requirement.specifier:
            pytest.skip(f"{requirement.name} {version} is installed, and pip would install {requirement.specifier}")
    distributions = installed(REQUIREMENTS)
    assert {"numpy", "onnxruntime", "soundfile", "cffi", "tqdm"} <= set(distributions)
    assert not {"torch", "transformers", "sympy", "huggingface-hub", "onnx", "speech-affect"} & set(distributions)
    files = [file.locate() for distribution in distributions.values() for file in distribution.files]
    assert 50e6 < sum(path.stat().st_size for path in files if path.is_file()) < MOST_BYTES


def test_both_distributions_go_together():
    whole, light = PROJECTS["whole"], PROJECTS["light"]
    assert not {name.split(".")[0] for name in whole["tool"]["setuptools"]["packages"]} & set(
        light["tool"]["setuptools"]["packages"]
    )
    same = ("version", "requires-python")
    assert [whole["project"][name] for name in same] == [light["project"][name] for name in same]
    # without the weights in model_cards
    assert whole["project"]["license"].split(" AND ") == [light["project"]["license"], "CC-BY-NC-SA-4.0"]
    [exporting] = [
        Requirement(each) for each in whole["project"]["optional-dependencies"]["onnx"] if "runtime" in each
    ]
    assert {str(exporting.specifier)} <= {str(each) for each in REQUIREMENTS[0].specifier}


def test_the_command_of_either_runs_all_commands_where_both_are_installed(capsys):
    from speech_affect_onnx.cli.estimators import chosen_model
    from speech_affect_onnx.cli.main import main

    assert list(PROJECTS["whole"]["project"]["scripts"]) == list(PROJECTS["light"]["project"]["scripts"])
    assert main(["export", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("error: 'nowhere' is no folder")
    assert chosen_model("student") == str(released("student"))
