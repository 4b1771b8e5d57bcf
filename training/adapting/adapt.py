"""A model and a few rated clips -> a checkpoint of this model for the corpus that the clips are of."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.utils import cached_file

from speech_affect import DIMENSIONS
from speech_affect.cli.formats import check_folder
from speech_affect.configuration_affect import AffectConfig

from ..audio.clip_loading import LoadableClip
from ..corpora.clip_table import ClipTable, clip_table
from ..corpora.corpus import Corpus
from ..corpora.segments import clips_of
from ..files import read_json, write_json, write_text
from ..jobs.learnt_clips import NAME, digests, from_json, joined, to_json
from ..jobs.provenance import describe_corpus, describe_environment
from ..metrics.bootstrap import bootstrap_ccc, paired_bootstrap
from ..metrics.calibration import uncertainty_scale
from ..metrics.rated import mean_of_rated
from ..settings.corpus_facts import CorpusFacts
from ..settings.labels import UNKNOWN, WORD_SCALE
from ..settings.split_key import SplitKey
from .card import adapted_card
from .choice import FITS, Choice, choose, groups_of
from .embeddings import ModelOutputs, run_model
from .output_layer import OutputLayer, RatedClips


FEWEST_CLIPS = 10
RELOAD_CLIPS = 8
RELOAD_TOLERANCE = 1e-3  # in unit scale


@dataclass(frozen=True)
class AdaptSettings:
    """How a model is adapted.

    Args:
        batch_size: Clips that go through the model at once.
        num_samples: Resamples behind each interval.
        seed: Of the resampling, and of the folds where speakers are not known.
        facts: About the corpus, for the card.
    """

    batch_size: int = 8
    num_samples: int = 1000
    seed: int = 0
    facts: CorpusFacts | None = None


def adapt(source: str, corpus: Corpus, output: Path, settings: AdaptSettings) -> dict:
    """Fit a model's output layer to all rated clips of a corpus, and write the checkpoint with its card.

    The label range becomes that of the corpus. A dimension stays as it was, moved to that range, where fewer than
    `FEWEST_CLIPS` clips were rated, or all alike.

    Args:
        source: Folder or Hub id of a model of this package.
        corpus: Its clips, whatever their split; those without a rating are left out.
        output: A folder that is not there, or is empty.
        settings: How.

    Returns:
        The content of `adapt.json` in `output`: what was done, and CCC before and after, out of fold.

    Raises:
        ValueError: It is another model, `output` is not empty, the clips are of several corpora, or no dimension of
            the model has enough ratings.
    """
    check_new_folder(output)
    model = load_model(source, corpus.label_range)
    names = list(model.config.id2label.values())
    table, audio, labels = rated_clips(corpus, names)
    outputs = run_model(model, source, audio, table.transcripts, settings.batch_size)
    groups, by_speaker = groups_of(table.speakers, table.genders, settings.seed)
    clips = RatedClips(outputs.embeddings, labels, groups)
    rated = dict(zip(names, (~np.isnan(labels)).sum(axis=0).tolist(), strict=True))
    words = _word_labelled(names, table, settings.facts)
    places = [place for place, name in enumerate(names) if rated[name]]
    averaged = [place for place in places if names[place] not in words] or places
    choice = choose(OutputLayer.of(model), clips, averaged, settings.num_samples, settings.seed)
    result = {
        "model": Path(source).resolve().name if Path(source).is_dir() else source,
        "corpus": corpus.name,
        "label_range": list(corpus.label_range),
        "clips": len(table),
        "speakers": len(set(table.speakers) - {None, UNKNOWN}),
        "folds": {"number": len(np.unique(groups)), "by_speaker": by_speaker},
        "adapted": {name: count for name, count in rated.items() if count},
        "unchanged": [name for name, count in rated.items() if not count],
        "by_word": words,
        "fit": choice.name,
        "out_of_fold": _scores(choice, labels, names, averaged, settings),
        "seed": settings.seed,
        "bootstrap_samples": settings.num_samples,
    }
    _set_output_layer(model, choice, labels, outputs)
    temporary = output.with_name(f".{output.name}.tmp")  # what is in `output` is whole
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    AutoProcessor.from_pretrained(source).save_pretrained(temporary)
    write_json(temporary / "run.json", _provenance(source, corpus, table, result, choice, labels, settings))
    write_json(temporary / "adapt.json", result)
    card = adapted_card(result, source, output.name, model.config, settings.facts, corpus.note)
    write_text(temporary / "README.md", card.content)
    _check_reloaded(temporary, table, audio, choice.layer.values(outputs.embeddings), settings.batch_size)
    os.replace(temporary, output)
    return result


def check_new_folder(path: Path) -> None:
    """Raise a `ValueError` unless this folder can be made, or is empty."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise ValueError(f"{path} is there already; name a folder that is not, or is empty")
    check_folder(path.parent)


def load_model(source: str, label_range: tuple[float, float]) -> torch.nn.Module:
    """Load a model in float32, its values moved to another label range; one of another package is a `ValueError`."""
    config = AutoConfig.from_pretrained(source)
    if not isinstance(config, AffectConfig):
        raise ValueError(f"{source} is a model of type {config.model_type}; only models of this package are adapted")
    return AutoModel.from_pretrained(source, label_range=list(label_range), dtype=torch.float32).eval()


