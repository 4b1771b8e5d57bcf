"""From the stages' predictions to results.json, results.md and figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from figures import draw_ccc, draw_scatter
from prediction import read_predictions
from stage import Stage
from systems import SystemSpec

from corpora.corpus import DIMENSIONS
from metrics.bootstrap import BootstrapIntervals, bootstrap_ccc, paired_bootstrap
from metrics.ccc.concordance import concordance_correlation


KEYS = (*DIMENSIONS, "mean")


def write_report(
    folder: Path,
    stages: dict[str, list[Stage]],
    parameters: dict[str, int],
    test_splits: list[str],
    corpus: dict,
    environment: dict,
    bootstrap_samples: int,
) -> dict:
    """
    Write `results.json`, `results.md` and `figures/` into the run's folder.

    Args:
        folder: of the run.
        stages: per system its finished stages, one per seed.
        parameters: per system all numbers that its checkpoint needs, encoders included.
        test_splits: labelled splits to report.
        corpus, environment: as `provenance` describes them.
        bootstrap_samples: resamples behind each interval.

    Returns:
        what is in `results.json`.
    """
    predictions = {split: {name: _read(runs, split) for name, runs in stages.items()} for split in test_splits}
    systems = [
        _system(runs, parameters[name], {s: predictions[s][name] for s in test_splits}, bootstrap_samples)
        for name, runs in stages.items()
    ]
    specs = {name: runs[0].spec for name, runs in stages.items()}
    comparisons = [
        {"system": a, "against": b, "split": split, **_compare(predictions[split], a, b, bootstrap_samples)}
        for split in test_splits
        for a, b in _pairs(specs)
    ]
    results = {"systems": systems, "comparisons": comparisons, "corpus": corpus, "environment": environment}
    _write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    _write_text(folder / "results.md", render_markdown(results))
    (folder / "figures").mkdir(exist_ok=True)
    for split in test_splits:
        draw_ccc(folder / "figures" / f"ccc_{split}.png", systems, split, corpus["name"])
        draw_scatter(folder / "figures" / f"scatter_{split}.png", predictions[split], split, corpus)
    return results


def _read(stages: list[Stage], split: str) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (seeds, clips, 3) and labels (clips, 3) of one system."""
    seeds = [read_predictions(stage.folder / f"predictions_{split}.csv") for stage in stages]
    return np.stack([predictions.logits for predictions in seeds]), seeds[0].labels


def _system(stages: list[Stage], parameters: int, predictions: dict, bootstrap_samples: int) -> dict:
    spec, config = stages[0].spec, stages[0].config
    return {
        "name": spec.name,
        "role": spec.role,
        "inputs": [branch.name for branch in config.branches],
        "teacher": spec.teacher,
        "parameters": parameters,
        "trained_parameters": stages[0].result()["trained_parameters"],
        "seeds": [stage.seed for stage in stages],
        "training_seconds": sum(stage.result()["seconds"] for stage in stages),
        "splits": {split: _scores(*pair, bootstrap_samples) for split, pair in predictions.items()},
    }


def _scores(predictions: np.ndarray, labels: np.ndarray, bootstrap_samples: int) -> dict:
    seeds = np.stack([concordance_correlation(run, labels) for run in predictions])
    seeds = np.column_stack([seeds, seeds.mean(axis=1)])
    intervals = _by_key(bootstrap_ccc(predictions, labels, num_samples=bootstrap_samples))
    return {
        "n": len(labels),
        "ccc": dict(zip(KEYS, seeds.mean(axis=0).tolist(), strict=True)),
        "ccc_std_over_seeds": dict(zip(KEYS, seeds.std(axis=0).tolist(), strict=True)),
        "ccc_per_seed": {key: seeds[:, i].tolist() for i, key in enumerate(KEYS)},
        "ci95": {key: [interval.low, interval.high] for key, interval in intervals.items()},
    }


def _by_key(intervals: BootstrapIntervals) -> dict:
    return dict(zip(KEYS, [*intervals.dimensions, intervals.mean], strict=True))


def _pairs(specs: dict[str, SystemSpec]) -> list[tuple[str, str]]:
    """Every system against the baseline, and a distilled student against the same student without a teacher."""
    baseline = next((name for name, spec in specs.items() if spec.role == "baseline"), None)
    pairs = [(name, baseline) for name in specs if baseline and name != baseline]
    for name, spec in specs.items():
        plain = [n for n, s in specs.items() if s.role == "student" and not s.teacher and s.branches == spec.branches]
        if spec.teacher and plain:
            pairs.append((name, plain[0]))
    return pairs


def _compare(predictions: dict, system: str, against: str, bootstrap_samples: int) -> dict:
    (a, labels), (b, _) = predictions[system], predictions[against]
    test = _by_key(paired_bootstrap(a, b, labels, num_samples=bootstrap_samples))
    return {
        "difference": {key: d.estimate for key, d in test.items()},
        "ci95": {key: [d.low, d.high] for key, d in test.items()},
        "p_value": {key: d.p_value for key, d in test.items()},
    }


def render_markdown(results: dict) -> str:
    """The results as tables for reading: a row per system, a table per split."""
    corpus = results["corpus"]
    lines = [f"# Results on {corpus['name']}", "", corpus["note"], ""]
    for split in results["systems"][0]["splits"] if results["systems"] else []:
        lines += _split_table(results["systems"], split) + _comparison_table(results["comparisons"], split)
    lines += ["## Corpus", "", "| split | clips | speakers |", "|---|---|---|"]
    lines += [f"| {split} | {size['clips']} | {size['speakers']} |" for split, size in corpus["splits"].items()]
    packages = ", ".join(f"{k} {v}" for k, v in results["environment"]["packages"].items())
    lines += ["", f"Code {results['environment']['git_commit']}; {packages}.", ""]
    return "\n".join(lines)


def _split_table(systems: list[dict], split: str) -> list[str]:
    sizes = systems[0]["splits"][split]["n"]
    lines = [
        f"## {split}: CCC on {sizes} clips",
        "",
        "Mean over seeds ± standard deviation over seeds, and the 95% bootstrap interval over clips.",
        "",
        "| system | role | inputs | parameters | seeds | " + " | ".join(KEYS) + " |",
        "|---" * (5 + len(KEYS)) + "|",
    ]
    for system in systems:
        scores = system["splits"][split]
        cells = [
            f"{scores['ccc'][k]:.3f} ± {scores['ccc_std_over_seeds'][k]:.3f} "
            f"[{scores['ci95'][k][0]:.3f}, {scores['ci95'][k][1]:.3f}]"
            for k in KEYS
        ]
        head = [system["name"], system["role"], " + ".join(system["inputs"]), f"{system['parameters']:,}"]
        lines.append("| " + " | ".join([*head, str(len(system["seeds"])), *cells]) + " |")
    return [*lines, ""]


def _comparison_table(comparisons: list[dict], split: str) -> list[str]:
    rows = [c for c in comparisons if c["split"] == split]
    if not rows:
        return []
    lines = [
        "Differences in CCC, with the p-value of a paired bootstrap over clips:",
        "",
        "| system | against | " + " | ".join(KEYS) + " |",
        "|---" * (2 + len(KEYS)) + "|",
    ]
    for row in rows:
        cells = [f"{row['difference'][k]:+.3f} (p {row['p_value'][k]:.3f})" for k in KEYS]
        lines.append("| " + " | ".join([row["system"], row["against"], *cells]) + " |")
    return [*lines, ""]


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
