"""A tiny corpus, encoder and recipe, what an undisturbed run makes of them, and whether another made the same."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from .fault_process import Mark, Run, load_modules


TESTS = Path(__file__).resolve().parents[1]
# weights and what they say: compared to the bit beside results.json
COMPARED = ("jobs/**/predictions_*.csv", "jobs/**/model/model.safetensors", "*/model.safetensors")


def recipe(encoder: Path, settings: dict) -> dict:
    """
    A teacher that stops early, and a student of it on altered copies that saves in the middle of epochs; with dropout
    and masks, so that what is left of a killed training has to hold the random numbers too.
    """
    systems = {name: settings["systems"][name] for name in ("fusion", "student_kd")}
    in_steps = {"eval_strategy": "steps", "save_strategy": "steps", "logging_strategy": "steps"}
    in_steps |= {"eval_steps": 4, "save_steps": 4, "logging_steps": 4}
    systems["fusion"] = {**systems["fusion"], "training": {"learning_rate": 0.1}}
    systems["student_kd"] = {**systems["student_kd"], "augmented": True, "training": in_steps}
    return {
        **settings,
        "encoders": {"whisper": {"id": str(encoder), "pad_to_window": False}},
        "corpus_facts": "msp_podcast",
        "systems": systems,
        "head": {**settings["head"], "mask_time_prob": 0.1, "mask_time_length": 5},
        "augmentation_copies": 1,
        "seeds": [0],
        "num_train_epochs": 4,
        "early_stopping_patience": 1,
        "bootstrap_samples": 20,
    }


@dataclass(frozen=True)
class Workspace:
    """
    Args:
        folder: of all runs.
    """

    folder: Path
    _runs: list[Run] = field(default_factory=list, init=False)

    @classmethod
    def make(cls, folder: Path) -> Workspace:
        """With corpus, encoder and recipe."""
        spec = importlib.util.spec_from_file_location("tiny_parts", TESTS / "conftest.py")
        parts = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(parts)
        for name in ("corpus", "encoder"):
            (folder / name).mkdir(parents=True)
        parts.write_corpus(folder / "corpus")
        parts.write_encoder(folder / "encoder")
        settings = recipe(folder / "encoder", parts.recipe_settings(folder / "encoder"))
        (folder / "tiny.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return cls(folder)

    def run(self, folder: Path, *more: str, cache: Path | None = None, **options) -> Run:
        """Start a run in a folder; `options` are those of [`Run`]."""
        argv = ["--recipe", self.folder / "tiny.yaml", "--data_dir", self.folder / "corpus"]
        argv += ["--output_dir", folder / "out", "--cache_dir", cache or folder / "cache", *more]
        log = self.folder / f"{folder.name}-{len(self._runs)}.log"
        self._runs.append(Run([str(argument) for argument in argv], folder, log, **options))
        return self._runs[-1]

    def end(self) -> None:
        """All runs that still go on."""
        for run in self._runs:
            if run.status is None:
                run.end()

    @cached_property
    def undisturbed(self) -> Path:
        """Folder of a run that nothing happened to."""
        folder = self.folder / "undisturbed"
        run = self.run(folder, journal=self.folder / "journal.json")
        if run.wait() != 0:
            raise RuntimeError(f"the undisturbed run failed: {run.tail()}")
        load_modules(self._journal["modules"])
        return folder

    @cached_property
    def marks(self) -> list[Mark]:
        """Of the undisturbed run."""
        assert self.undisturbed
        return [Mark(*values) for values in self._journal["marks"]]

    @property
    def _journal(self) -> dict:
        return json.loads((self.folder / "journal.json").read_text(encoding="utf-8"))

    def differences(self, folder: Path, ignored: Sequence[str] = ()) -> str:
        """
        What a run's results have that the undisturbed run's have not, or the other way round.

        Args:
            folder: of the run.
            ignored: settings of `environment` in which the run was to differ.

        Returns:
            nothing where they are the same.
        """
        out, expected = folder / "out", self.undisturbed / "out"
        found = []
        if _results(out, ignored) != _results(expected, ignored):
            found.append("results.json")
        for pattern in COMPARED:
            names = {path.relative_to(base) for base in (out, expected) for path in base.glob(pattern)}
            found += [str(name) for name in sorted(names) if _content(out / name) != _content(expected / name)]
        return ", ".join(found)

    def copy_of_undisturbed(self, folder: Path, *parts: str) -> Path:
        """A folder that begins with these parts (`cache`, `out`) of the undisturbed run."""
        for part in parts:
            shutil.copytree(self.undisturbed / part, folder / part)
        return folder


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _results(out: Path, ignored: Sequence[str]) -> dict:
    """results.json but for durations and the code's git commit, which may be made meanwhile."""
    if not (out / "results.json").is_file():
        return {}
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    for system in results["systems"]:
        del system["training_seconds"]
    for name in ("git_commit", *ignored):
        del results["environment"][name]
    return results


def finished(out: Path) -> dict[str, int]:
    """
    What is finished in a run's folder: jobs, predictions of splits, systems.

    Returns:
        per file that says so when it was last written, in nanoseconds.
    """
    files = [path for path in out.glob("jobs/**/job.json") if _is_json(path)]
    for noted in out.glob("jobs/**/predicted.json"):
        files += [noted.with_name(f"predictions_{split}.csv") for split in json.loads(noted.read_text())]
    files += out.glob("[!.]*/run.json")
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in files}


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def done_again(out: Path, before: dict[str, int]) -> list[str]:
    """Of what was finished, what a later run has made anew."""
    after = finished(out)
    return [name for name, written in before.items() if after.get(name) != written]
