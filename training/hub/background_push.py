"""Push each system of a run to the Hub in the background, as soon as all its seeds are finished."""

import logging
import os
import shlex
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from accelerate import PartialState
from huggingface_hub import get_token
from huggingface_hub.errors import HFValidationError
from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy

from ..jobs.job import Job
from .errors import NO_TOKEN
from .push import Target, push_checkpoint


logger = logging.getLogger(__name__)

PUBLISH = Path(__file__).resolve().parents[1] / "publish.py"


class Publication:
    """Push folders one after the other in a thread: training does not wait, and no failure reaches it.

    Does nothing without `--push_to_hub`, and in all but the main process.

    Args:
        training: Its `push_to_hub`, `hub_model_id`, `hub_private_repo`, `hub_token`, `hub_revision`, `hub_strategy`.
        systems: Names of the systems that may be pushed.

    Raises:
        ValueError: The Hub does not allow the name of a system's repository, or `hub_strategy` is one for Trainer's
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
                self.target(name)
            except HFValidationError as error:
                raise ValueError(
                    f"no repository can be {self.repo_id(name)!r}; give --hub_model_id: {error}"
                ) from error
        if self.enabled and not (training.hub_token or get_token()):
            logger.warning("--push_to_hub will push nothing: %s", NO_TOKEN)

    def repo_id(self, system: str) -> str:
        """Return `<hub_model_id>-<system>`; without that setting a repository of your own, named after the run."""
        return f"{self.training.hub_model_id or Path(self.training.output_dir).resolve().name}-{system}"

    def target(self, system: str) -> Target:
        """Return where a system is pushed to."""
        private = self.training.hub_private_repo is not False
        return Target(self.repo_id(system), private, self.training.hub_token, self.training.hub_revision)

    def after_job(self, systems: dict[str, list[Job]], write: Callable[[list[Job]], Path]) -> Callable[[Job], None]:
        """Return a function to call with each finished job: once its system is complete, it is written and pushed."""

        def finished(job: Job) -> None:
            jobs = systems.get(job.spec.name, [])
            early = self.enabled and self.training.hub_strategy == HubStrategy.EVERY_SAVE
            if not early or not any(job is one for one in jobs):
                return
            if any(one.result() is None or one.unpredicted() for one in jobs):
                return
            try:
                self.push(job.spec.name, write(jobs))
            except (OSError, RuntimeError, ValueError) as error:  # the end of the run writes it again and raises it
                logger.warning("%s is not pushed yet: %s", job.spec.name, error)

        return finished

    def push(self, system: str, folder: Path) -> None:
        """Push a system's folder; returns at once."""
        if self.enabled:
            self.pushes.submit(self._push, system, folder)

    def wait(self) -> None:
        """Wait until all pushes have ended, successful or not."""
        self.pushes.shutdown()

    def _push(self, system: str, folder: Path) -> None:
        target = self.target(system)
        try:
            logger.info("%s", push_checkpoint(folder, target).describe(folder))
        except Exception as error:  # whatever happens, the run goes on
            command = ["python", os.path.relpath(PUBLISH), str(folder), "--repo_id", target.repo_id]
            command += [] if target.private else ["--public"]
            command += ["--revision", target.revision] if target.revision else []
            logger.warning("%s; all files are in %s; to push them again: %s", error, folder, shlex.join(command))
