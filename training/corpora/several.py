"""Several corpora in one: labels on one range, names that tell them apart, each with what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, Features, concatenate_datasets

from speech_affect import DIMENSIONS

from ..settings.checks import check_names
from ..settings.corpora import CorpusEntry
from ..settings.corpus_facts import CorpusFacts
from ..settings.labels import EMOTIONS, LEARNT_FROM, SPLITS, UNKNOWN, WORD_SCALE
from ..settings.run_settings import RunSettings
from .clip_table import class_of
from .corpus import FEATURES, ORIGIN_FEATURES, SEGMENT, Corpus, CorpusError, listed, with_audio
from .folds import across_corpora
from .load import labelled_clips, load_corpus, read_corpus
from .word_ratings import word_ratings


@dataclass(frozen=True)
class Origin:
    """What is known about one of several corpora beside its clips.

    Args:
        label_range: Lowest and highest rating possible, as it was before labels were moved to one range.
        note: Where its labels and splits come from.
        facts: For the model cards; None if unknown.
        share: Of it in training batches; None for as many clips as it has.
    """

    label_range: tuple[float, float]
    note: str
    facts: CorpusFacts | None = None
    share: float | None = None


def load_run_corpus(run: RunSettings, cache: Path) -> tuple[Corpus, dict[str, Origin]]:
    """Load the corpus of a run, or join its corpora.

    Args:
        run: The run; `corpora` are joined in their order.
        cache: Folder where the demo corpus is kept.

    Returns:
        The labelled clips, and per corpus its origin: none where there is one corpus. Splits of several have the
        columns of `ORIGIN_FEATURES`; names of files and speakers begin with that of their corpus, and labels are in
        the run's `label_range` or in that of the first corpus.

    Raises:
        ValueError: A corpus cannot be read as it is, has no clip to train on, or has the name of another; or `of`
            names one that is not there.
    """
    if not run.corpora:
        corpus = load_corpus(run.corpus, run.data_dir, run.corpus_options, cache, run.corpus_note, _needed(run))
        known = Origin(corpus.label_range, corpus.note, run.corpus_facts)
        return _dealt(run, corpus, dict.fromkeys(corpora_in(corpus), known))
    parts, origins = [], {}
    for name, entry in run.corpora.items():
        part = read_corpus(entry.corpus, entry.data_dir, entry.corpus_options, cache)
        names = corpora_in(part)
        check_names(f"corpora.{name}.of", entry.of, names, "corpus")
        for own in names or [name]:
            if own in origins:
                raise CorpusError(f"two corpora are named {own}; give each a name of its own.")
            origins[own] = Origin(part.label_range, part.note, entry.facts_of(own), entry.share_of(own))
        parts.append((part, name, entry))
    label_range = run.label_range or parts[0][0].label_range
    notes = " ".join(f"{name}: {part.note}" for part, name, _ in parts)
    whole = Corpus(
        name=listed(origins),
        splits=_joined(parts, label_range, origins),
        label_range=label_range,
        note=run.corpus_note or notes,
        skipped=sum(part.skipped for part, *_ in parts),
    )
    return _dealt(run, labelled_clips(whole, _needed(run)), origins)


def _needed(run: RunSettings) -> Sequence[str]:
    """Return the splits that must have clips: none where nothing is trained."""
    return LEARNT_FROM if run.systems else ()


def _dealt(run: RunSettings, corpus: Corpus, origins: dict[str, Origin]) -> tuple[Corpus, dict[str, Origin]]:
    """Return the corpus with the splits of `train_on` and `test_on`, if they are given, and the corpora in it."""
    if run.train_on or run.test_on:
        corpus = across_corpora(corpus, run.train_on, run.test_on, trains=bool(run.systems))
        origins = {name: origins[name] for name in corpora_in(corpus)}
    tested = [rows for split, rows in corpus.splits.items() if split not in LEARNT_FROM]
    if run.systems:
        trained = [name for name in origins if name not in run.test_on] if run.test_on else run.train_on or origins
        _check_trained_on(corpus, trained)
    elif not tested:
        raise CorpusError(f"{corpus.name} has no split to test on; give --test_on all to test on every clip.")
    return corpus, origins


def corpora_in(corpus: Corpus) -> list[str]:
    """Return the names of the corpora that a corpus joins, sorted; none where it is one alone."""
    splits = [rows for rows in corpus.splits.values() if "corpus" in rows.column_names]
    return sorted({name for rows in splits for name in rows.unique("corpus")} - {""})


def shares_of(origins: dict[str, Origin]) -> dict[str, float]:
    """Return the share of each corpus in training batches; none where each has as many clips there as it has.

    Raises:
        CorpusError: Some have a share and others none.
    """
    shares = {name: origin.share for name, origin in origins.items() if origin.share is not None}
    if shares and len(shares) < len(origins):
        without = listed(name for name in origins if name not in shares)
        raise CorpusError(f"{listed(shares)} have a share and {without} have none; give each corpus one, or none.")
    return shares


def _check_trained_on(corpus: Corpus, names: Sequence[str]) -> None:
    trained = set(corpus.splits["train"].unique("corpus")) if names else set()
    for name in names:
        if name not in trained:
            raise CorpusError(
                f"{name} has no labelled clips in split 'train'; leave it out, or give it some to train on."
            )


def _joined(parts: Sequence[tuple[Corpus, str, CorpusEntry]], label_range, origins: dict[str, Origin]) -> DatasetDict:
    """Return all clips of several corpora, split by split."""
    segments = any(set(SEGMENT) <= set(rows.column_names) for part, *_ in parts for rows in part.splits.values())
    columns = {**FEATURES, **(SEGMENT if segments else {}), **ORIGIN_FEATURES}
    features = Features({name: feature for name, feature in columns.items() if name != "audio"})
    splits: dict[str, list[Dataset]] = {}
    for corpus, name, entry in parts:
        for split, rows in corpus.splits.items():
            labels = [
                _row({**dict.fromkeys(features), **row}, corpus, name, entry, label_range, origins)
                for row in rows.remove_columns("audio").to_list()
            ]
            labelled = Dataset.from_list(labels, features=features)
            audio = with_audio(rows.select_columns(["audio"]))  # is not rewritten
            joined = concatenate_datasets([audio, labelled], axis=1).select_columns(list(columns))
            splits.setdefault(split, []).append(joined)
    return DatasetDict({split: concatenate_datasets(splits[split]) for split in SPLITS if split in splits})


def _row(
    row: dict,
    corpus: Corpus,
    name: str,
    entry: CorpusEntry,
    label_range: tuple[float, float],
    origins: dict[str, Origin],
) -> dict:
    """Return a clip with labels and grades in the label range, its class and names in the run, and its origin."""
    own, prefix = (row["corpus"], "") if row["corpus"] else (name, f"{name}/")
    facts, by_word = origins[own].facts, entry.corpus_options.get("ratings") == "emotion"
    emotion = entry.emotions.get(row["emotion"], row["emotion"])
    known = row["speaker"] not in (None, UNKNOWN)

    def moved(ratings: dict) -> dict[str, float | None]:
        return {d: _in_range(ratings[d], corpus.label_range, label_range) for d in DIMENSIONS}

    words = dict(zip(DIMENSIONS, word_ratings(emotion, label_range), strict=True))
    return {
        **row,
        **(words if by_word else moved(row)),
        "file": prefix + row["file"],
        "speaker": prefix + row["speaker"] if known else row["speaker"],
        "emotion": emotion,
        "graders": [
            {**grade, **moved(grade), "emotion": _renamed(grade["emotion"], entry)} for grade in row["graders"] or ()
        ],
        "corpus": own,
        "language": row["language"] or entry.language,
        "rating_scale": WORD_SCALE if by_word or (facts and not facts.rated) else own,
    }


def _in_range(value: float | None, before: tuple[float, float], after: tuple[float, float]) -> float | None:
    return value if value is None or before == after else float(np.interp(value, before, after))


def _renamed(word: str | None, entry: CorpusEntry) -> str | None:
    """Return a grader's word for a class, or the name of the class that it is in this run."""
    code = class_of(word)
    return EMOTIONS[entry.emotions[code]] if code in entry.emotions else word
