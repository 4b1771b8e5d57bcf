"""Train a job. A finished one is not trained again, an interrupted one continues from its last checkpoint."""

import logging
import shutil
import time
from functools import partial

import numpy as np
import torch
from accelerate import PartialState
from transformers import EarlyStoppingCallback, set_seed

from ..corpora.clip_table import listened_labels
from ..files import read_json, write_json
from ..frames.frame_dataset import collate_frames, output_columns
from ..metrics.calibration import uncertainty_scale
from .auxiliary import add_auxiliary, without_auxiliary
from .data_splits import DEVELOPMENT, TRAIN
from .distillation import DistillationTrainer
from .initial_weights import start
from .job import Job
from .listening import StreamedDistillationTrainer, position_files, streamed_parts
from .memory import peak_memory_mb, reset_peak_memory
from .prediction import predict, predict_splits
from .pretraining import pretrain
from .resuming import delete_incomplete_checkpoints, train_or_resume
from .teachers import teacher_targets
from .trained_encoders import add_encoders, choose_weights, save_encoders, standardise_computed
from .trainer import AffectTrainer, concordance_metrics, show_progress


logger = logging.getLogger(__name__)


def run_job(job: Job, batch_size: int) -> dict:
    """Train a job, which needs no unfinished one, and predict every split but `train`, as far as that is not done yet.

    Returns:
        `{"fingerprint", "best_step", "development", "seconds", ...}`, as in `job.json`.
    """
    result = job.result() or _train(job, batch_size)
    if PartialState().is_main_process:
        # once the result is on disk: training could not continue from a part of the checkpoints
        for folder in (job.folder / "checkpoints", job.pretraining_folder):
            shutil.rmtree(folder, ignore_errors=True)
        if job.unpredicted():
            predict_splits(job, batch_size)
    PartialState().wait_for_everyone()
    return result


def _train(job: Job, batch_size: int) -> dict:
    logger.info("%s: training on %d clips", job.label, len(job.tables[TRAIN]))
    state = PartialState()
    if state.is_main_process:
        _prepare_folder(job)
    state.wait_for_everyone()
    started = time.perf_counter()
    reset_peak_memory()
    trainer = _make_trainer(job, batch_size)
    show_progress(trainer, enabled=not trainer.args.disable_tqdm)
    train_or_resume(trainer)
    development = trainer.evaluate()
    trained = without_auxiliary(dict(trainer.model.named_parameters()))
    result = {
        "fingerprint": job.fingerprint,
        "epochs": trainer.state.epoch,
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        "development": {k.removeprefix("eval_"): v for k, v in development.items() if k.startswith("eval_ccc")},
        "trained_parameters": sum(p.numel() for p in trained.values() if p.requires_grad),
        "seconds": round(time.perf_counter() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
        **({"streamed": trainer.streamed()} if job.stream else {}),
    }
    weights = trainer.accelerator.get_state_dict(trainer.model)  # under FSDP, every process gives its part
    if state.is_main_process:
        write_json(job.folder / "history.json", trainer.state.log_history)
        _save_model(job, weights, batch_size)
        write_json(job.folder / "job.json", result)
    state.wait_for_everyone()
    logger.info("%s: CCC on development %.3f", job.label, result["development"]["ccc_mean"])
    return result


def _prepare_folder(job: Job) -> None:
    """Keep the checkpoints of an interrupted training of this very job, delete those of any other."""
    marker = job.folder / "settings.json"
    if job.folder.is_dir() and read_json(marker).get("fingerprint") != job.fingerprint:
        logger.info("%s: settings or data changed, starting again", job.folder)
        shutil.rmtree(job.folder)
    processes = PartialState().num_processes
    positions = position_files(processes) if job.stream else []
    for folder, more in ((job.folder / "checkpoints", positions), (job.pretraining_folder, [])):
        folder.mkdir(parents=True, exist_ok=True)
        delete_incomplete_checkpoints(folder, processes, more)
    write_json(marker, {"fingerprint": job.fingerprint, **job.settings()})


def _make_trainer(job: Job, batch_size: int) -> AffectTrainer:
    set_seed(job.seed)
    model = job.new_model()
    train = job.training_dataset()
    _standardise(job, model)
    if job.frame_targets:
        pretrain(job, model)
    rates = {}
    if job.audio:
        add_encoders(job, model)
    new = start(job, model) if job.initial else [f"branch {name}" for name in job.trained_branches]
    if job.audio:
        standardise_computed(job, model, [name for name in job.trained_branches if f"branch {name}" in new])
        rates, _ = choose_weights(job, model)
    if job.auxiliary:
        add_auxiliary(model, job.spec.auxiliary, job.auxiliary)
    make, arguments = AffectTrainer, job.training_arguments()
    if job.teachers:
        train.set_teacher(**teacher_targets(job, batch_size), fill=job.spec.distillation.fill)
        make = partial(DistillationTrainer, distillation=job.spec.distillation)
    if job.stream:
        make = partial(StreamedDistillationTrainer, **make.keywords, **streamed_parts(job, arguments, batch_size))
    development = job.tables[DEVELOPMENT]
    names = list(job.config.id2label.values())
    return make(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=job.dataset(development),
        compute_metrics=partial(concordance_metrics, names=names, averaged=job.averaged, corpora=development.corpora),
        data_collator=collate_frames,
        shares=job.shares,
        learning_rates=rates,
        callbacks=[EarlyStoppingCallback(job.patience)] if job.patience is not None else [],
    )


def _standardise(job: Job, model) -> None:
    """Give the model mean and standard deviation of each branch's cached frames over the training clips."""
    with PartialState().main_process_first():  # it writes them to disk, the others read them
        for name, cache in job.caches.items():
            fingerprints = job.tables[TRAIN].fingerprints
            mean, std = (torch.from_numpy(values).float() for values in cache.statistics(fingerprints))
            model.regressor.set_frame_statistics(name, mean, std)


def _save_model(job: Job, weights: dict[str, torch.Tensor], batch_size: int) -> None:
    model = job.new_model()  # unsharded and in this process alone
    with_lora = []
    if job.audio:
        job.add_front_end(model, job.computed_branches)
        _, with_lora = choose_weights(job, model)
    model.load_state_dict(without_auxiliary(weights))
    for adapted in with_lora:
        adapted.merge_and_unload()
    model.to(job.arguments.device)
    if job.config.predict_uncertainty:
        model.regressor.reset_parameters()  # the scale is measured from 1, which a start from elsewhere has changed
        predicted = predict(model, job.dataset(job.tables[DEVELOPMENT]), batch_size)
        labels = listened_labels(job.tables[DEVELOPMENT], job.by_word)
        scale = uncertainty_scale(predicted.logits, labels, predicted.uncertainty)
        scale = np.where(np.isnan(scale), 1.0, scale)[output_columns(job.config)]  # not rated in development
        model.regressor.set_uncertainty_scale(torch.from_numpy(scale).float())
    if job.audio:
        save_encoders(job, model, job.folder / "encoders")
        model.front_end = None
    model.save_pretrained(job.folder / "model")
