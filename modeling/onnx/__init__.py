"""A model as an ONNX file (`export_onnx`), and such a file in use without torch (`OnnxAffect`)."""

__all__ = ["OnnxAffect", "export_onnx"]


def __getattr__(name: str):
    # each is imported when it is asked for: the runtime needs no torch, the export does
    if name == "OnnxAffect":
        from .runtime import OnnxAffect

        return OnnxAffect
    if name == "export_onnx":
        from .export import export_onnx

        return export_onnx
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
