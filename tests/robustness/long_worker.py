"""Answers requests of a long run, and checks that each is answered or refused as required, the same every time."""

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import AutoModel, pipeline
from transformers.utils.logging import disable_progress_bar

from speech_affect import AffectStream

from .case import Case
from .mixture import Request, make_mixture
from .verdict import FAILED, REFUSED, VALUES, Fault, check_error, check_output, check_result, require


@dataclass
class Answer:
    """What a target returned."""

    outcome: str
    content: object


class Judge:
    """Sends requests, and compares each answer with the first one to the same request."""

    def __init__(self, ask: Callable[[Request], Answer]):
        self._ask = ask
        self._first: dict[int, Answer] = {}

    def judge(self, number: int, request: Request) -> tuple[str, str]:
        """The outcome of a request, and a message if it failed."""
        try:
            answer = self._ask(request)
            first = self._first.setdefault(number, answer)
            required = "refused" if request.refused else "answered"
            require((answer.outcome == REFUSED) == request.refused, f"must be {required}, but: {answer.content}")
            require(answer == first, f"first {first.content}, now {answer.content}")
        except Fault as fault:
            return FAILED, f"{request.kind}, {request.case.what}: {fault}"
        return answer.outcome, ""


class InProcess:
    """The pipeline, the stream and the ONNX file, loaded."""

    def __init__(self, folder: Path, ways: tuple[str, ...]):
        warnings.filterwarnings("ignore", message="no sound stands out")
        disable_progress_bar()
        self._model = AutoModel.from_pretrained(folder).eval()
        self._label_range = self._model.config.label_range
        self._pipeline = pipeline("speech-emotion-regression", model=str(folder), device="cpu")
        if "onnx" in ways:
            from speech_affect.onnx.runtime import OnnxAffect

            self._onnx = OnnxAffect(folder / "model.onnx")

    def ask(self, request: Request) -> Answer:
        """Numbers or a message of the package's own; raises a [`Fault`] for anything else."""
        case = request.case
        try:
            if request.way == "stream":
                return self._ask_stream(case)
            estimate = self._onnx if request.way == "onnx" else self._pipeline
            rates = {} if case.sampling_rate is None else {"sampling_rate": case.sampling_rate}
            result = estimate(case.make(), **rates, **case.options)
            result = list(result) if isinstance(result, Iterator) else result
            return Answer(check_result(result, self._label_range), result)
        except Fault:
            raise
        except Exception as error:
            return Answer(check_error(error), str(error))

    def _ask_stream(self, case) -> Answer:
        stream, logits = AffectStream(self._model, sampling_rate=case.sampling_rate), []
        for piece in case.make():
            logits += [point.logits.tolist() for point in stream.push(piece).points]
        output = stream.finish()
        check_output(output, self._label_range)
        return Answer(VALUES, [*logits, output.logits.tolist()])


def prepare_target(load: Callable, model: Path, seed: int, folder: Path, ways: tuple[str, ...]) -> Callable:
    """Load what answers requests and return what judges them by number: `(outcome, message)`; for [`ChildProcess`].

    To None the answer is the requests, without their clips.

    Args:
        load: `InProcess`, or what a test has instead.
        model: folder of the model.
        seed: of the mixture.
        folder: for the mixture's files; temporary files go to `folder/temporary`.
        ways: of the mixture.
    """
    sys.stdout = sys.stderr
    tempfile.tempdir = str(folder / "temporary")
    requests = make_mixture(seed, folder / "asked", ways)
    judge = Judge(load(model, ways).ask)
    described = [replace(request, case=Case(request.case.what, None)) for request in requests]
    return lambda number: described if number is None else judge.judge(number, requests[number])
