"""What is put under load: a process with a model, and a page that is served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .mixture import make_mixture
from .process_watch import ProcessWatch
from .steady_load import REQUEST_S, SteadyLoad
from .supervisor import ENVIRONMENT, FOLDER


WORKER = "robustness.long_worker"


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Processes that begin here keep their temporary files in this folder, and use one core."""
    folder.mkdir(parents=True)
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, TMPDIR=str(folder))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def pipeline_load(model: Path, seed: int, folder: Path, ways: tuple[str, ...]) -> Iterator[SteadyLoad]:
    """
    The pipeline, streams and the ONNX file in one process.

    Args:
        model: folder of a model, its extractor and `model.onnx`.
        seed: of the mixture and its order.
        folder: for files, empty.
        ways: that are asked.
    """
    temporary = folder / "temporary"
    command = [sys.executable, "-m", WORKER, str(model), str(seed), str(folder / "asked"), ",".join(ways)]
    with temporary_files_in(temporary):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path])}
        # in a session of its own: an interrupt is for the one that asks
        worker = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,
        )

    def told() -> dict:
        line = worker.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with status {worker.wait()}; see its messages above")
        return json.loads(line)

    def ask(number: int) -> tuple[str, str]:
        with suppress(BrokenPipeError):  # it has ended, which is told below
            worker.stdin.write(f"{number}\n")
            worker.stdin.flush()
        answer = told()
        return answer["outcome"], answer["message"]

    try:
        told()
        requests = make_mixture(seed, folder / "mixture", ways)
        yield SteadyLoad("pipeline", requests, ask, ProcessWatch(worker.pid, temporary), seed)
    finally:
        worker.kill()
        worker.wait()
        with suppress(BrokenPipeError):  # of a request that it could no longer take
            worker.stdin.close()
        worker.stdout.close()


@contextmanager
def space_load(model: Path, seed: int, folder: Path) -> Iterator[SteadyLoad]:
    """
    `python space/app.py`, asked by `/predict`.

    Args:
        model: folder of a model and its extractor.
        seed: of the mixture and its order.
        folder: for files, empty.
    """
    sys.path.append(str(FOLDER / "space"))
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError
    from space_server import served
    from transformers import AutoConfig

    from .answers import Answer, Judge
    from .verdict import REFUSED, check_result

    label_range = AutoConfig.from_pretrained(model).label_range
    requests = make_mixture(seed, folder / "mixture", ("space",))
    with (
        temporary_files_in(folder / "temporary"),
        served(model, folder) as (address, process, _),
    ):
        client = Client(address, verbose=False, httpx_kwargs={"timeout": REQUEST_S})

        def ask(request) -> Answer:
            try:
                told = client.predict(handle_file(request.case.make()), **request.case.options, api_name="/predict")
            except AppError as error:
                return Answer(REFUSED, str(error))
            scale = request.case.options.get("scale", "label")
            span = {"label": label_range, "unit": (0, 1), "signed": (-1, 1)}[scale]
            check_result(told["windows"], span)
            return Answer(check_result(told["estimate"], span), told)

        judge = Judge(ask)
        watch = ProcessWatch(process.pid, folder)
        yield SteadyLoad("space", requests, lambda number: judge.judge(number, requests[number]), watch, seed)
