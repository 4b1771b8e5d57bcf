"""Find which hidden state of an encoder knows what, and how few of its dimensions suffice."""

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from accelerate import PartialState

from speech_affect import DIMENSIONS

from ..audio.clip_loading import LoadableClip
from ..corpora.clip_table import ClipTable
from ..encoders.library import EncoderLibrary
from ..files import atomic_path, write_json
from ..metrics.rated import mean_of_rated, rated_concordance
from ..reports.scores import KEYS
from ..settings.labels import LEARNT_FROM
from ..settings.run_settings import RunSettings
from .pooled_states import PooledStates, all_states_branch, extract_pooled_states
from .probe_figures import draw_layers, draw_subspace
from .ridge import Ridge, choose_ridge, rank_dimensions


logger = logging.getLogger(__name__)


def probe_layers(pooled: Mapping[str, Sequence[np.ndarray]], labels: Mapping[str, np.ndarray]) -> list[dict]:
    """Return the CCC of a ridge regression on each hidden state, averaged over the utterance; nothing is random.

    Args:
        pooled: Split -> its hidden states, each (clips, width): an array (hidden states, clips, width) or
            [`PooledStates`]. With `train` to fit on and `development` to choose the penalty by.
        labels: Split -> (clips, 3): activation, valence, dominance; NaN where a clip was not rated. Dimensions that no
            two clips of `train` and of `development` were rated in are left out, and of `train` clips that were not
            rated in all others.

    Returns:
        For each hidden state and split other than `train`: `{"hidden_state", "split", "ccc", "penalty"}`, where `ccc`
        has each dimension and their mean, None where too few clips were rated.
    """
    rows = []
    for hidden_state in range(len(pooled["train"])):
        inputs = {split: states[hidden_state] for split, states in pooled.items()}
        rows += [{"hidden_state": hidden_state, **row} for row in _scores(_fit(inputs, labels), inputs, labels)]
    return rows


def best_hidden_state(rows: list[dict]) -> int:
    """Return the hidden state with the highest mean CCC on development, the lowest of equals, by [`probe_layers`]."""
    development = [row for row in rows if row["split"] == "development"]
    return max(development, key=lambda row: (row["ccc"]["mean"], -row["hidden_state"]))["hidden_state"]


def probe_subspaces(
    inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, list[dict]]:
    """Return the CCC of ridge regressions on the highest ranked dimensions of one hidden state.

    Such subspaces are studied by Mitra, Nie and Azemi, "Investigating salient representations and label variance in
    dimensional speech emotion analysis", arXiv 2312.16180. The ranking here is forward selection on training data
    ([`rank_dimensions`]) with the penalty of the fit on all dimensions, one ranking for the three outputs together.

    Args:
        inputs: Split -> (clips, width), with `train` and `development`.
        labels: Split -> (clips, 3).

    Returns:
        The ranking (width,), and for each number of dimensions (1, 2, 4, ... width) and split other than `train`:
        `{"dimensions", "split", "ccc", "penalty"}`.
    """
    fit = _fit(inputs, labels)
    columns, whole = _rated(labels)
    ranking = rank_dimensions(fit.standardise(inputs["train"][whole]), labels["train"][whole][:, columns], fit.penalty)
    width = len(ranking)
    sizes = [2**power for power in range(width.bit_length()) if 2**power < width] + [width]
    rows = []
    for size in sizes:
        kept = {split: values[:, ranking[:size]] for split, values in inputs.items()}
        rows += [{"dimensions": size, **row} for row in _scores(_fit(kept, labels), kept, labels)]
    return ranking, rows


def probe_encoders(
    run: RunSettings, tables: Mapping[str, ClipTable], audio: Mapping, cache_dir: Path, output: Path
) -> None:
    """Probe the encoders that a run names, as [`run_probe`] does; frames are kept in `cache_dir`.

    What listeners did not rate, and has labels of the emotion's word, is left out.
    """
    by_word = [d in run.corpus_facts.word_labelled for d in DIMENSIONS] if run.corpus_facts else False
    tables = {name: replace(t, labels=np.where(by_word, np.nan, t.labels)) for name, t in tables.items()}
    for name in run.probe:
        with PartialState().main_process_first():
            library = EncoderLibrary(run.encoders, [all_states_branch(name)], cache_dir)
        run_probe(library, name, tables, audio, cache_dir / "frames", run.extraction_batch_size, output)


