"""Run jobs side by side: one process per core, each with one thread, and each job after those it needs."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process

import torch
from accelerate import PartialState
from tqdm.auto import tqdm
from transformers.utils import logging as transformers_logging

from ..settings import cores
from .job import Job
from .train_job import run_job


logger = logging.getLogger(__name__)


def default_workers() -> int:
    """Return one worker per core on a CPU, where small heads gain nothing from a second thread; else 1."""
    state = PartialState()
    return cores.available_cores() if state.num_processes == 1 and state.device.type == "cpu" else 1


def run_jobs(
    jobs: Sequence[Job], batch_size: int, workers: int, on_finished: Callable[[Job], None] | None = None
) -> None:
    """Finish all jobs. The result of each does not depend on the number of workers, if there is more than one.

    Args:
        jobs: Jobs, each after those it needs.
        batch_size: Clips per batch in prediction.
        workers: Processes at a time; 1 runs the jobs in this process.
        on_finished: Called in this process with each job that has been run, before the next begins.

    Raises:
        ValueError: Several workers are requested in a group of processes.
        RuntimeError: A job that another needs is neither finished nor among the jobs.
        ChildProcessError: A worker died.
        Exception: Any error of a job, after which no other job begins.
    """
    processes = PartialState().num_processes
    if workers > 1 and processes > 1:
        raise ValueError(f"job_workers is {workers} in a group of {processes} processes; give 1")
    if not jobs:
        return
    waiting = [job for job in jobs if job.result() is None or job.unpredicted()]
    finished = len(jobs) - len(waiting)
    logger.info("%d of %d jobs are finished from before", finished, len(jobs))
    on_finished = on_finished or (lambda job: None)
    if workers == 1:
        for job in waiting:
            run_job(job, batch_size)
            on_finished(job)
        return
    silent = any(job.arguments.disable_tqdm for job in jobs)
    bar = tqdm(total=len(jobs), initial=finished, desc="jobs", unit="job", disable=silent)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start)
    running = {}
    try:
        while waiting or running:
            for job in [job for job in waiting if all(needed.result() for needed in job.needed)]:
                if len(running) < workers:
                    waiting.remove(job)
                    running[pool.submit(_run, job, batch_size)] = job
            if not running:
                raise RuntimeError(f"{waiting[0].label} waits for a job that is not among those to run")
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                ccc, job = future.result()["development"]["ccc_mean"], running.pop(future)
                bar.set_postfix_str(f"{job.label} {ccc:.3f}")
                bar.update()
                on_finished(job)
    except BrokenProcessPool:
        labels = ", ".join(job.label for job in running.values())
        raise ChildProcessError(
            f"a process died that was training one of: {labels} (killed, often for want of memory); start the run "
            f"again: it goes on where it was; with fewer than {workers} --job_workers it takes less memory"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
        bar.close()


def _run(job: Job, batch_size: int) -> dict:
    job.arguments.disable_tqdm = True  # the bar of all jobs is enough
    return run_job(job, batch_size)


def _start() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _end_with_parent() -> None:
    """End with the run: no worker of a killed run goes on training, and the next run may begin at once."""
    parent_process().join()
    os._exit(1)
