"""Tables of results as Markdown, shared by `results.md` and the model cards."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from speech_affect import DIMENSIONS

from ..jobs.provenance import shown_twice
from ..settings.split_key import SplitKey
from .scores import KEYS


NOT_RATED = "not rated"
BY_WORD = "by the emotion's word"
LISTENER = "one further listener"
LISTENER_NOTE = (
    "One further listener: CCC of each listener's grade with the mean of the others', over clips with three listeners "
    "or more."
)


def as_shown(corpus: dict, split: str) -> dict:
    """Return the description of a corpus as a split shows it, against listeners' ratings or by word alone."""
    if not shown_twice(corpus):
        return corpus
    if SplitKey.parse(split).by_word:
        return {**corpus, "word_labelled": [], "averaged": list(DIMENSIONS)}
    return {**corpus, "word_labelled": [], "name": ", ".join(n for n, one in corpus["corpora"].items() if _rated(one))}


def split_name(split: str, corpus: dict) -> str:
    """Return the name of a split, with what it is scored against where that is not the same for all."""
    if not shown_twice(corpus):
        return split
    key = SplitKey.parse(split)
    return f"{replace(key, by_word=False)}, {BY_WORD if key.by_word else 'by listeners'}"


def clips_name(split: str, corpus: dict) -> str:
    """Return the name of the clips that a split shows: the corpora that it is of, and the split."""
    return f"{as_shown(corpus, split)['name']}, {split_name(split, corpus)}"


def listener_ccc(split: str, corpus: dict) -> dict[str, float | None] | None:
    """Return what one further listener reaches on the clips of a split; None where nobody knows."""
    return (corpus.get("listeners") or {}).get(split, {}).get("ccc")


def heading(key: str, corpus: dict) -> str:
    """Return the name of a dimension, or of the mean, with what its figures stand for where that is not plain."""
    if key in corpus["word_labelled"]:
        return f"{key} (by word)"
    if key == "mean" and set(corpus["averaged"]) != set(DIMENSIONS):
        return f"mean ({', '.join(corpus['averaged'])})"
    return key


def number(value: float | None, form: str) -> str:
    """Return a number as text; what is None, nobody rated."""
    return NOT_RATED if value is None else format(value, form)


def clips_text(scores: dict) -> str:
    """Return how many clips scores are of: `10 clips (valence 6, dominance none)` where some were not rated."""
    fewer = [f"{d} {count or 'none'}" for d, count in scores["rated"].items() if count < scores["n"]]
    return f"{scores['n']:,} clips" + (f" ({', '.join(fewer)})" if fewer else "")


def all_dimensions(scores: dict) -> str:
    """Return the CCC of every dimension in one cell."""
    return " / ".join(number(scores["ccc"][dimension], ".2f") for dimension in DIMENSIONS)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that may hold any text."""
    lines = ["| " + " | ".join(" ".join(c.split()).replace("|", r"\|") for c in row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def corpus_table(corpus: dict) -> str:
    """Return clips and speakers of each split, and how many clips have labels where that is not all of them."""
    splits = corpus["splits"].items()
    partly = [d for d in DIMENSIONS if any(size["rated"][d] < size["clips"] for _, size in splits)]
    rows = [
        [name, f"{size['clips']:,}", f"{size['speakers']:,}", *(f"{size['rated'][d]:,}" for d in partly)]
        for name, size in splits
    ]
    table = markdown_table(["split", "clips", "speakers", *(f"with {heading(d, corpus)}" for d in partly)], rows)
    return f"{table}\n\n{_corpora_table(corpus['corpora'])}" if corpus.get("corpora") else table


def _corpora_table(corpora: dict[str, dict]) -> str:
    """Return languages, sizes and licence of each of several corpora, and what listeners rated of it."""
    rows = []
    for name, one in corpora.items():
        sizes = [f"{sum(size[what] for size in one['splits'].values()):,}" for what in ("clips", "speakers")]
        licence = one["facts"]["license"] if one["facts"] else ""
        rows.append([name, ", ".join(one["languages"]), *sizes, ", ".join(_rated(one)) or "nothing", licence])
    return markdown_table(["corpus", "language", "clips", "speakers", "rated by listeners", "licence"], rows)


def _rated(corpus: dict) -> list[str]:
    """Return the dimensions that listeners rated in one of several corpora."""
    splits = corpus["splits"].values()
    return [d for d in DIMENSIONS if any(size["rated"][d] for size in splits) and d not in corpus["word_labelled"]]


def coverage_table(column: str, scores: Mapping[str, dict], corpus: dict) -> str | None:
    """Return the share of labels inside the predicted intervals, a row per `column`; None where none are predicted."""
    rows = [
        [name, f"{float(level):.0%}", *(number(shares[d], ".1%") for d in DIMENSIONS)]
        for name, one in scores.items()
        for level, shares in one.get("coverage", {}).items()
    ]
    title = "Share of labels inside the central interval that the model predicts:"
    head = [column, "interval", *(heading(d, corpus) for d in DIMENSIONS)]
    return f"{title}\n\n{markdown_table(head, rows)}" if rows else None


def spread_table(column: str, scores: Mapping[str, dict], corpus: dict) -> str | None:
    """Return how predicted deviations follow those of the grades, a row per `column`; None where there are none."""
    rows = [
        [name, *(f"{number(spread['ccc'][d], '.2f')} / {number(spread['pearson'][d], '.2f')}" for d in DIMENSIONS)]
        for name, spread in ((name, one.get("spread")) for name, one in scores.items())
        if spread and any(spread["clips"].values())
    ]
    title = (
        "Predicted standard deviation beside that of the clip's grades, over clips with three graders or more: CCC / "
        "Pearson's r:"
    )
    head = [column, *(heading(d, corpus) for d in DIMENSIONS)]
    return f"{title}\n\n{markdown_table(head, rows)}" if rows else None


def comparison_table(column: str, comparisons: Sequence[dict], corpus: dict) -> str | None:
    """Return differences in CCC between systems, with paired intervals and p-values; None without comparisons."""
    rows = []
    for row in comparisons:
        cells = []
        for key in KEYS:
            if row["difference"][key] is None:
                cells.append(NOT_RATED)
                continue
            share = "" if row["relative"][key] is None else f", {row['relative'][key]:+.0%}"
            low, high = row["ci95"][key]
            difference = f"{row['difference'][key]:+.3f} [{low:+.3f}, {high:+.3f}]{share}"
            cells.append(f"{difference}, p {row['p_value'][key]:.3f}")
        rows.append([row[column], row["against"], *cells])
    title = (
        "Difference in CCC, its 95% interval, the relative change, and the p-value of a paired bootstrap over clips, "
        "not corrected for the number of tests:"
    )
    return (
        f"{title}\n\n{markdown_table([column, 'against', *(heading(key, corpus) for key in KEYS)], rows)}"
        if rows
        else None
    )
