"""Run a recipe: corpus, frames of frozen encoders, baseline, teachers, students, evaluation, report.

accelerate launch training/run.py [--recipe NAME_OR_FILE] [--data_dir FOLDER] [--output_dir FOLDER] [--help]
"""

import logging
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from huggingface_hub.constants import HF_HOME
from transformers import AutoModel, TrainingArguments
from transformers.utils import logging as transformers_logging

from speech_affect_training.corpora.corpus import check_disjoint
from speech_affect_training.corpora.load import unlabelled_folders
from speech_affect_training.corpora.several import load_run_corpus, shares_of
from speech_affect_training.corpora.stream_sources import open_sources
from speech_affect_training.corpora.unlabelled import unlabelled_pieces
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.hub.background_push import Publication
from speech_affect_training.jobs.checkpoint import write_system
from speech_affect_training.jobs.data_splits import make_data_splits
from speech_affect_training.jobs.distilled_encoder import make_encoders
from speech_affect_training.jobs.errors import user_message
from speech_affect_training.jobs.finished import evaluate_models, finished_jobs
from speech_affect_training.jobs.initial_weights import resolve_checkpoints
from speech_affect_training.jobs.job_pool import default_workers, run_jobs
from speech_affect_training.jobs.plan import leave_out_unreachable, make_jobs, prepare_frames
from speech_affect_training.jobs.provenance import by_word_of, describe_corpus, describe_encoders, describe_environment
from speech_affect_training.jobs.run_lock import only_run_in
from speech_affect_training.probing.probe import probe_encoders
from speech_affect_training.reports.model_card import write_cards
from speech_affect_training.reports.report import write_report
from speech_affect_training.reports.results_table import render_markdown
from speech_affect_training.settings import cores
from speech_affect_training.settings.recipe import parse_arguments
from speech_affect_training.settings.run_settings import RunSettings


logger = logging.getLogger("run")


def main(argv: list[str]) -> dict:
    """Run a recipe, as the only run in its output folder, and return the content of `results.json`."""
    run, training = parse_arguments(argv)
    state = PartialState()
    _set_up_logging(state)
    with only_run_in(Path(training.output_dir)) if state.is_main_process else nullcontext():
        return run_recipe(run, training, state, argv)


def run_recipe(run: RunSettings, training: TrainingArguments, state: PartialState, argv: list[str]) -> dict:
    """Take all steps of a run."""
    # 1. Machine and folders
    started = time.perf_counter()
    publication = Publication(training, run.systems)
    if state.device.type == "cpu":  # launchers leave each process one thread
        torch.set_num_threads(max(1, cores.available_cores() // state.num_processes))
    logger.info("%d process(es) on %s; output in %s", state.num_processes, state.device, training.output_dir)
    output, cache = Path(training.output_dir), Path(run.cache_dir or Path(HF_HOME) / "speech_affect")

    # 2. Corpus: the main process makes or prepares it, the others find it finished
    with state.main_process_first():
        corpus, origins = load_run_corpus(run, cache)
        unlabelled = unlabelled_pieces(unlabelled_folders(run.unlabelled_dir, cache))
        stream = open_sources(run.unlabelled_stream)
    check_disjoint(corpus)
    run = replace(run, corpora_shares=shares_of(origins))
    choice = (run.augmentation_copies, run.augmentation, run.conditions, run.leave_out, run.hold_out_tests)
    all_splits = make_data_splits(corpus, run.folds, *choice)

    # 3. Frames: every branch of every system, once per clip
    run = make_encoders(leave_out_unreachable(run, cache), training, unlabelled, all_splits, cache)
    with state.main_process_first():
        library = EncoderLibrary(
            run.encoders, [b for spec in run.systems.values() for b in spec.cached_branches], cache
        )
        checkpoints = resolve_checkpoints(run.systems, cache)
    caches = prepare_frames(run, all_splits, unlabelled, library, cache / "frames")
    finished = evaluate_models(run, all_splits, cache)

    # 4. Jobs: baseline, teachers, students, each once per data splits and seed
    workers = run.job_workers or default_workers()
    provenance = {
        "corpus": describe_corpus(corpus, all_splits[0].tables, run.corpus_facts, origins),
        "encoders": describe_encoders(library),
        "environment": describe_environment(workers, argv),
    }
    words = by_word_of(provenance["corpus"])
    shared = (unlabelled, caches, library, corpus.label_range, words, checkpoints, stream)
    jobs = {splits.name: make_jobs(run, training, splits, *shared) if run.systems else {} for splits in all_splits}
    write = partial(write_system, corpus.splits.get("development"), library, output, provenance, all_splits[0].audio)
    every = [job for systems in jobs.values() for system in systems.values() for job in system]
    run_jobs(every, training.per_device_eval_batch_size, workers, publication.after_job(jobs[""], write))

    # 5. Probes, checkpoints and report
    results, given = {}, all_splits[0]
    probe_encoders(run, {str(key): table for key, table in given.tables.items()}, given.audio, cache, output)
    if state.is_main_process:
        sizes = {name: AutoModel.from_pretrained(write(system)).num_parameters() for name, system in jobs[""].items()}
        others = finished_jobs(run, finished, all_splits, corpus.label_range, output)
        rows = {name: systems | others[name] for name, systems in jobs.items()}
        results = write_report(output, rows, sizes, **provenance, bootstrap_samples=run.bootstrap_samples)
        write_cards(results, output, publication.repo_id)
        print(render_markdown(results))
        for name in jobs[""]:
            publication.push(name, output / name)
        logger.info("done in %.0f s: %s", time.perf_counter() - started, output / "results.md")
    state.wait_for_everyone()
    publication.wait()
    return results


def _set_up_logging(state: PartialState) -> None:
    level = logging.INFO if state.is_main_process else logging.WARNING
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S", level=level, force=True)
    for client in ("httpx", "httpx2"):  # of huggingface_hub
        logging.getLogger(client).setLevel(logging.WARNING)
    transformers_logging.set_verbosity_error()  # heads without a front end load with keys missing on purpose
    transformers_logging.disable_progress_bar()  # of saving and loading; training keeps its own


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        if (message := user_message(error)) is None:
            raise
        sys.exit(f"error: {message}")
