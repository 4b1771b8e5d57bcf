"""
Activation, valence and dominance from an ONNX file, within a second of starting Python.

    from speech_affect_onnx import OnnxAffect

    estimate = OnnxAffect("student.onnx")
    print(estimate("speech.wav"))

The code is that of `speech_affect`, and so is the folder. But importing `speech_affect` tells the Auto classes of
transformers about its models, which imports torch and transformers and takes seconds; under this name only files that
need numpy, soundfile and onnxruntime are imported.
"""

if __name__ != "speech_affect_onnx":  # inside speech_affect it would contain itself
    raise ImportError(f"import speech_affect_onnx, not {__name__}")

from importlib.util import find_spec


__path__ = list(find_spec("speech_affect").submodule_search_locations)

from .onnx.runtime import OnnxAffect


__all__ = ["OnnxAffect"]
