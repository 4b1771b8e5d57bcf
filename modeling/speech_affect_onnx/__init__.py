"""A second name of the package `speech_affect`, under which an exported model runs without importing torch.

    from speech_affect_onnx import OnnxAffect
    print(OnnxAffect("student.onnx")("speech.wav"))

Importing `speech_affect` registers its models with transformers, which takes seconds. The files are the same ones.
"""

if __name__ != "speech_affect_onnx":  # inside speech_affect it would contain itself
    raise ImportError(f"import speech_affect_onnx, not {__name__}")

from importlib.util import find_spec


__path__ = list(find_spec("speech_affect").submodule_search_locations)

from .onnx.runtime import OnnxAffect


__all__ = ["OnnxAffect"]
