"""From the jobs' predictions to results.json, results.md and figures."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from ..jobs.checkpoint import best_job
from ..jobs.job import Job
from .evaluation import Evaluation, read_evaluations
from .figures import draw_ccc, draw_circumplex, draw_conditions, draw_scatter
from .results_table import render_markdown
from .scores import comparisons, condition_scores, split_scores


# of the model's configuration, and of the training arguments, what a model card tells
CONFIGURED = ("fusion_level", "emotion_names", "gender_names", "predict_uncertainty", "conv_channels")
CONFIGURED += ("num_gru_layers", "gru_hidden_size", "embedding_size", "mask_time_prob", "mask_feature_prob")
TRAINED_WITH = ("per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "weight_decay")
# systems that get a panel of their own
MOST_PANELS = 8


def write_report(
    folder: Path,
    jobs: dict[str, dict[str, list[Job]]],
    parameters: dict[str, int],
    corpus: dict,
    encoders: dict[str, dict],
    environment: dict,
    bootstrap_samples: int,
) -> dict:
    """
    Write `results.json`, `results.md` and `figures/` into the run's folder.

    Args:
        folder: of the run.
        jobs: per data_splits (empty name: the given splits) and system its finished jobs, one per seed.
        parameters: per system all numbers that its checkpoint needs, encoders included.
        corpus, encoders, environment: as `provenance` describes them.
        bootstrap_samples: resamples behind each interval.

    Returns:
        what is in `results.json`.
    """
    evaluations = read_evaluations(jobs)
    plain = [split for split in evaluations if "@" not in split]
    systems = [_system(jobs, name, parameters[name], evaluations, bootstrap_samples) for name in jobs[""]]
    specs = {name: runs[0].spec for name, runs in jobs[""].items()}
    results = {
        "systems": systems,
        "comparisons": comparisons(specs, evaluations, plain, bootstrap_samples),
        "corpus": corpus,
        "encoders": encoders,
        "environment": environment,
    }
    _write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    _write_text(folder / "results.md", render_markdown(results))
    _draw(folder / "figures", systems, evaluations, plain, corpus)
    return results


def _system(jobs, name: str, parameters: int, evaluations: dict, bootstrap_samples: int) -> dict:
    given = jobs[""][name]
    spec, config = given[0].spec, given[0].config
    every = [job for data_splits in jobs.values() for job in data_splits.get(name, [])]
    scores, conditions = {}, {}
    for split, systems in evaluations.items():
        if name not in systems:
            continue
        if "@" in split:
            test, condition = split.split("@")
            conditions.setdefault(test, {})[condition] = condition_scores(systems[name])
        else:
            scores[split] = split_scores(systems[name], bootstrap_samples)
    return {
        "name": spec.name,
        "role": spec.role,
        "inputs": [branch.name for branch in config.branches],
        "teacher": spec.teacher,
        "parameters": parameters,
        "trained_parameters": given[0].result()["trained_parameters"],
        "seeds": [job.seed for job in given],
        "steps": [job.result()["steps"] for job in given],
        "training_seconds": sum(job.result()["seconds"] for job in every),
        "checkpoint": _checkpoint(best_job(given)),
        "splits": scores,
        "conditions": conditions,
    }


def _checkpoint(best: Job) -> dict:
    """What is in the system's folder: whose seed, what it hears and says, how it was trained."""
    spec, config, training = best.spec, best.config, best.training_arguments()
    return {
        "fingerprint": best.fingerprint,
        "seed": best.seed,
        "branches": [_branch(branch, config) for branch in config.branches],
        **{name: getattr(config, name) for name in CONFIGURED},
        **{name: getattr(spec, name) for name in ("augmented", "unlabelled")},
        "distillation": asdict(spec.distillation) if spec.distillation else None,
        "training": {name: getattr(training, name) for name in TRAINED_WITH},
    }


def _branch(branch, config) -> dict:
    described = {"source": branch.source, "text": config.is_text_branch(branch)}
    names = ("num_mel_bins", "window_s", "hop_s") if branch.is_acoustic else ("hidden_state",)
    return described | {name: getattr(branch, name) for name in names}


def _draw(folder: Path, systems: list[dict], evaluations: dict[str, dict[str, Evaluation]], splits, corpus: dict):
    folder.mkdir(exist_ok=True)
    crossed = next((systems for split, systems in evaluations.items() if split.startswith("cv")), {})
    for split in splits:
        shown = {name: e for name, e in evaluations[split].items() if name in crossed or not crossed}
        shown = dict(list(shown.items())[:MOST_PANELS])
        scored = [system for system in systems if split in system["splits"]]
        draw_ccc(folder / f"ccc_{split}.png", scored, split, corpus["name"])
        draw_scatter(folder / f"scatter_{split}.png", shown, split, corpus)
        draw_circumplex(folder / f"circumplex_{split}.png", shown, split, corpus)
        degraded = [system for system in systems if split in system["conditions"]]
        if degraded:
            draw_conditions(folder / f"conditions_{split}.png", degraded, split, corpus["name"])


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
