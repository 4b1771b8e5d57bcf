"""From the stages' predictions to results.json, results.md and figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

from evaluation import Evaluation, read_evaluations
from figures import draw_ccc, draw_circumplex, draw_conditions, draw_scatter
from results_table import render_markdown
from scores import comparisons, condition_scores, split_scores
from stage import Stage


# systems that get a panel of their own
MOST_PANELS = 8


def write_report(
    folder: Path,
    stages: dict[str, dict[str, list[Stage]]],
    parameters: dict[str, int],
    corpus: dict,
    environment: dict,
    bootstrap_samples: int,
) -> dict:
    """
    Write `results.json`, `results.md` and `figures/` into the run's folder.

    Args:
        folder: of the run.
        stages: per division (empty name: the given splits) and system its finished stages, one per seed.
        parameters: per system all numbers that its checkpoint needs, encoders included.
        corpus, environment: as `provenance` describes them.
        bootstrap_samples: resamples behind each interval.

    Returns:
        what is in `results.json`.
    """
    evaluations = read_evaluations(stages)
    plain = [split for split in evaluations if "@" not in split]
    systems = [_system(stages, name, parameters[name], evaluations, bootstrap_samples) for name in stages[""]]
    specs = {name: runs[0].spec for name, runs in stages[""].items()}
    results = {
        "systems": systems,
        "comparisons": comparisons(specs, evaluations, plain, bootstrap_samples),
        "corpus": corpus,
        "environment": environment,
    }
    _write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    _write_text(folder / "results.md", render_markdown(results))
    _draw(folder / "figures", systems, evaluations, plain, corpus)
    return results


def _system(stages, name: str, parameters: int, evaluations: dict, bootstrap_samples: int) -> dict:
    given = stages[""][name]
    spec, config = given[0].spec, given[0].config
    every = [stage for division in stages.values() for stage in division.get(name, [])]
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
        "seeds": [stage.seed for stage in given],
        "steps": [stage.result()["steps"] for stage in given],
        "training_seconds": sum(stage.result()["seconds"] for stage in every),
        "splits": scores,
        "conditions": conditions,
    }


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
