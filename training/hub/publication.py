"""What a run pushes to the Hub while it goes on: the folder of each system, as soon as all its seeds are finished."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from accelerate import PartialState
from huggingface_hub import get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy

from ..jobs.job import Job
from .errors import NO_TOKEN


logger = logging.getLogger(__name__)

PUBLISH = Path(__file__).resolve().parents[1] / "publish.py"

# a push that takes longer than this, and a second per so many bytes, is given up
PATIENCE_S = 300.0
SLOWEST_BYTES_PER_S = 250_000


class Publication:
    """
    Pushes folders one after the other, each by `publish.py` in a process of its own: training does not wait, and
    nothing that goes wrong there reaches it. Does nothing without `--push_to_hub`, and in all but the main process.

    Args:
        training: its `push_to_hub`, `hub_model_id`, `hub_private_repo`, `hub_token`, `hub_revision`, `hub_strategy`.
        systems: names of those that may be pushed.

    Raises:
        ValueError: a repository cannot have the name that a system's would have, or `hub_strategy` is of Trainer's
            own checkpoints.
    """

    def __init__(self, training: TrainingArguments, systems: Iterable[str]):
        self.enabled = training.push_to_hub and PartialState().is_main_process
        self.training = training
        self.pushes = ThreadPoolExecutor(1)
        if not training.push_to_hub:
            return
        if training.hub_strategy not in (HubStrategy.EVERY_SAVE, HubStrategy.END):
            raise ValueError(
                f"hub_strategy is {training.hub_strategy.value}; give every_save (a system when it is finished) or end"
            )
        for name in systems:
            try:
                validate_repo_id(self.repo_id(name))
            except HFValidationError as error:
                raise ValueError(
                    f"no repository can be {self.repo_id(name)!r}; give --hub_model_id: {error}"
                ) from error
        if self.enabled and not (training.hub_token or get_token()):
            logger.warning("--push_to_hub will push nothing: %s", NO_TOKEN)

    def repo_id(self, system: str) -> str:
        """`<hub_model_id>-<system>`; without that setting one's own repository, named after the run's folder."""
        return f"{self.training.hub_model_id or Path(self.training.output_dir).resolve().name}-{system}"

    def after_job(self, systems: dict[str, list[Job]], write: Callable[[list[Job]], Path]) -> Callable[[Job], None]:
        """
        What to do when a job is finished.

        Args:
            systems: those that are pushed, each with its jobs.
            write: makes and verifies the folder of a system out of its jobs.
        """

        def finished(job: Job) -> None:
            jobs = systems.get(job.spec.name, [])
            early = self.enabled and self.training.hub_strategy == HubStrategy.EVERY_SAVE
            if not early or not any(job is one for one in jobs):
                return
            if any(one.result() is None or one.unpredicted() for one in jobs):
                return
            try:
                self.push(job.spec.name, write(jobs))
            except (OSError, RuntimeError, ValueError) as error:  # the end of the run writes it again, and says so
                logger.warning("%s is not pushed yet: %s", job.spec.name, error)

        return finished

    def push(self, system: str, folder: Path) -> None:
        """Push a system's folder, unless it is as it was last pushed; returns at once."""
        if self.enabled:
            self.pushes.submit(self._push, system, folder)

    def wait(self) -> None:
        """Until all pushes have ended, one way or the other."""
        self.pushes.shutdown()

    def _push(self, system: str, folder: Path) -> None:
        command = [sys.executable, str(PUBLISH), str(folder), "--repo_id", self.repo_id(system)]
        command += ["--public"] if self.training.hub_private_repo is False else []
        command += ["--revision", self.training.hub_revision] if self.training.hub_revision else []
        token = {"HF_TOKEN": self.training.hub_token} if self.training.hub_token else {}
        said = _run([*command, "--if_changed"], {**os.environ, **token}, _limit_s(folder))
        if said.startswith("error: "):
            again = shlex.join(["python", os.path.relpath(PUBLISH), *command[2:]])
            logger.warning("%s; all of it is in %s; to push it again: %s", said.removeprefix("error: "), folder, again)
        else:
            logger.info("%s", said)


def _limit_s(folder: Path) -> float:
    return PATIENCE_S + sum(path.stat().st_size for path in folder.iterdir()) / SLOWEST_BYTES_PER_S


def _run(command: list[str], environment: dict[str, str], limit_s: float) -> str:
    """The last line of what the command says, which begins with `error: ` where it failed."""
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", env=environment, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return f"error: pushing to {command[4]} failed: it took more than {limit_s:.0f} s and was given up"
    except OSError as error:
        return f"error: pushing to {command[4]} failed: {error}"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    last = lines[-1] if lines else f"publish.py ended with status {done.returncode}"
    return last if done.returncode == 0 or last.startswith("error: ") else f"error: {last}"
