"""From the trained heads of a system to one folder that from_pretrained loads, and proof that it does."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

from speech_affect import DIMENSIONS, AffectFeatureExtractor

from ..encoders.library import EncoderLibrary
from ..frames.text_frames import text_inputs, tokenize
from .job import Job
from .prediction import Predictions, read_predictions


logger = logging.getLogger(__name__)

# of the label range: cached frames are rounded to half precision, the waveform's are not
RELOAD_TOLERANCE = 0.01
RELOAD_CLIPS = 8


def write_checkpoint(jobs: list[Job], library: EncoderLibrary, folder: Path, provenance: dict) -> Path:
    """
    Join the best seed's head with its front end; beside the weights lie the extractor, the tokenizer of a model that
    reads text, and where they come from.

    Args:
        jobs: the finished jobs of one system, one per seed.
        library: the run's encoders.
        folder: the system's folder, replaced as a whole.
        provenance: of the run.

    Returns:
        the folder.
    """
    best = best_job(jobs)
    if _fingerprint(folder / "run.json") == best.fingerprint:
        return folder
    model = best.model()
    model.attach_front_end({name: library.backbone(name) for name in model.config.encoders})
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    AffectFeatureExtractor().save_pretrained(temporary)
    for name in set(model.config.encoders) & set(library.text_names):
        library.tokenizer(name).save_pretrained(temporary)
    content = {
        "fingerprint": best.fingerprint,
        "job": best.settings(),
        "result": best.result(),
        "typical_error": typical_error(read_predictions(best.predictions_path("development"))),
        **provenance,
    }
    (temporary / "run.json").write_text(json.dumps(content, indent=2, default=str) + "\n")
    earlier = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(earlier, ignore_errors=True)
    if folder.is_dir():
        os.replace(folder, earlier)  # a part of it under its own name would pass for all of it
    os.replace(temporary, folder)
    shutil.rmtree(earlier, ignore_errors=True)
    return folder


def typical_error(predictions: Predictions) -> dict:
    """
    How far a model is off, for those who see its values without its table of results.

    Args:
        predictions: of the split `development`, by which the epoch was chosen: an error that is rather too small.

    Returns:
        `{"split", "clips", "rmse": {dimension: root mean square error on the label scale}}`
    """
    squares = (predictions.logits - predictions.labels) ** 2
    rmse = dict(zip(DIMENSIONS, np.sqrt(squares.mean(axis=0)).tolist(), strict=True))
    return {"split": "development", "clips": len(predictions.files), "rmse": rmse}


def _fingerprint(path: Path) -> str | None:
    """Of the job that a folder was made from; None where its run.json is not there, or damaged."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return content.get("fingerprint") if isinstance(content, dict) else None


def verify_checkpoint(
    folder: Path, job_folder: Path, split: str, clips: list[dict], transcripts: list[str] | None = None
) -> None:
    """
    Load the folder afresh and compare its predictions from raw clips with those noted in training.

    Args:
        folder: of the system.
        job_folder: of the job it was made from.
        split: whose first clips are used.
        clips: their audio, in the split's order.
        transcripts: what is said in them; read where the model reads text.

    Raises:
        RuntimeError: they differ by more than 1% of the label range.
    """
    model = AutoModel.from_pretrained(folder).eval()
    expected = read_predictions(job_folder / f"predictions_{split}.csv").logits[:RELOAD_CLIPS]
    with torch.no_grad():
        inputs = _raw_inputs(model.config, folder, clips[: len(expected)], (transcripts or [])[: len(expected)])
        logits = model(**inputs).logits.double().numpy()
    difference = float(np.abs(logits - expected).max())
    low, high = model.config.label_range
    if difference > RELOAD_TOLERANCE * (high - low):
        raise RuntimeError(
            f"{folder} loaded afresh differs by {difference:.3f} from what was trained: do not use this checkpoint"
        )
    logger.info("%s loads and agrees with training to %.4f on %d clips", folder, difference, len(expected))


def _raw_inputs(config, folder: Path, clips: list[dict], transcripts: list[str]) -> dict:
    """What a user of the folder would pass, by the files in it."""
    inputs = {}
    if config.reads_audio:
        inputs |= AutoFeatureExtractor.from_pretrained(folder)(clips, return_tensors="pt")
    if config.reads_text:
        if len(transcripts) != len(clips):
            raise ValueError(f"{folder} reads the transcript: pass the transcripts of its {len(clips)} clips")
        inputs |= text_inputs(tokenize(AutoTokenizer.from_pretrained(folder), transcripts))
    return inputs


def best_job(jobs: list[Job]) -> Job:
    """The job whose head a checkpoint carries: best mean CCC on development, the first of equals."""
    return max(jobs, key=lambda job: job.result()["development"]["ccc_mean"])
