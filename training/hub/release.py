"""Make the folder of a model that comes with the package: weights, int8 ONNX files and a card, without code."""

import json
import os
import re
import shutil
from pathlib import Path

from transformers import AutoModel

from ..files import read_json, write_json
from ..reports.model_card import build_card, write_card
from .push import checkpoint_files


KEPT = (".json", ".safetensors")
# where the code lies beside the weights; here the package is the code
OF_CODE = ("auto_map", "custom_pipelines")


def release_checkpoint(folder: Path, name: str, models: Path) -> Path:
    """Write `models/name` out of a system that a run trained, whose results the card shows.

    Args:
        folder: Of the system, beside the run's `results.json`.
        name: Of the model, such as `student`.
        models: Folder with a folder for each model that comes with the package.

    Returns:
        The folder, replaced as a whole.

    Raises:
        ValueError: The name is none of a folder; the folder is no checkpoint, or has no results of its own run; or the
            model has no ONNX graph.
    """
    from speech_affect.onnx.export import export_onnx  # needs an extra

    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"a model is named {name!r}, which names a folder: letters, digits, - and _ only")
    files = {file: path for file, path in checkpoint_files(folder).items() if path.suffix in KEPT}
    results = read_json(folder.parent / "results.json")
    if not results:
        raise ValueError(f"{folder} has no results.json beside it; give a system's folder in the output of a run")
    card = build_card(results, folder.name, checkpoint=folder, released=name)
    temporary, target = models / f".{name}.tmp", models / name
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for file, path in files.items():
        if file.endswith(".json"):
            write_json(temporary / file, _without_code(json.loads(path.read_text(encoding="utf-8"))))
        else:
            shutil.copy(path, temporary / file)
    export_onnx(AutoModel.from_pretrained(folder), temporary / "model_int8.onnx", int8=True)
    write_card(card, temporary)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)
    return target


def _without_code(settings):
    if not isinstance(settings, dict):
        return settings
    return {key: _without_code(value) for key, value in settings.items() if key not in OF_CODE}
