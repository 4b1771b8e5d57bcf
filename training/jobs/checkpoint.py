"""Make the checkpoint of a system from its trained head and its front end, and check that it loads."""

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModel, AutoProcessor

from speech_affect import DIMENSIONS, AffectFeatureExtractor, AffectProcessor

from ..audio.clip_loading import loadable
from ..corpora.segments import clips_of
from ..encoders.library import EncoderLibrary
from ..files import read_json, write_json
from ..frames.frame_dataset import output_columns
from ..metrics.rated import mean_of_rated
from . import learnt_clips
from .data_splits import DEVELOPMENT
from .job import Job
from .prediction import Predictions, read_predictions


logger = logging.getLogger(__name__)

# of the label range: cached frames are rounded to half precision
RELOAD_TOLERANCE = 0.01
RELOAD_CLIPS = 8


def best_job(jobs: list[Job]) -> Job:
    """Return the job whose head the checkpoint has: best mean CCC on development, the first of equals."""
    return max(jobs, key=lambda job: job.result()["development"]["ccc_mean"])


def write_checkpoint(
    jobs: list[Job], library: EncoderLibrary, folder: Path, provenance: dict, labelled: Collection[str]
) -> Path:
    """Write the best seed's model with its front end, its processor, and `run.json`, which tells where they come from.

    Args:
        jobs: Finished jobs of one system, one per seed.
        library: Encoders of the run.
        folder: Folder of the system, replaced as a whole; kept if it is of the same job. It is returned.
        provenance: Corpus, encoders and environment of the run.
        labelled: Fingerprints of its clips.
    """
    best = best_job(jobs)
    if read_json(folder / "run.json").get("fingerprint") == best.fingerprint:
        return folder
    model = best.model()
    trained = {name: model.front_end.encoders[name].backbone for name in best.spec.train_encoders}
    model.attach_front_end({n: trained[n] if n in trained else library.backbone(n) for n in model.config.encoders})
    temporary, earlier = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    tokenizers = [library.tokenizer(name) for name in library.text_names if name in model.config.encoders]
    AffectProcessor(AffectFeatureExtractor(), *tokenizers).save_pretrained(temporary)  # one tokenizer at most
    content = {
        "fingerprint": best.fingerprint,
        "job": best.settings(),
        "result": best.result(),
        "typical_error": typical_error(read_predictions(best.predictions_path(DEVELOPMENT))),
        **provenance,
        learnt_clips.NAME: learnt_clips.to_json(learnt_clips.learnt_clips(best, labelled)),
    }
    write_json(temporary / "run.json", content)
    shutil.rmtree(earlier, ignore_errors=True)
    if folder.is_dir():
        os.replace(folder, earlier)  # deleted under its own name, a part of it could pass for all of it
    os.replace(temporary, folder)
    shutil.rmtree(earlier, ignore_errors=True)
    return folder


def write_system(
    development: Dataset,
    library: EncoderLibrary,
    output: Path,
    provenance: dict,
    labelled: Collection[str],
    jobs: list[Job],
) -> Path:
    """Write the checkpoint of a system into its folder in `output`, and check on development clips that it loads."""
    folder = write_checkpoint(jobs, library, output / jobs[0].spec.name, provenance, labelled)
    best = best_job(jobs)
    predicted = set(best.tables[DEVELOPMENT].files)  # fewer, if it learnt some languages alone
    some = development.select([i for i, file in enumerate(development["file"]) if file in predicted][:RELOAD_CLIPS])
    verify_checkpoint(folder, best, {**some[:], "audio": [loadable(clip) for _, clip in clips_of(some)]})
    return folder


def typical_error(predictions: Predictions) -> dict:
    """Compute the root mean square error on the label scale, for users who do not see the table of results.

    The predictions are of `development`, by which the epoch was chosen: the error is slightly too small. It is None
    for a dimension that nobody rated.
    """
    squares = (predictions.logits - predictions.labels) ** 2
    errors = np.sqrt(mean_of_rated(squares.T)).tolist()
    rmse = {name: None if np.isnan(error) else error for name, error in zip(DIMENSIONS, errors, strict=True)}
    return {"split": str(DEVELOPMENT), "clips": len(predictions.files), "rmse": rmse}


def verify_checkpoint(folder: Path, job: Job, rows: dict[str, list]) -> None:
    """Load a checkpoint and compare its predictions from raw audio with those of the job that it was made from.

    `rows` has the columns `file`, `audio` and `transcript` of some clips of `development`.

    Raises:
        RuntimeError: They differ by more than 1% of the label range.
        ValueError: The model reads text and a clip has no transcript.
    """
    model = AutoModel.from_pretrained(folder).eval()
    expected = read_predictions(job.predictions_path(DEVELOPMENT)).of(rows["file"]).logits
    expected = expected[:, output_columns(model.config)]
    with torch.no_grad():
        logits = model(**_raw_inputs(model.config, folder, rows)).logits.double().numpy()
    difference = float(np.abs(logits - expected).max())
    low, high = model.config.label_range
    if difference > RELOAD_TOLERANCE * (high - low):
        raise RuntimeError(
            f"{folder} loaded afresh differs by {difference:.3f} from what was trained: do not use this checkpoint"
        )
    logger.info("%s loads and agrees with training to %.4f on %d clips", folder, difference, len(expected))


def _raw_inputs(config, folder: Path, rows: dict[str, list]) -> dict:
    """Make the inputs as a user of the folder would."""
    if config.reads_text and None in rows["transcript"]:
        raise ValueError(f"{folder} reads the transcript: pass the transcripts of its {len(rows['file'])} clips")
    return AutoProcessor.from_pretrained(folder)(
        audio=rows["audio"] if config.reads_audio else None,
        text=rows["transcript"] if config.reads_text else None,
        return_tensors="pt",
        text_kwargs={"truncation": True},  # as in training
    )
