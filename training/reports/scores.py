"""Score a system on a split: CCC with intervals, of all clips and of groups, calibration; and compare systems."""

from collections.abc import Sequence

import numpy as np

from speech_affect import DIMENSIONS

from ..metrics.bootstrap import Difference, Interval, bootstrap_ccc, paired_bootstrap
from ..metrics.calibration import coverage
from ..metrics.listeners import further_listener, grade_spread, spread_agreement
from ..metrics.rated import concordance_within, mean_of_rated, rows_of_groups
from ..settings.finished import ROLE, CheckpointSpec
from ..settings.labels import UNKNOWN
from ..settings.split_key import SplitKey
from ..settings.systems import SystemSpec
from .evaluation import Evaluation


KEYS = (*DIMENSIONS, "mean")  # the value of what nobody rated is None
SMALLEST_GROUP = 10  # clips; the CCC of fewer says nothing


def split_scores(evaluation: Evaluation, bootstrap_samples: int) -> dict:
    """Compute all scores of one system on one split, as they are in `results.json`.

    Of several corpora every CCC is the mean over the corpora of that within each.
    """
    table = evaluation.table
    scores = {
        **ccc_scores(evaluation),
        "speakers": len(set(table.speakers) - {None, UNKNOWN}),
        "ccc_per_seed": {
            key: None if np.isnan(seeds).any() else seeds.tolist()
            for key, seeds in zip(KEYS, _ccc_per_seed(evaluation).T, strict=True)
        },
        "ci95": _intervals(evaluation, bootstrap_samples),
        "by_gender": group_scores(evaluation, table.genders, bootstrap_samples),
        "by_speaker": group_scores(evaluation, table.speakers),
    }
    if any(table.corpora):
        scores["by_corpus"] = group_scores(evaluation, table.corpora, bootstrap_samples)
        scores["by_language"] = group_scores(evaluation, table.languages, bootstrap_samples)
    if evaluation.uncertainty is not None:
        scores["coverage"] = _coverage(evaluation)
        scores["spread"] = _spread(evaluation)
    return scores


def ccc_scores(evaluation: Evaluation) -> dict:
    """Compute the number of clips, and of those with a label, and mean and spread of the CCC over seeds."""
    seeds = _ccc_per_seed(evaluation)
    return {
        "n": len(evaluation.labels),
        "rated": dict(zip(DIMENSIONS, (~np.isnan(evaluation.labels)).sum(axis=0).tolist(), strict=True)),
        "ccc": _by_key(seeds.mean(axis=0)),
        "ccc_std_over_seeds": _by_key(seeds.std(axis=0)),
    }


def _by_key(values: Sequence[float], keys: Sequence[str] = KEYS) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else float(value) for key, value in zip(keys, values, strict=True)}


def group_scores(
    evaluation: Evaluation, groups: Sequence[str | None], bootstrap_samples: int | None = None
) -> dict[str, dict]:
    """Compute the scores of each group of 10 clips or more; clips without a known group are left out.

    So is a dimension in which fewer clips of the group were rated, in each corpus of the group by itself.
    """
    scores = {}
    for group in sorted(set(groups) - {None, UNKNOWN}, key=_natural):
        members = np.flatnonzero([name == group for name in groups])
        if len(members) >= SMALLEST_GROUP:
            part = evaluation.take(members)
            labels = part.labels.copy()
            for rows in rows_of_groups(part.table.corpora, len(labels)):
                labels[rows] = np.where((~np.isnan(labels[rows])).sum(axis=0) < SMALLEST_GROUP, np.nan, labels[rows])
            part = part.with_labels(labels)
            scores[group] = ccc_scores(part)
            if bootstrap_samples is not None:
                scores[group]["ci95"] = _intervals(part, bootstrap_samples)
    return scores


def _natural(name: str) -> tuple:
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def _ccc_per_seed(evaluation: Evaluation) -> np.ndarray:
    """Return (seeds, 4): CCC of each dimension, and the mean of those averaged; NaN where too few were rated."""
    groups = evaluation.table.corpora
    ccc = np.stack([concordance_within(logits, evaluation.labels, groups) for logits in evaluation.logits])
    return np.column_stack([ccc, mean_of_rated(ccc[:, evaluation.averaged])])


def _intervals(evaluation: Evaluation, bootstrap_samples: int) -> dict[str, list[float] | None]:
    settings = {"num_samples": bootstrap_samples, "averaged": evaluation.averaged, "groups": evaluation.table.corpora}
    return _bounds(bootstrap_ccc(evaluation.logits, evaluation.labels, **settings))


def _bounds(rows: Sequence[Interval | Difference]) -> dict[str, list[float] | None]:
    pairs = zip(KEYS, rows, strict=True)
    return {key: None if np.isnan(row.low) else [row.low, row.high] for key, row in pairs}


