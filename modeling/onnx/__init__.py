"""A model as one ONNX file, and such a file in use without torch."""
