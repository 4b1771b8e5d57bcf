"""Build `speech-affect-onnx`: its package takes copies of those modules of modeling/ that run without torch."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist


HERE = Path(__file__).resolve().parent
CLI = (
    *("__init__", "complete", "estimators", "figure", "formats", "main", "plot", "predict", "recordings"),
    "unfinished",
)
COPIED = (
    "LICENSE",
    "__main__.py",
    "affect_result.py",
    "audio.py",
    "audio_file.py",
    "audio_pieces.py",
    *(f"cli/{name}.py" for name in CLI),
    "resampling.py",
    "speech_activity.py",
    "onnx/__init__.py",
    "onnx/metadata.py",
    "onnx/runtime.py",
    "onnx/session.py",
)


def copy_files(folder: Path) -> None:
    """Copy from modeling/ and the root, or, in a source distribution, from beside this file."""
    for name in COPIED:
        source = next(place / name for place in (HERE, *HERE.parents[:2]) if (place / name).is_file())
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, folder / name)


class BuildModules(build_py):
    """Copies into the package, unless it is installed editable."""

    def run(self):
        super().run()
        if not self.editable_mode:
            copy_files(Path(self.build_lib, "speech_affect_onnx"))


class SourceDistribution(sdist):
    """Copies beside this file."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        copy_files(Path(base_dir))


# script_name: this file is no part of the package in whose folder it lies
setup(script_name="setup.py", cmdclass={"build_py": BuildModules, "sdist": SourceDistribution})
