"""A target under load: a process with a model or a served page, its requests, and what the process holds."""

import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from child_process import ChildProcess

from .held import ALLOWED, ProcessWatch, growth_of
from .mixture import Request, draw, make_mixture
from .supervisor import environment
from .verdict import FAILED, OUTCOMES


REQUEST_S = 120.0  # limit of a request, on a machine that may have other work
MOST_FAILURES = 20  # after which a target gets no more requests


class SteadyLoad:
    """Sends requests in a thread of its own until it is stopped.

    Args:
        name: of the target.
        requests: of a mixture.
        ask: sends a request by its number; returns (outcome, message). An exception is a failure and ends the load.
        watch: of the target's process.
        seed: of the order.
    """

    def __init__(
        self,
        name: str,
        requests: list[Request],
        ask: Callable[[int], tuple[str, str]],
        watch: ProcessWatch,
        seed: int,
    ):
        self.name, self.failures, self.answered = name, [], 0
        self._requests, self._ask, self._watch, self._seed = requests, ask, watch, seed
        self._outcomes: dict[str, Counter] = defaultdict(Counter)
        self._seconds: dict[str, float] = defaultdict(float)
        self._samples: list[dict[str, float]] = []
        self._asked_s: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._start_s = time.monotonic()

    def start(self) -> None:
        """Begin to send requests."""
        self._start_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Wait for the last answer; errors from here on are no failures."""
        self._stop.set()
        self._thread.join(REQUEST_S)

    def is_working(self) -> bool:
        """Whether it still sends requests; one that takes too long ends the load as a failure."""
        asked_s = self._asked_s
        if asked_s is not None and time.monotonic() - asked_s > REQUEST_S:
            self._fail(f"no answer within {REQUEST_S:g} s")
            self._stop.set()
        return self._thread.is_alive() and not self._stop.is_set()

    def sample(self) -> None:
        """Note what the process holds now."""
        try:
            held = self._watch.sample()
        except OSError:  # it has ended, and the request in flight fails
            return
        now_s = round(time.monotonic() - self._start_s, 2)
        self._samples.append({"seconds": now_s, "requests": self.answered, **held})

    def _work(self) -> None:
        for number in draw(np.random.default_rng((self._seed, 1)), self._requests):
            if self._stop.is_set() or len(self.failures) >= MOST_FAILURES:
                return
            kind, self._asked_s = self._requests[number].kind, time.monotonic()
            try:
                outcome, message = self._ask(number)
            except Exception as error:
                self._fail(f"{kind}, {self._requests[number].case.what}: {type(error).__name__}: {error}")
                return
            self._seconds[kind] += time.monotonic() - self._asked_s
            self._asked_s = None
            self._outcomes[kind][outcome] += 1
            self.answered += 1
            if outcome == FAILED:
                self._fail(message)

    def _fail(self, message: str) -> None:
        if not self._stop.is_set():
            self.failures.append(message)

    def result(self) -> dict:
        """The JSON of this target; growth beyond what is allowed is among the failures."""
        requests = [sample["requests"] for sample in self._samples]
        growths = {name: growth_of(requests, [each[name] for each in self._samples], name) for name in ALLOWED}
        grown = [
            f"{name} grows by {growth['per_1000']:.3g} per 1000 requests, {growth['rise']:.3g} in {growth['requests']}"
            for name, growth in growths.items()
            if growth is not None and growth["leaks"]
        ]
        outcomes = {kind: {name: counted[name] for name in OUTCOMES} for kind, counted in self._outcomes.items()}
        return {
            "requests": self.answered,
            "outcomes": outcomes,
            "mean_s": {kind: total / sum(outcomes[kind].values()) for kind, total in self._seconds.items()},
            "growth": growths,
            "failures": [*self.failures, *grown],
            "samples": self._samples,
        }


def load_in_process(model: Path, ways: tuple[str, ...]):
    """What answers requests in the child process; a test gives [`pipeline_load`] something else."""
    from .long_worker import InProcess

    return InProcess(model, ways)


@contextmanager
def pipeline_load(
    model: Path, seed: int, folder: Path, ways: tuple[str, ...], load: Callable = load_in_process
) -> Iterator[SteadyLoad]:
    """The pipeline, streams and the ONNX file in one process."""
    from .long_worker import prepare_target

    (folder / "temporary").mkdir(parents=True)
    with environment(), ChildProcess(prepare_target, load, model, seed, folder, ways) as child:
        child.receive()
        requests = child.ask(None)
        yield SteadyLoad("pipeline", requests, child.ask, ProcessWatch(child.pid, folder / "temporary"), seed)


@contextmanager
def space_load(model: Path, seed: int, folder: Path) -> Iterator[SteadyLoad]:
    """The page of `python space/app.py`, asked through `/predict`."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "space"))
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError
    from space_server import served
    from transformers import AutoConfig

    from .long_worker import Answer, Judge
    from .verdict import REFUSED, check_result

    label_range = AutoConfig.from_pretrained(model).label_range
    requests, temporary = make_mixture(seed, folder / "mixture", ("space",)), folder / "temporary"
    temporary.mkdir()
    with environment(TMPDIR=str(temporary)), served(model, folder) as (address, process, _):
        client = Client(address, verbose=False, httpx_kwargs={"timeout": REQUEST_S})

        def ask(request) -> Answer:
            try:
                result = client.predict(handle_file(request.case.make()), **request.case.options, api_name="/predict")
            except AppError as error:
                return Answer(REFUSED, str(error))
            scale = request.case.options.get("scale", "label")
            span = {"label": label_range, "unit": (0, 1), "signed": (-1, 1)}[scale]
            check_result(result["windows"], span)
            return Answer(check_result(result["estimate"], span), result)

        judge, watch = Judge(ask), ProcessWatch(process.pid, folder)
        yield SteadyLoad("space", requests, lambda number: judge.judge(number, requests[number]), watch, seed)
