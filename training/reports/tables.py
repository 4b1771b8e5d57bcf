"""Tables of results as Markdown, shared by `results.md` and the model cards."""

from collections.abc import Mapping, Sequence

from speech_affect import DIMENSIONS

from .scores import KEYS


NOT_RATED = "not rated"


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
    return markdown_table(["split", "clips", "speakers", *(f"with {heading(d, corpus)}" for d in partly)], rows)


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
