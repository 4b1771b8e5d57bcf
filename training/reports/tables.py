"""Tables of results as Markdown, shared by `results.md` and the model cards."""

from collections.abc import Mapping, Sequence

from speech_affect import DIMENSIONS

from .scores import KEYS


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that may hold any text."""
    lines = ["| " + " | ".join(" ".join(c.split()).replace("|", r"\|") for c in row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def corpus_table(corpus: dict) -> str:
    """Return clips and speakers of each split."""
    rows = [[name, f"{size['clips']:,}", f"{size['speakers']:,}"] for name, size in corpus["splits"].items()]
    return markdown_table(["split", "clips", "speakers"], rows)


def coverage_table(column: str, scores: Mapping[str, dict]) -> str | None:
    """Return the share of labels inside the predicted intervals, a row per `column`; None where none are predicted."""
    rows = [
        [name, f"{float(level):.0%}", *(f"{shares[d]:.1%}" for d in DIMENSIONS)]
        for name, one in scores.items()
        for level, shares in one.get("coverage", {}).items()
    ]
    title = "Share of labels inside the central interval that the model predicts:"
    return f"{title}\n\n{markdown_table([column, 'interval', *DIMENSIONS], rows)}" if rows else None


def comparison_table(column: str, comparisons: Sequence[dict]) -> str | None:
    """Return differences in CCC between systems, with paired intervals and p-values; None without comparisons."""
    rows = []
    for row in comparisons:
        cells = []
        for key in KEYS:
            share = "" if row["relative"][key] is None else f", {row['relative'][key]:+.0%}"
            low, high = row["ci95"][key]
            difference = f"{row['difference'][key]:+.3f} [{low:+.3f}, {high:+.3f}]{share}"
            cells.append(f"{difference}, p {row['p_value'][key]:.3f}")
        rows.append([row[column], row["against"], *cells])
    title = (
        "Difference in CCC, its 95% interval, the relative change, and the p-value of a paired bootstrap over clips, "
        "not corrected for the number of tests:"
    )
    return f"{title}\n\n{markdown_table([column, 'against', *KEYS], rows)}" if rows else None
