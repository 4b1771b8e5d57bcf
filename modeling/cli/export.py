"""`speech-affect export`: a model as ONNX files."""

import argparse
from pathlib import Path

from .estimators import chosen_model
from .formats import check_folder


EXAMPLES = """examples:
  speech-affect export outputs/demo/student_kd --int8
  speech-affect export owner/model -o model.onnx
"""


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser(
        "export",
        help="a model as ONNX files, for use without torch",
        description="Write a model as an ONNX file, from the waveform to the values, and one beside it, "
        "model_streaming.onnx, that takes audio block by block (a model with encoders has none).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, extra="onnx")
    parser.add_argument("model", metavar="MODEL", help="folder, Hub id, or student or student_nano, of the package")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="file or folder to write; by default model.onnx or model_int8.onnx in the folder of the model, or here",
    )
    parser.add_argument("--int8", action="store_true", help="weights in eight bits: a quarter of the size")


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0.

    Raises:
        ValueError: There is no such model, it cannot be exported, or the output has no folder.
    """
    from transformers import AutoModel

    from ..onnx.export import check_path, export_onnx  # needs an extra
    from ..onnx.metadata import streaming_path

    folder = Path(given.model)
    source = chosen_model(given.model)
    if not Path(source).is_dir() and (folder.is_absolute() or len(folder.parts) != 2):
        raise ValueError(f"{given.model!r:.200} is no folder, nor a name on the Hub (owner/model)")
    output = given.output or (folder if folder.is_dir() else Path())
    if output.is_dir():
        output /= f"model{'_int8' * given.int8}.onnx"
    check_path(output)  # before the model is downloaded
    check_folder(output.parent)
    model = AutoModel.from_pretrained(source)
    path = export_onnx(model, output, int8=given.int8)
    for written in (path,) if model.config.encoders else (path, streaming_path(path)):
        print(f"{written}: {written.stat().st_size / 1000:,.0f} kB")
    return 0
