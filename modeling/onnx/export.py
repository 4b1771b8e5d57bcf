"""`python -m speech_affect.onnx.export FOLDER`: a trained model as an ONNX file that hears the raw waveform."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from transformers import AutoModel

from ..modeling_affect import AffectModel


try:
    from .model import build_onnx
    from .quantization import store_int8
except ImportError as error:
    raise ImportError("exporting needs onnx and onnxruntime: pip install 'speech-affect[onnx]'") from error


def export_onnx(model: AffectModel, path: str | os.PathLike, *, int8: bool = False) -> Path:
    """
    Write a model as one ONNX file, from the raw waveform to the estimates. [`OnnxAffect`] runs it on any audio; for
    other programs inputs and outputs are those of [`build_onnx`], and `metadata_props` say what they mean.

    Args:
        model: reads audio alone.
        path: of the file to write.
        int8: store the weights in eight bits, a quarter of the size; they are still computed with in float32.

    Returns:
        the path.

    Raises:
        ValueError: a model that reads text or pitch, or whose encoder cannot be exported; or there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"{str(path.parent)!r} is no folder; make it first")
    exported = build_onnx(model, "int8" if int8 else "float32")
    if int8:
        store_int8(exported)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(exported.SerializeToString())
    os.replace(temporary, path)
    return path


def main(argv: list[str]) -> Path:
    """
    Args:
        argv: the folder or name of a model, and options; see `--help`.

    Returns:
        the path of the file that was written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m speech_affect.onnx.export", description=export_onnx.__doc__.split(".")[0]
    )
    parser.add_argument("model", help="folder of a trained model, or its name on the Hub")
    parser.add_argument(
        "--output", type=Path, help="file to write; model.onnx or model_int8.onnx in the folder without"
    )
    parser.add_argument("--int8", action="store_true", help="weights in eight bits: a quarter of the size")
    options = parser.parse_args(argv)
    folder = Path(options.model)
    if not folder.is_dir() and (folder.is_absolute() or len(folder.parts) != 2):
        raise ValueError(f"{options.model!r} is no folder, nor a name on the Hub (owner/model)")
    output = options.output or (folder if folder.is_dir() else Path()) / f"model{'_int8' * options.int8}.onnx"
    path = export_onnx(AutoModel.from_pretrained(options.model), output, int8=options.int8)
    print(f"{path}: {path.stat().st_size / 1000:,.0f} kB")
    return path


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
