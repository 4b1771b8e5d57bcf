"""The estimator of a model: the pipeline, or for an exported file, and where torch is not installed, onnxruntime."""

import os
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import parent_process
from pathlib import Path
from signal import SIG_DFL, SIGINT, signal
from threading import Thread


MODEL_HELP = (
    "folder, Hub id, exported file, or student or student_nano, which come with the package (default: student)"
)
EXPORTED = ("model.onnx", "model_int8.onnx")


def chosen_model(given: str | None) -> str:
    """Return the model that is used: a folder, Hub id or file as given, or one that comes with the package.

    Where torch is not installed, it is the exported file in a folder.

    Raises:
        ValueError: No such model comes with the package, or it is a file of another kind; or torch is not installed,
            and there is no exported file.
    """
    if has_torch():
        if given is not None and Path(given).is_file() and Path(given).suffix != ".onnx":
            raise ValueError(
                f"the model {given!r:.200} is a file, and none that was exported (.onnx); give a folder or a Hub id"
            )
        if given is not None and ("/" in given or Path(given).exists()):
            return given
        try:
            return str(import_module("speech_affect").released("student" if given is None else given))
        except ValueError as error:
            raise ValueError(f"{given!r:.200} is no folder, nor a Hub id (owner/model), and {error}") from None
    if given is None:
        raise ValueError("without torch there is no model to begin with: give an exported one, --model model.onnx")
    found = next((path for path in (Path(given, name) for name in EXPORTED) if path.is_file()), Path(given))
    if found.suffix != ".onnx":
        raise ValueError(
            f"the model is {given!r:.200}; without torch give a file .onnx, or a folder with {' or '.join(EXPORTED)}, "
            "as speech-affect export writes them"
        )
    return str(found)


def open_estimator(model: str) -> Callable:
    """Open a model, for calls with the inputs and options of the pipeline; a warning is one line from now on."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    if Path(model).suffix == ".onnx":
        from ..onnx.runtime import OnnxAffect

        return OnnxAffect(model)
    import_module("speech_affect._registered")
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return pipeline("speech-emotion-regression", model=model)


def label_range(estimator) -> tuple[float, float]:
    """Return the lowest and highest value of an estimator's dimensions."""
    return tuple((estimator.metadata if hasattr(estimator, "metadata") else estimator.model.config).label_range)


def start_worker() -> None:
    """Prepare a process that a command started: it ends with the command, and has one thread of torch.

    One whose command was killed would wait for work forever. Onnxruntime keeps to one thread by itself.
    """
    signal(SIGINT, SIG_DFL)  # which the command is given as well, and says so
    Thread(target=_end_with, args=[parent_process()], daemon=True).start()
    if has_torch():
        import_module("torch").set_num_threads(1)


def _end_with(parent) -> None:
    parent.join()
    os._exit(1)


def has_torch() -> bool:
    """Return whether models can be loaded, and not only exported files."""
    return find_spec("torch") is not None and find_spec("speech_affect") is not None
