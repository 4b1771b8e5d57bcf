"""Open exported files in onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .metadata import OnnxMetadata


try:
    import onnxruntime
except ImportError as error:
    raise ImportError("exported models run in onnxruntime: pip install onnxruntime") from error

AUDIO_INPUTS = ("input_values", "num_samples")


def open_session(model: str | os.PathLike | bytes, num_threads: int, providers: Sequence):
    """Open a model that `speech_affect.onnx.export` wrote.

    Args:
        model: path of the file, or its bytes.
        num_threads: that one run may use, at least 1.
        providers: names of execution providers or (name, options) tuples, as of `onnxruntime.InferenceSession`.

    Returns:
        The session of onnxruntime, and the file's [`OnnxMetadata`].

    Raises:
        ValueError: no such file, no ONNX model, one that was not exported by this package, or a provider that
            onnxruntime does not have.
    """
    name = _checked_name(model)
    names = _provider_names(providers)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    try:
        content = model if isinstance(model, bytes) else os.fspath(model)
        session = onnxruntime.InferenceSession(content, options, providers=list(providers))
    except Exception as error:  # the exceptions of onnxruntime have no common base class
        raise ValueError(f"{name} cannot be loaded as an ONNX model: {error!s:.300}") from error
    missing = set(names) - set(session.get_providers())
    if missing:  # onnxruntime would go on without it
        raise ValueError(f"onnxruntime has {', '.join(missing)}, but could not start it: see its own message above")
    try:
        metadata = OnnxMetadata.from_strings(session.get_modelmeta().custom_metadata_map)
        metadata.check_outputs({output.name: output.shape for output in session.get_outputs()})
    except ValueError as error:
        raise ValueError(f"{name} is no model of this package: {error}") from error
    return session, metadata


def _checked_name(model) -> str:
    """Return how messages call a model."""
    if isinstance(model, bytes):
        return f"the given file of {len(model):,} bytes"
    if not isinstance(model, (str, os.PathLike)):
        raise ValueError(f"the model is a {type(model).__name__}; give the path of an exported file, or its bytes")
    name = f"{os.fspath(model)!r:.200}"
    if os.path.isdir(model):
        raise ValueError(f"{name} is a folder; give the file in it that speech_affect.onnx.export wrote, model.onnx")
    if not os.path.isfile(model):
        raise ValueError(
            f"{name} is no file; give the path of one that speech_affect.onnx.export wrote, or its bytes (for one on "
            "the Hub, the path that huggingface_hub.hf_hub_download returns)"
        )
    return name


def _provider_names(providers) -> list[str]:
    available = onnxruntime.get_available_providers()
    is_list = isinstance(providers, (list, tuple)) and len(providers) > 0
    names = [each[0] if isinstance(each, tuple) and len(each) == 2 else each for each in providers] if is_list else []
    if not is_list or not all(isinstance(name, str) and name in available for name in names):
        raise ValueError(
            f"providers is {providers!r:.200}; give a list of names or (name, options) of those that this onnxruntime "
            f"has: {', '.join(available)}"
        )
    return names


def initial_state(session, batch: int) -> dict[str, np.ndarray]:
    """Return the inputs with which the streaming graph starts; the plain graph has none."""
    state = {}
    for value in session.get_inputs():
        if value.name not in AUDIO_INPUTS:
            shape = [size if isinstance(size, int) else batch for size in value.shape]
            state[value.name] = np.zeros(shape, np.float64 if value.type == "tensor(double)" else np.float32)
    return state


def run_session(session, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return all outputs of a session by name."""
    return dict(zip((output.name for output in session.get_outputs()), session.run(None, inputs), strict=True))