def _coverage(evaluation: Evaluation) -> dict:
    """Return the share of labels inside the central intervals, per level and dimension, as the mean over seeds."""
    seeds = [
        coverage(logits, evaluation.labels, uncertainty)
        for logits, uncertainty in zip(evaluation.logits, evaluation.uncertainty, strict=True)
    ]
    return {f"{level:g}": _by_key(np.mean([seed[level] for seed in seeds], axis=0), DIMENSIONS) for level in seeds[0]}


def _spread(evaluation: Evaluation) -> dict:
    """Return how predicted deviations follow those of the clip's grades, as the mean over seeds, per dimension."""
    spread = np.where(np.isnan(evaluation.labels), np.nan, grade_spread(evaluation.table.grades))
    ccc, pearson = np.transpose([spread_agreement(seed, spread) for seed in evaluation.uncertainty], (1, 0, 2))
    return {
        "clips": dict(zip(DIMENSIONS, (~np.isnan(spread)).sum(axis=0).tolist(), strict=True)),
        "ccc": _by_key(ccc.mean(axis=0), DIMENSIONS),
        "pearson": _by_key(pearson.mean(axis=0), DIMENSIONS),
    }


def listener_scores(evaluation: Evaluation) -> dict | None:
    """Compute what one further listener reaches on these clips; None where no clip has three listeners.

    It is the CCC of each listener's grade with the mean of the others', over clips with three listeners or more.
    """
    table = evaluation.table
    ccc, clips, grades = further_listener(table.grades, table.corpora)
    if not clips.any():
        return None
    return {
        "ccc": _by_key([*ccc, mean_of_rated(ccc[list(evaluation.averaged)])]),
        "clips": dict(zip(DIMENSIONS, clips.tolist(), strict=True)),
        "grades": dict(zip(DIMENSIONS, grades.tolist(), strict=True)),
    }


def comparisons(
    specs: dict[str, SystemSpec | CheckpointSpec], evaluations: dict[SplitKey, dict[str, Evaluation]], samples: int
) -> list[dict]:
    """Test the pairs of [`pairs`] on every split without a condition, by `samples` bootstrap resamples."""
    return [
        {"system": a, "against": b, "split": str(key), **_compare(systems[a], systems[b], samples)}
        for key, systems in evaluations.items()
        for a, b in pairs(specs)
        if not key.condition and a in systems and b in systems
    ]


def pairs(specs: dict[str, SystemSpec | CheckpointSpec]) -> list[tuple[str, str]]:
    """Return the pairs of systems to compare: every system with the baseline; a distilled or pre-trained student with
    each other student on the same input without a teacher; a teacher with the student on the baseline's input and the
    same training clips; a system with those that its settings name; every system with each finished model, and of
    these alone each with the first.
    """
    finished = [name for name, spec in specs.items() if spec.role == ROLE]
    specs = {name: spec for name, spec in specs.items() if spec.role != ROLE}
    if not specs:
        return [(name, finished[0]) for name in finished[1:]]
    baseline = next((name for name, spec in specs.items() if spec.role == "baseline"), None)
    found = [(name, baseline) for name in specs if baseline and name != baseline]
    plain = {name: spec for name, spec in specs.items() if spec.role == "student" and not spec.teachers}
    for name, spec in specs.items():
        for other, student in plain.items():
            helped = spec.teachers or (spec.pretraining and name != other)
            distilled = helped and student.branch_settings == spec.branch_settings
            teaches = spec.role == "teacher" and baseline and student.augmented == spec.augmented
            if distilled or (teaches and student.branch_settings == specs[baseline].branch_settings):
                found.append((name, other))
    found += [(name, other) for name, spec in specs.items() for other in spec.compared_with if other in specs]
    return list(dict.fromkeys(found + [(name, other) for name in specs for other in finished]))


def _compare(a: Evaluation, b: Evaluation, samples: int) -> dict:
    labels = np.where(np.isnan(b.labels), np.nan, a.labels)
    settings = {"num_samples": samples, "averaged": a.averaged, "groups": a.table.corpora}
    test = paired_bootstrap(a.logits, b.logits, labels, **settings)
    own, other = (_ccc_per_seed(each.with_labels(labels)).mean(axis=0) for each in (a, b))
    relative = [float(x / y - 1) if y > 0 else None for x, y in zip(own, other, strict=True)]  # false for NaN
    return {
        "difference": _by_key([row.estimate for row in test]),
        "relative": dict(zip(KEYS, relative, strict=True)),
        "ci95": _bounds(test),
        "p_value": _by_key([row.p_value for row in test]),
    }