def rated_clips(corpus: Corpus, names: list[str]) -> tuple[ClipTable, list[dict | LoadableClip], np.ndarray]:
    """Return the clips with a rating that counts, their audio, and the labels (clips, outputs) in unit scale."""
    rows = datasets.concatenate_datasets(list(corpus.splits.values()))
    clips = clips_of(rows)
    table = clip_table(rows, [fingerprint for fingerprint, _ in clips])
    low, high = corpus.label_range
    labels = (2 * table.labels - low - high) / (high - low)
    labels = labels[:, [DIMENSIONS.index(name) for name in names]]
    counts = (~np.isnan(labels)).sum(axis=0)
    alike = np.array([len(set(column[~np.isnan(column)])) < 2 for column in labels.T])
    labels[:, (counts < FEWEST_CLIPS) | alike] = np.nan
    kept = np.flatnonzero(~np.isnan(labels).all(axis=1))
    if not len(kept):
        found = ", ".join(f"{name} of {count}" for name, count in zip(names, counts, strict=True))
        raise ValueError(
            f"{corpus.name} has too few rated clips: {found}; {FEWEST_CLIPS} or more are needed in a dimension of the "
            "model, not all rated alike"
        )
    table = table.take(kept)
    if len(set(table.rating_scales)) > 1:
        raise ValueError(f"{corpus.name} holds several corpora, each rated on a scale of its own; give one of them")
    return table, [clips[row][1] for row in kept], labels[kept]


def _word_labelled(names: list[str], table: ClipTable, facts: CorpusFacts | None) -> list[str]:
    """Return the dimensions whose labels stand for the emotion's word: they have no part in a mean with others."""
    if set(table.rating_scales) == {WORD_SCALE} or (facts and not facts.rated):
        return names
    return [name for name in names if facts and name in facts.word_labelled]


@torch.no_grad()
def _set_output_layer(model, choice: Choice, labels: np.ndarray, outputs: ModelOutputs) -> None:
    """Give the model the layer of its choice; standard deviations are calibrated on what is out of fold."""
    layer = model.regressor.output
    for parameter, values in zip((layer.weight, layer.bias), choice.layer, strict=True):
        parameter.copy_(torch.from_numpy(values))
    if outputs.deviations is not None:
        low, high = model.config.label_range
        deviations = outputs.deviations * (2 / (high - low))
        factor = uncertainty_scale(choice.out_of_fold[choice.name], labels, deviations)
        factor = torch.from_numpy(np.where(np.isnan(factor), 1.0, factor)).to(model.regressor.uncertainty_scale)
        model.regressor.set_uncertainty_scale(model.regressor.uncertainty_scale * factor)


def _scores(
    choice: Choice, labels: np.ndarray, names: list[str], averaged: list[int], settings: AdaptSettings
) -> dict:
    """Return CCC before and after, and the difference, of each rated dimension and their mean; and of each fit."""
    options = {"num_samples": settings.num_samples, "seed": settings.seed, "averaged": averaged}
    before, after = choice.out_of_fold[next(iter(FITS))], choice.out_of_fold[choice.name]
    of = {
        "before": bootstrap_ccc(before, labels, **options),
        "after": bootstrap_ccc(after, labels, **options),
        "difference": paired_bootstrap(after, before, labels, **options),
    }
    scores = {
        name: {key: each[place]._asdict() for key, each in of.items()}
        for place, name in enumerate([*names, "mean"])
        if not np.isnan(of["before"][place].estimate)
    }
    fits = {
        name: bootstrap_ccc(values, labels, num_samples=1, averaged=averaged)[-1].estimate
        for name, values in choice.out_of_fold.items()
    }
    return {"ccc": scores, "mean_ccc_of_fits": fits}


def _provenance(
    source: str,
    corpus: Corpus,
    table: ClipTable,
    result: dict,
    choice: Choice,
    labels: np.ndarray,
    settings: AdaptSettings,
) -> dict:
    """Return the content of `run.json`: the corpus, the machine, and the typical error, as training writes them."""
    try:
        earlier = from_json(read_json(cached_file(source, "run.json")))
    except OSError:  # the model has none
        earlier = None
    learnt = joined([{"train": digests(table.fingerprints)}, earlier or {}])
    half = (corpus.label_range[1] - corpus.label_range[0]) / 2
    errors = half * np.sqrt(mean_of_rated(((choice.out_of_fold[choice.name] - labels) ** 2).T))
    rmse = dict.fromkeys(DIMENSIONS)
    rmse |= dict(zip(result["adapted"], errors[~np.isnan(errors)].tolist(), strict=True))
    return {
        "adapted_from": result["model"],
        "typical_error": {"split": "out of fold", "clips": len(table), "rmse": rmse},
        "corpus": {
            **describe_corpus(corpus, {SplitKey("train"): table}, settings.facts),
            "word_labelled": result["by_word"],
        },
        "environment": describe_environment(1),
        NAME: to_json(learnt),
    }


def _check_reloaded(
    folder: Path, table: ClipTable, audio: list[dict | LoadableClip], expected: np.ndarray, batch_size: int
) -> None:
    """Load the checkpoint, and compare its values of some clips with what it was made to give, in unit scale."""
    model = AutoModel.from_pretrained(folder).eval()
    some = slice(RELOAD_CLIPS)
    low, high = model.config.label_range
    values = run_model(model, str(folder), audio[some], table.transcripts[some], batch_size).values
    difference = np.abs((2 * values - low - high) / (high - low) - expected[some]).max()
    if difference > RELOAD_TOLERANCE:
        raise RuntimeError(f"{folder} loaded afresh differs by {difference:.3f} from what it was made to be")
