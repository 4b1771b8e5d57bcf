"""Whether a request is answered or refused as it must be, and each time alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoModel, pipeline
from transformers.utils.logging import disable_progress_bar

from speech_affect import AffectStream

from .mixture import Request
from .verdict import FAILED, REFUSED, VALUES, Fault, check_output, check_refusal, check_result, require


@dataclass
class Answer:
    """
    Args:
        outcome: of `OUTCOMES`.
        told: numbers, or the words of a refusal.
    """

    outcome: str
    told: object


class Judge:
    """
    Asks, and compares with what was told the first time.

    Args:
        ask: gives a request's answer, or raises a [`Fault`].
    """

    def __init__(self, ask: Callable[[Request], Answer]):
        self._ask = ask
        self._first: dict[int, Answer] = {}

    def judge(self, number: int, request: Request) -> tuple[str, str]:
        """The outcome of this request and, of one that failed, a message."""
        try:
            answer = self._ask(request)
            first = self._first.setdefault(number, answer)
            refused = "refused" if request.refused else "answered"
            require((answer.outcome == REFUSED) == request.refused, f"must be {refused}, but: {answer.told}")
            require(answer == first, f"first {first.told}, now {answer.told}")
        except Fault as fault:
            return FAILED, f"{request.kind}, {request.case.what}: {fault}"
        return answer.outcome, ""


class InProcess:
    """
    The pipeline, the stream and the ONNX file, loaded.

    Args:
        folder: of a model and its extractor, and `model.onnx` where that is asked.
        ways: that are asked.
    """

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
        """Numbers, or a refusal in words of the package; raises a [`Fault`] for anything else."""
        try:
            return getattr(self, f"_ask_{request.way}")(request.case)
        except Fault:
            raise
        except Exception as error:
            return Answer(check_refusal(error), str(error))

    def _ask_pipeline(self, case) -> Answer:
        return self._result(self._pipeline, case)

    def _ask_onnx(self, case) -> Answer:
        return self._result(self._onnx, case)

    def _result(self, estimate: Callable, case) -> Answer:
        rates = {} if case.sampling_rate is None else {"sampling_rate": case.sampling_rate}
        result = estimate(case.make(), **rates, **case.options)
        result = list(result) if isinstance(result, Iterator) else result
        return Answer(check_result(result, self._label_range), result)

    def _ask_stream(self, case) -> Answer:
        stream, told = AffectStream(self._model, sampling_rate=case.sampling_rate), []
        for piece in case.make():
            told += [point.logits.tolist() for point in stream.push(piece).points]
        output = stream.finish()
        check_output(output, self._label_range)
        return Answer(VALUES, [*told, output.logits.tolist()])
