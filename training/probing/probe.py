"""Which hidden state of an encoder knows what, and how few of its dimensions suffice."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from accelerate import PartialState

from speech_affect import DIMENSIONS

from ..encoders.library import EncoderLibrary
from ..metrics.ccc.concordance import concordance_correlation
from .feature_ranking import rank_dimensions
from .pooled_states import PooledStates, extract_pooled_states
from .probe_figures import draw_layers, draw_subspace
from .ridge import Ridge, choose_ridge


logger = logging.getLogger(__name__)

KEYS = (*DIMENSIONS, "mean")


def probe_layers(pooled: Mapping[str, Sequence[np.ndarray]], labels: Mapping[str, np.ndarray]) -> list[dict]:
    """
    CCC of a ridge regression on each hidden state, averaged over the utterance. Nothing in it is random.

    Args:
        pooled: per split its hidden states, each (clips, width): an array (hidden states, clips, width) or
            [`PooledStates`]. With `train` to fit on and `development` to choose the penalty by.
        labels: per split (clips, 3): activation, valence, dominance.

    Returns:
        per hidden state and split other than `train`: `{"hidden_state", "split", "ccc", "penalty"}`, where `ccc` has
        each dimension and their mean.

    Raises:
        ValueError: a split is missing, or shapes do not fit.
    """
    _check_splits(pooled, labels)
    rows = []
    for hidden_state in range(len(pooled["train"])):
        inputs = {split: states[hidden_state] for split, states in pooled.items()}
        fit = _fit(inputs, labels)
        rows += [{"hidden_state": hidden_state, **row} for row in _scores(fit, inputs, labels)]
    return rows


def best_hidden_state(rows: list[dict]) -> int:
    """The hidden state with the highest mean CCC on development, the lowest of equals; rows of [`probe_layers`]."""
    development = [row for row in rows if row["split"] == "development"]
    return max(development, key=lambda row: (row["ccc"]["mean"], -row["hidden_state"]))["hidden_state"]


def probe_subspaces(
    inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, list[dict]]:
    """
    CCC of ridge regressions on the most salient dimensions of one hidden state, fitted anew for each number of them.

    Such low-dimensional subspaces are what Mitra, Nie and Azemi look for ("Investigating salient representations and
    label variance in dimensional speech emotion analysis", arXiv 2312.16180). The ranking here is forward selection on
    training data ([`salience.rank_dimensions`]) with the penalty of the fit on all dimensions, and so one for the
    three outputs together.

    Args:
        inputs: per split (clips, width), with `train` and `development`.
        labels: per split (clips, 3).

    Returns:
        the ranking (width,), and per number of dimensions (1, 2, 4, ... width) and split other than `train`:
        `{"dimensions", "split", "ccc", "penalty"}`.
    """
    fit = _fit(inputs, labels)
    ranking = rank_dimensions(fit.standardise(inputs["train"]), labels["train"], fit.penalty)
    width = len(ranking)
    sizes = [2**power for power in range(width.bit_length()) if 2**power < width] + [width]
    rows = []
    for size in sizes:
        kept = {split: values[:, ranking[:size]] for split, values in inputs.items()}
        rows += [{"dimensions": size, **row} for row in _scores(_fit(kept, labels), kept, labels)]
    return ranking, rows


def run_probe(
    library: EncoderLibrary,
    encoder: str,
    splits: Mapping,
    fingerprints: Mapping[str, list[str]],
    root: Path,
    batch_size: int,
    output: Path,
) -> dict:
    """
    Probe one encoder of a run on its corpus: `probe_<encoder>.json`, `.csv`, and per split other than `train` the
    figures `probe_<encoder>_layers_<split>.png` and `probe_<encoder>_subspace_<split>.png`.

    Every process has to call it: they share the clips. The main process alone fits and writes.

    Args:
        library: made with [`pooled_states.all_states_branch`] of the encoder.
        encoder: its name in the library.
        splits: `corpus.splits` with labelled clips alone, `train` and `development` among them.
        fingerprints: per split those of its clips' audio.
        root: folder of the caches.
        batch_size: clips per batch through the encoder.
        output: folder, made where it is not there.

    Returns:
        what is in the JSON; in other processes than the main one, nothing.

    Raises:
        ValueError: an encoder or a split that is not there, or clips without labels.
    """
    if not re.fullmatch(r"[\w-]+", encoder):
        raise ValueError(f"encoder name {encoder!r} names files: letters, digits, - and _ only")
    labels = _labels(splits)
    clips = {f: a for name, rows in splits.items() for f, a in zip(fingerprints[name], rows["audio"], strict=True)}
    cache = extract_pooled_states(clips, library, encoder, root, batch_size)
    state = PartialState()
    result = {}
    if state.is_main_process:
        pooled = {name: PooledStates(cache, fingerprints[name]) for name in splits}
        result = {"name": encoder, "source": library.identity(encoder), **_probe(pooled, labels)}
        _write(result, output)
    state.wait_for_everyone()
    return result


def _labels(splits: Mapping) -> dict[str, np.ndarray]:
    for needed in ("train", "development"):
        if needed not in splits:
            raise ValueError(f"a probe needs the split {needed!r}; there are: {', '.join(splits) or 'none'}")
    labels = {
        name: np.stack([np.asarray(rows[d], dtype=np.float64) for d in DIMENSIONS], axis=1)
        for name, rows in splits.items()
    }
    for name, values in labels.items():
        missing = int(np.isnan(values).any(axis=1).sum())
        if missing or not len(values):
            raise ValueError(
                f"split {name!r} has {len(values)} clips, {missing} of them without labels; "
                "give splits of labelled clips alone"
            )
    return labels


def _probe(pooled: dict[str, PooledStates], labels: dict[str, np.ndarray]) -> dict:
    layers = probe_layers(pooled, labels)
    best = best_hidden_state(layers)
    ranking, subspace = probe_subspaces({split: states[best] for split, states in pooled.items()}, labels)
    return {
        "clips": {split: len(values) for split, values in labels.items()},
        "best_hidden_state": best,
        "layers": layers,
        "salient_dimensions": ranking.tolist(),
        "subspace": subspace,
    }


def _fit(inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Ridge:
    return choose_ridge(inputs["train"], labels["train"], inputs["development"], labels["development"])


def _scores(fit: Ridge, inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> list[dict]:
    rows = []
    for split in labels:
        if split != "train":
            ccc = concordance_correlation(fit.predict(inputs[split]), labels[split])
            scores = dict(zip(KEYS, [*ccc.tolist(), float(ccc.mean())], strict=True))
            rows.append({"split": split, "ccc": scores, "penalty": fit.penalty})
    return rows


def _check_splits(pooled: Mapping[str, Sequence[np.ndarray]], labels: Mapping[str, np.ndarray]) -> None:
    if set(pooled) != set(labels) or not {"train", "development"} <= set(labels):
        raise ValueError(
            f"pooled states are of {', '.join(pooled) or 'no split'}, labels of {', '.join(labels) or 'no split'}; "
            "give both for the same splits, train and development among them"
        )
    counts = {split: len(states) for split, states in pooled.items()}
    if len(set(counts.values())) != 1 or not counts["train"]:
        raise ValueError(f"the splits have different numbers of hidden states: {counts}; pool them by one encoder")
    for split, values in labels.items():
        if values.ndim != 2 or values.shape[1] != len(DIMENSIONS):
            raise ValueError(f"labels of {split!r} have shape {values.shape}; give (clips, {len(DIMENSIONS)})")


def _write(result: dict, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    stem = f"probe_{result['name']}"
    _write_csv(output / f"{stem}.csv", result)
    for split in result["clips"]:
        if split != "train":
            draw_layers(output / f"{stem}_layers_{split}.png", result, split)
            draw_subspace(output / f"{stem}_subspace_{split}.png", result, split)
    # last, so that it stands for all of them
    temporary = output / f".{stem}.json"
    temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, output / f"{stem}.json")
    logger.info("probe of %s: best hidden state %d; %s", result["name"], result["best_hidden_state"], output)


def _write_csv(path: Path, result: dict) -> None:
    """A row per fit and split: `layers` on all dimensions of a hidden state, `subspace` on the most salient."""
    width, best = len(result["salient_dimensions"]), result["best_hidden_state"]
    rows = [("layers", row["hidden_state"], width, row) for row in result["layers"]]
    rows += [("subspace", best, row["dimensions"], row) for row in result["subspace"]]
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["probe", "hidden_state", "dimensions", "split", "penalty", *(f"ccc_{key}" for key in KEYS)])
        for probe, hidden_state, dimensions, row in rows:
            scores = [repr(row["ccc"][key]) for key in KEYS]
            writer.writerow([probe, hidden_state, dimensions, row["split"], repr(row["penalty"]), *scores])
    os.replace(temporary, path)