def run_probe(
    library: EncoderLibrary,
    encoder: str,
    tables: Mapping[str, ClipTable],
    audio: Mapping[str, dict | LoadableClip],
    root: Path,
    batch_size: int,
    output: Path,
) -> dict:
    """Probe one encoder of a run on its corpus and write what was found.

    Writes `probe_<encoder>.json`, `.csv`, and for each split other than `train` the figures
    `probe_<encoder>_layers_<split>.png` and `probe_<encoder>_subspace_<split>.png`. Every process has to call it: they
    share the extraction; the main process alone fits and writes.

    Args:
        library, encoder, root: As for [`pooled_states.pooled_cache`].
        tables: Split -> its labelled clips, `train` and `development` among them.
        audio: Fingerprint -> the audio of a clip, at least of those in the tables.
        batch_size: Clips per batch through the encoder.
        output: Folder, created where it does not exist.

    Returns:
        Content of the JSON; in other processes than the main one, nothing.

    Raises:
        ValueError: The encoder is missing, or too few clips have labels.
    """
    if not re.fullmatch(r"[\w-]+", encoder):
        raise ValueError(f"encoder name {encoder!r} names files: letters, digits, - and _ only")
    labels = _labels(tables)
    clips = {fingerprint: audio[fingerprint] for table in tables.values() for fingerprint in table.fingerprints}
    cache = extract_pooled_states(clips, library, encoder, root, batch_size)
    state = PartialState()
    result = {}
    if state.is_main_process:
        pooled = {name: PooledStates(cache, table.fingerprints) for name, table in tables.items()}
        layers = probe_layers(pooled, labels)
        best = best_hidden_state(layers)
        ranking, subspace = probe_subspaces({split: states[best] for split, states in pooled.items()}, labels)
        result = {
            "name": encoder,
            "source": library.identity(encoder),
            "clips": {split: len(values) for split, values in labels.items()},
            "best_hidden_state": best,
            "layers": layers,
            "ranked_dimensions": ranking.tolist(),
            "subspace": subspace,
        }
        _write(result, output)
    state.wait_for_everyone()
    return result


def _labels(tables: Mapping[str, ClipTable]) -> dict[str, np.ndarray]:
    labels = {name: table.labels for name, table in tables.items()}
    for name, values in labels.items():
        missing = int(np.isnan(values).all(axis=1).sum())
        if missing or not len(values):
            raise ValueError(
                f"split {name!r} has {len(values)} clips, {missing} of them without labels; "
                "give splits of labelled clips alone"
            )
    _rated(labels)
    return labels


def _rated(labels: Mapping[str, np.ndarray]) -> tuple[list[int], np.ndarray]:
    """The dimensions to fit, and which clips of `train` were rated in all of them."""
    known = {split: ~np.isnan(labels[split]) for split in LEARNT_FROM}
    columns = [i for i in range(len(DIMENSIONS)) if all(rated[:, i].sum() > 1 for rated in known.values())]
    whole = known["train"][:, columns].all(axis=1)
    if not columns or whole.sum() < 2:
        names = ", ".join(DIMENSIONS[i] for i in columns) or "any dimension"
        raise ValueError(f"a probe needs two clips of train, and of development, that were rated in {names}")
    return columns, whole


def _fit(inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Ridge:
    columns, whole = _rated(labels)
    development = labels["development"][:, columns]
    return choose_ridge(inputs["train"][whole], labels["train"][whole][:, columns], inputs["development"], development)


def _scores(fit: Ridge, inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> list[dict]:
    rows, (columns, _) = [], _rated(labels)
    for split in labels:
        if split != "train":
            ccc = np.full(len(DIMENSIONS), np.nan)
            ccc[columns] = rated_concordance(fit.predict(inputs[split]), labels[split][:, columns])
            values = zip(KEYS, [*ccc.tolist(), float(mean_of_rated(ccc))], strict=True)
            scores = {key: None if np.isnan(value) else value for key, value in values}
            rows.append({"split": split, "ccc": scores, "penalty": fit.penalty})
    return rows


def _write(result: dict, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    stem = f"probe_{result['name']}"
    write_csv(output / f"{stem}.csv", result)
    for split in result["clips"]:
        if split != "train":
            draw_layers(output / f"{stem}_layers_{split}.png", result, split)
            draw_subspace(output / f"{stem}_subspace_{split}.png", result, split)
    write_json(output / f"{stem}.json", result)  # last, so that it stands for all of them
    logger.info("probe of %s: best hidden state %d; %s", result["name"], result["best_hidden_state"], output)


def write_csv(path: Path, result: dict) -> None:
    """Write a row for each fit and split: `layers` on all dimensions, `subspace` on the highest ranked."""
    width, best = len(result["ranked_dimensions"]), result["best_hidden_state"]
    rows = [("layers", row["hidden_state"], width, row) for row in result["layers"]]
    rows += [("subspace", best, row["dimensions"], row) for row in result["subspace"]]
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["probe", "hidden_state", "dimensions", "split", "penalty", *(f"ccc_{key}" for key in KEYS)])
        for probe, hidden_state, dimensions, row in rows:
            scores = ["" if row["ccc"][key] is None else repr(row["ccc"][key]) for key in KEYS]
            writer.writerow([probe, hidden_state, dimensions, row["split"], repr(row["penalty"]), *scores])
