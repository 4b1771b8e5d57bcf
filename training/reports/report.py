"""Write results.json, results.md and figures from the predictions of a run's jobs."""

from dataclasses import asdict, replace
from pathlib import Path

from ..files import write_json, write_text
from ..jobs.checkpoint import best_job
from ..jobs.data_splits import TRAIN
from ..jobs.finished import FinishedJob, warnings_of
from ..jobs.job import Job
from ..jobs.provenance import size_of
from ..settings.split_key import SplitKey
from .evaluation import Evaluation, read_evaluations
from .figures import draw_ccc, draw_circumplex, draw_conditions, draw_scatter
from .results_table import render_markdown
from .scores import ccc_scores, comparisons, listener_scores, split_scores


# settings of the model, and training arguments, that a model card shows
CONFIGURED = ("fusion_level", "emotion_names", "gender_names", "predict_uncertainty", "conv_channels")
CONFIGURED += ("num_gru_layers", "gru_hidden_size", "embedding_size", "mask_time_prob", "mask_feature_prob")
TRAINED_WITH = ("per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "weight_decay")
MOST_PANELS = 8  # of figures with a panel per system


def write_report(
    folder: Path,
    jobs: dict[str, dict[str, list[Job | FinishedJob]]],
    parameters: dict[str, int],
    corpus: dict,
    encoders: dict[str, dict],
    environment: dict,
    bootstrap_samples: int,
) -> dict:
    """Write `results.json`, `results.md` and `figures/` into the run's folder.

    Args:
        folder: Folder of the run.
        jobs: Finished jobs, as [`read_evaluations`] takes them.
        parameters: Per trained system the number of parameters of its checkpoint, encoders included.
        corpus, encoders, environment: Descriptions by `provenance`.
        bootstrap_samples: Resamples for each interval.

    Returns:
        The content of `results.json`.
    """
    evaluations = read_evaluations(jobs, corpus)
    corpus = {**corpus, "listeners": _listeners(evaluations)}
    systems = []
    for name, (first, *_) in jobs[""].items():
        if isinstance(first, FinishedJob):
            about = _finished(first, [one for parts in jobs.values() for one in parts.get(name, [])], corpus)
        else:
            about = _trained(jobs, name, parameters[name])
        systems.append({**about, **_scores(name, evaluations, bootstrap_samples)})
    specs = {name: runs[0].spec for name, runs in jobs[""].items()}
    results = {
        "systems": systems,
        "comparisons": comparisons(specs, evaluations, bootstrap_samples),
        "corpus": corpus,
        "encoders": encoders,
        "environment": environment,
    }
    write_json(folder / "results.json", results)
    write_text(folder / "results.md", render_markdown(results))
    _draw(folder / "figures", systems, evaluations, corpus)
    return results


def _listeners(evaluations: dict[SplitKey, dict[str, Evaluation]]) -> dict[str, dict]:
    """Return per split with listeners' ratings what one further listener reaches on its clips."""
    first = {key: next(iter(e.values())) for key, e in evaluations.items() if not (key.condition or key.by_word)}
    found = {str(key): listener_scores(evaluation) for key, evaluation in first.items()}
    return {split: scores for split, scores in found.items() if scores is not None}


def _scores(name: str, evaluations: dict, bootstrap_samples: int) -> dict:
    scores, conditions = {}, {}
    for key, systems in evaluations.items():
        if name in systems and key.condition:
            conditions.setdefault(str(replace(key, condition="")), {})[key.condition] = ccc_scores(systems[name])
        elif name in systems:
            scores[str(key)] = split_scores(systems[name], bootstrap_samples)
    return {"splits": scores, "conditions": conditions}


def _finished(job: FinishedJob, every: list[FinishedJob], corpus: dict) -> dict:
    """Describe a model that was not trained here: no seeds, steps or inputs but its own; `every` has folds as well."""
    model, nothing = job.model, dict.fromkeys(("trained_parameters", "trainings", "training_seconds"), 0)
    return {
        "name": job.spec.name,
        "role": job.spec.role,
        "inputs": ["audio", "transcript"] if model.reads_text else ["audio"],
        "teacher": None,
        "parameters": model.parameters,
        **nothing,
        "seeds": [],
        "steps": [],
        "checkpoint": {
            "id": model.source.name,
            "revision": model.source.revision,
            "license": model.source.license,
            "outputs": model.outputs,
            "output_range": list(model.output_range),
        },
        "warnings": warnings_of(job, corpus, every),
    }


def _trained(jobs: dict, name: str, parameters: int) -> dict:
    given = jobs[""][name]
    spec, config = given[0].spec, given[0].config
    every = [job for data_splits in jobs.values() for job in data_splits.get(name, [])]
    return {
        "name": spec.name,
        "role": spec.role,
        "inputs": [branch.name for branch in config.branches],
        "teacher": spec.teacher,
        "parameters": parameters,
        "trained_parameters": given[0].result()["trained_parameters"],
        "seeds": [job.seed for job in given],
        "steps": [job.result()["steps"] for job in given],
        "trainings": len(every),
        "training_seconds": sum(job.result()["seconds"] for job in every),
        "peak_memory_mb": max(job.result().get("peak_memory_mb") or 0 for job in every) or None,
        "checkpoint": _checkpoint(best_job(given)),
    }


def _checkpoint(best: Job) -> dict:
    """Describe the system's checkpoint: its seed, inputs, tasks and training."""
    spec, config, training = best.spec, best.config, best.training_arguments()
    return {
        "fingerprint": best.fingerprint,
        "seed": best.seed,
        "branches": [_branch(branch, config) for branch in config.branches],
        "outputs": list(config.id2label.values()),
        **{name: getattr(config, name) for name in CONFIGURED},
        **{name: getattr(spec, name) for name in ("augmented", "unlabelled")},
        **({"languages": spec.languages, "train": size_of(best.tables[TRAIN])} if spec.languages else {}),
        **({"labels": spec.labels} if spec.labels else {}),
        "distillation": spec.distillation and spec.distillation.told(),
        "pretraining": asdict(spec.pretraining) if spec.pretraining else None,
        "init_from": best.initial_name,
        **({"auxiliary": {name: asdict(task) for name, task in spec.auxiliary.items()}} if spec.auxiliary else {}),
        "train_encoders": {name: asdict(training) for name, training in spec.train_encoders.items()},
        "training": {name: getattr(training, name) for name in TRAINED_WITH},
    }


def _branch(branch, config) -> dict:
    described = {"source": branch.source, "text": config.is_text_branch(branch)}
    names = ("num_mel_bins", "window_s", "hop_s", "normalization") if branch.is_acoustic else ("hidden_state",)
    return described | {name: getattr(branch, name) for name in names}


def _draw(folder: Path, systems: list[dict], evaluations: dict[SplitKey, dict[str, Evaluation]], corpus: dict) -> None:
    folder.mkdir(exist_ok=True)
    crossed = next((evaluated for key, evaluated in evaluations.items() if key.folds), {})
    for split, evaluated in {str(key): e for key, e in evaluations.items() if not key.condition}.items():
        shown = [(name, e) for name, e in evaluated.items() if name in crossed or not crossed]
        shown = dict(shown[:MOST_PANELS])
        scored = [system for system in systems if split in system["splits"]]
        draw_ccc(folder / f"ccc_{split}.png", scored, split, corpus)
        draw_scatter(folder / f"scatter_{split}.png", shown, split, corpus)
        draw_circumplex(folder / f"circumplex_{split}.png", shown, split, corpus)
        degraded = [system for system in systems if split in system["conditions"]]
        if degraded:
            draw_conditions(folder / f"conditions_{split}.png", degraded, split, corpus)
