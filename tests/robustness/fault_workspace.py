"""A tiny corpus, encoder and recipe, an undisturbed run of them, and whether another run gives the same results."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from .fault_run import Mark, Run, Watch, load_modules


TESTS = Path(__file__).resolve().parents[1]
# compared byte by byte, beside results.json
COMPARED = ("jobs/**/predictions_*.csv", "jobs/**/model/model.safetensors", "*/model.safetensors")


@dataclass(frozen=True)
class Verdict:
    """What came of a fault.

    Args:
        fault: its kind.
        point: where it struck.
        refusal: the one line by which a run refused to go on.
        failure: what went wrong; None if the last run ended as the undisturbed one.
    """

    fault: str
    point: str
    refusal: str | None = None
    failure: str | None = None


def recipe(encoder: Path, settings: dict) -> dict:
    """A teacher that stops early, and a student on augmented copies that saves in the middle of epochs.

    Dropout and masks make results depend on random states, which a resumed training has to restore.
    """
    systems = {name: settings["systems"][name] for name in ("fusion", "student_kd")}
    in_steps = {f"{name}_strategy": "steps" for name in ("eval", "save", "logging")}
    in_steps |= {f"{name}_steps": 4 for name in ("eval", "save", "logging")}
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
    """All runs and their parts."""

    folder: Path
    _runs: list[Run] = field(default_factory=list, init=False)

    @classmethod
    def make(cls, folder: Path) -> Workspace:
        """Write corpus, encoder and recipe."""
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
        """Kill the runs that still go on."""
        for run in self._runs:
            if run.status is None:
                run.end()

    @cached_property
    def undisturbed(self) -> Path:
        """Folder of the undisturbed run."""
        folder = self.folder / "undisturbed"
        run = self.run(folder, watch=Watch(journal=self.folder / "journal.json"))
        if run.wait() != 0:
            raise RuntimeError(f"the undisturbed run failed: {run.tail()}")
        load_modules(self._journal["modules"])
        return folder

    @cached_property
    def marks(self) -> list[Mark]:
        """Marks of the undisturbed run."""
        assert self.undisturbed
        return [Mark(*values) for values in self._journal["marks"]]

    @property
    def _journal(self) -> dict:
        return json.loads((self.folder / "journal.json").read_text(encoding="utf-8"))

    def differences(self, folder: Path) -> str:
        """Names of the results in which a run differs from the undisturbed one; empty if there are none."""
        out, expected = folder / "out", self.undisturbed / "out"
        found = ["results.json"] if _results(out) != _results(expected) else []
        for pattern in COMPARED:
            names = {path.relative_to(base) for base in (out, expected) for path in base.glob(pattern)}
            found += [str(name) for name in sorted(names) if _content(out / name) != _content(expected / name)]
        return ", ".join(found)

    def copy_of_undisturbed(self, folder: Path, *parts: str) -> Path:
        """A folder that begins with parts (`cache`, `out`) of the undisturbed run."""
        for part in parts:
            shutil.copytree(self.undisturbed / part, folder / part)
        return folder

    def resume(
        self, fault: str, point: str, folder: Path, before: dict[str, int], refusal: str | None = None, most_errors=0
    ) -> Verdict:
        """Start a run again after a fault, compare it with the undisturbed one, and delete its folder if it is equal.

        Args:
            fault: its kind.
            point: where it struck.
            folder: of the run.
            before: what was finished, see [`finished`].
            refusal: the error by which the run ended at the fault.
            most_errors: how many runs may first refuse to go on, each in one line.
        """
        for left in reversed(range(most_errors + 1)):
            run = self.run(folder)
            if run.wait() == 0:
                break
            error = run.error()
            refusal = refusal or error
            if error is None or not left:
                return Verdict(fault, point, refusal, f"does not go on ({run.status}): {run.tail()}")
        after = finished(folder / "out")
        again = [name for name, written in before.items() if after.get(name) != written]
        if again:
            return Verdict(fault, point, refusal, f"done again: {', '.join(again)}")
        different = self.differences(folder)
        if different:
            return Verdict(fault, point, refusal, f"differs: {different}")
        shutil.rmtree(folder)
        return Verdict(fault, point, refusal)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _results(out: Path) -> dict:
    """results.json without durations, and without the commit of the code, which may change meanwhile."""
    if not (out / "results.json").is_file():
        return {}
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    for system in results["systems"]:
        del system["training_seconds"], system["peak_memory_mb"]
    del results["environment"]["git_commit"]
    return results


def finished(out: Path) -> dict[str, int]:
    """When each file was written that marks a job, its predictions or a system as finished, in nanoseconds."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in _finished_files(out)}


def _finished_files(out: Path) -> Iterator[Path]:
    for path in out.glob("jobs/**/job.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        yield path
    for noted in out.glob("jobs/**/predicted.json"):
        yield from (noted.with_name(f"predictions_{split}.csv") for split in json.loads(noted.read_text()))
    yield from out.glob("[!.]*/run.json")
