"""A function that answers messages in a process of its own, which may die of any of them."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress


class ChildEnded(RuntimeError):
    """The process ended before it answered.

    Args:
        status: its exit status, negative for the number of a signal.
    """

    def __init__(self, status: int):
        super().__init__(f"the process {describe_status(status)}; see its messages above")
        self.status = status


def describe_status(status: int) -> str:
    """An exit status in words."""
    return f"ended with status {status}" if status >= 0 else f"died of {signal.Signals(-status).name}"


class ChildProcess:
    """A process that prepares a function and then answers one message at a time.

    Args:
        prepare: a module-level function, called in the process as `prepare(*arguments)`; returns the function that
            answers a message. What it answers first, to no message, is `None`: it is ready.
        arguments: of `prepare`, picklable.
    """

    def __init__(self, prepare: Callable[..., Callable], *arguments):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.pid = self._process.pid

    def send(self, message) -> None:
        """Give it a message; [`ChildProcess.receive`] raises if it has ended."""
        with suppress(BrokenPipeError):
            self._pipe.send(message)

    def receive(self, timeout_s: float | None = None):
        """Wait for an answer.

        Raises:
            ChildEnded: the process has died.
            RuntimeError: no answer in time, or the function raised; the message holds its traceback.
        """
        try:
            if not self._pipe.poll(timeout_s):
                raise RuntimeError(f"no answer from a process in {timeout_s:g} s")
            problem, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise ChildEnded(self._process.exitcode) from None
        if problem:
            raise RuntimeError(f"a process failed: {problem}")
        return answer

    def ask(self, message):
        """Send a message and wait for its answer."""
        self.send(message)
        return self.receive()

    def close(self) -> None:
        """End the process, by force if it does not end by itself."""
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _serve(pipe, prepare: Callable, arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent
    try:
        answer = prepare(*arguments)
        pipe.send((None, None))
        while True:
            pipe.send((None, answer(pipe.recv())))
    except (EOFError, BrokenPipeError):
        pass  # no more messages
    except Exception:
        with suppress(OSError):
            pipe.send((traceback.format_exc(), None))
    sys.stdout.flush()
