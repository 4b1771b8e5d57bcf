"""One target under load: its requests, one after the other, what came of them, and what its process holds."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np

from .growth import ALLOWED, growth_of
from .mixture import Request, draw
from .process_watch import ProcessWatch
from .verdict import FAILED, OUTCOMES


REQUEST_S = 120.0  # that one may take, also on a machine that has other work
MOST_FAILURES = 20  # after which a target is asked no more


class SteadyLoad:
    """
    Asks in a thread of its own until it is told to stop.

    Args:
        name: of the target.
        requests: of a mixture.
        ask: sends a request by its number: (outcome, message). It may raise, which is a failure and ends the load.
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
        """Begin to ask."""
        self._start_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Ask no more, and wait for the last answer; what fails from here on is no failure."""
        self._stop.set()
        self._thread.join(REQUEST_S)

    def is_working(self) -> bool:
        """Whether it still asks; a request that takes too long ends the load as a failure."""
        asked_s = self._asked_s
        if asked_s is not None and time.monotonic() - asked_s > REQUEST_S:
            self._fail(f"no answer within {REQUEST_S:g} s")
            self._stop.set()
        return self._thread.is_alive() and not self._stop.is_set()

    def sample(self) -> None:
        """Note what the process holds now."""
        try:
            held = self._watch.sample()
        except OSError:  # it has ended, which the request in flight tells
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
        """All that is known of it, as JSON has it; growth beyond what is allowed is among the failures."""
        requests = [sample["requests"] for sample in self._samples]
        growths = {name: growth_of(requests, [each[name] for each in self._samples], name) for name in ALLOWED}
        grown = [
            f"{name} grows by {growth.per_1000:.3g} per 1000 requests, {growth.rise:.3g} in {growth.requests}"
            for name, growth in growths.items()
            if growth is not None and growth.leaks
        ]
        outcomes = {kind: {name: counted[name] for name in OUTCOMES} for kind, counted in self._outcomes.items()}
        return {
            "requests": self.answered,
            "outcomes": outcomes,
            "mean_s": {kind: total / sum(outcomes[kind].values()) for kind, total in self._seconds.items()},
            "growth": {name: growth and growth.as_dict() for name, growth in growths.items()},
            "failures": [*self.failures, *grown],
            "samples": self._samples,
        }
