"""The main job: corpus -> representations -> baseline -> teacher -> students -> evaluation -> report.

accelerate launch training/run.py [--recipe NAME_OR_FILE] [--data_dir FOLDER] [--output_dir FOLDER] [--any_setting ...]
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import torch
from accelerate import PartialState
from checkpoint import best_stage, verify_checkpoint, write_checkpoint
from frame_cache import clip_fingerprint
from frame_dataset import FrameDataset
from huggingface_hub.constants import HF_HOME
from provenance import data_fingerprint, describe_corpus, describe_environment
from recipe import RunArguments, parse_arguments
from report import render_markdown, write_report
from representations import EncoderLibrary, extract_frames
from stage import Stage, run_stage
from systems import build_config
from transformers import AutoModel, TrainingArguments
from transformers.utils import logging as transformers_logging

from corpora.corpus import Corpus, check_disjoint
from corpora.load import load_corpus


logger = logging.getLogger("run")


def main(argv: list[str]) -> dict:
    """Run a recipe; returns what is in `results.json`."""
    started = time.perf_counter()
    # 1. Settings
    run, training = parse_arguments(argv)
    state = PartialState()
    _set_up_logging(state)
    if state.device.type == "cpu":  # launchers leave each process one thread
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // state.num_processes))
    logger.info("%d process(es) on %s; output in %s", state.num_processes, state.device, training.output_dir)
    output = Path(training.output_dir)
    cache = Path(run.cache_dir or Path(HF_HOME) / "speech_affect")

    # 2. Corpus: the main process makes or prepares it, the others find it done
    with state.main_process_first():
        corpus = load_corpus(run.corpus, run.data_dir, run.corpus_options, cache, run.corpus_note)
    fingerprints = {name: [clip_fingerprint(audio) for audio in rows["audio"]] for name, rows in corpus.splits.items()}
    check_disjoint(corpus)
    data = data_fingerprint(corpus, fingerprints)

    # 3. Representations: every branch of every system, once per clip
    branches = [branch for spec in run.specs.values() for branch in spec.branch_settings]
    with state.main_process_first():
        library = EncoderLibrary(run.encoders, branches, cache)
    clips = {
        f: a for name, rows in corpus.splits.items() for f, a in zip(fingerprints[name], rows["audio"], strict=True)
    }
    caches = extract_frames(clips, branches, library, cache / "frames", run.extraction_batch_size)

    # 4. Systems: baseline, teacher, students; each once per seed
    stages = make_stages(run, training, corpus, fingerprints, caches, library, data)
    for system in stages.values():
        for stage in system:
            run_stage(stage, training.per_device_eval_batch_size)

    # 5. Checkpoints and report
    results = {}
    if state.is_main_process:
        results = finish(run, output, corpus, stages, library, data)
        print(render_markdown(results))
        logger.info("done in %.0f s: %s", time.perf_counter() - started, output / "results.md")
    state.wait_for_everyone()
    return results


def make_stages(
    run: RunArguments, training: TrainingArguments, corpus: Corpus, fingerprints, caches, library, data: str
) -> dict[str, list[Stage]]:
    """Per system its stages, one per seed, teachers first."""
    emotions = sorted({name for name in corpus.splits["train"]["emotion"] if name is not None})
    stages: dict[str, list[Stage]] = {}
    for name, spec in run.specs.items():
        config = build_config(spec, library.configs, run.head, corpus.label_range, emotions)
        own = {branch.name: caches[branch.name] for branch in config.branches}
        stages[name] = [
            Stage(
                spec=spec,
                seed=seed,
                config=config,
                datasets={s: FrameDataset(rows, fingerprints[s], own, emotions) for s, rows in corpus.splits.items()},
                arguments=training,
                patience=run.early_stopping_patience,
                folder=Path(training.output_dir) / "stages" / name / f"seed{seed}",
                data_fingerprint=data,
                teacher=stages[spec.teacher][index] if spec.teacher else None,
            )
            for index, seed in enumerate(run.seeds)
        ]
    return stages


def finish(run: RunArguments, output: Path, corpus: Corpus, stages, library: EncoderLibrary, data: str) -> dict:
    """Write and verify each system's checkpoint, then the report."""
    described = {"corpus": describe_corpus(corpus, data), "environment": describe_environment()}
    test_splits = [name for name in corpus.splits if name not in ("train", "development")]
    parameters = {}
    for name, system in stages.items():
        folder = write_checkpoint(system, library, output / name, described)
        verify_checkpoint(folder, best_stage(system).folder, "development", corpus.splits["development"]["audio"][:8])
        parameters[name] = AutoModel.from_pretrained(folder).num_parameters()
    return write_report(output, stages, parameters, test_splits, **described, bootstrap_samples=run.bootstrap_samples)


def _set_up_logging(state: PartialState) -> None:
    level = logging.INFO if state.is_main_process else logging.WARNING
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S", level=level, force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    transformers_logging.set_verbosity_error()  # heads without a front end load with keys missing on purpose
    transformers_logging.disable_progress_bar()  # of saving and loading; training keeps its own


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"error: {error}")
