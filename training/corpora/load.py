"""The corpus of a run: by kind, with the clips that have labels."""

import inspect
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speech_affect import DIMENSIONS

from ..settings.checks import check_names
from ..settings.labels import LEARNT_FROM
from .corpus import Corpus
from .demo import make_demo_corpus
from .msp_podcast import load_msp_podcast_corpus
from .parquet import is_parquet_corpus, load_parquet_corpus
from .table import load_table_corpus


logger = logging.getLogger(__name__)

DEMO_NOTE = (
    "Synthetic speech by eSpeak NG. Labels are what the speech was constructed from, plus simulated graders' noise; "
    "the clips were not rated by people, and no figure here describes people."
)


def load_corpus(
    kind: str,
    data_dir: str | None,
    options: dict,
    cache: Path,
    note: str | None = None,
    needed: Sequence[str] = LEARNT_FROM,
) -> Corpus:
    """Load a corpus as [`read_corpus`] does and keep its labelled clips.

    Args:
        kind, data_dir, options, cache: As there.
        note: What readers of the results should know of this corpus.
        needed: As of [`labelled_clips`].

    Raises:
        ValueError: As there, or nothing is left to train or to develop on.
    """
    corpus = read_corpus(kind, data_dir, options, cache)
    return labelled_clips(replace(corpus, note=f"{corpus.note} {note}") if note else corpus, needed)


def read_corpus(kind: str, data_dir: str | None, options: dict, cache: Path) -> Corpus:
    """Read a corpus.

    Args:
        kind: `demo` (made on first use), `msp_podcast` or `table`.
        data_dir: Folder or table of the corpus, for `msp_podcast` as released or as Parquet; not used by `demo`.
        options: Further arguments of the loader.
        cache: Folder where the demo corpus is kept.

    Raises:
        ValueError: The loader does not have an option, or the corpus cannot be read as it is.
    """
    if kind == "demo":
        load, source = make_demo_corpus, cache / "corpora"
    elif kind == "msp_podcast":
        load, source = (load_parquet_corpus if is_parquet_corpus(data_dir) else load_msp_podcast_corpus), data_dir
    else:
        load, source = load_table_corpus, data_dir
    parameters = list(inspect.signature(load).parameters.values())[1:]  # the first is the source
    place = f"corpus_options {options} do not fit corpus {kind!r}: it"
    check_names(place, options, [parameter.name for parameter in parameters], "option")
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in options]
    if missing:
        raise ValueError(f"{place} needs {', '.join(missing)}")
    corpus = load(source, **options)
    if kind == "demo":
        corpus = replace(load_msp_podcast_corpus(corpus), name="demo", note=DEMO_NOTE)
    return corpus


def unlabelled_folders(folders: list[str], cache: Path) -> list[Path]:
    """Return folders of unlabelled audio; `demo` stands for that of the demo corpus, which is made on first use."""
    return [make_demo_corpus(cache / "corpora") / "Audios" if name == "demo" else Path(name) for name in folders]


def labelled_clips(corpus: Corpus, needed: Sequence[str] = LEARNT_FROM) -> Corpus:
    """Return the corpus without clips that have no rating at all, and without splits that lose all of theirs.

    Args:
        corpus: Any clips.
        needed: Splits that must have some: by default those to train and to develop on.

    Raises:
        ValueError: A split that is needed has none, or none has.
    """
    splits = {
        name: rows.filter(lambda *values: set(values) != {None}, input_columns=list(DIMENSIONS))
        for name, rows in corpus.splits.items()
    }
    left_out = sum(len(rows) - len(splits[name]) for name, rows in corpus.splits.items())
    if left_out:
        logger.info("%s: %d clips have no rating and are left out", corpus.name, left_out)
    kept = type(corpus.splits)({name: rows for name, rows in splits.items() if len(rows)})
    if not kept:
        raise ValueError(f"{corpus.name} has no labelled clips; give a corpus with some")
    for split in needed:
        if split not in kept:
            found = ", ".join(kept)
            raise ValueError(
                f"{corpus.name} has no labelled clips in split {split!r}; splits with labels: {found} (speakers are "
                "dealt out to all splits where there are three)"
            )
    return replace(corpus, splits=kept)
