"""Exported models in onnxruntime, without torch and transformers: a distribution of its own, `speech-affect-onnx`.

    from speech_affect_onnx import OnnxAffect
    print(OnnxAffect("model.onnx")("speech.wav"))

The modules are those of `speech_affect`, which itself registers models with transformers when it is imported.
"""

from pathlib import Path
from typing import TYPE_CHECKING


if __name__ != "speech_affect_onnx":  # inside speech_affect it would contain itself
    raise ImportError(f"import speech_affect_onnx, not {__name__}")

if not Path(__path__[0], "onnx").is_dir():  # a checkout; in the wheel they lie here
    __path__.append(str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from .onnx.runtime import OnnxAffect

__all__ = ["OnnxAffect"]

if not TYPE_CHECKING:  # which would take any name

    def __getattr__(name):  # the command's help needs no onnxruntime
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .onnx.runtime import OnnxAffect

        return OnnxAffect


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
