"""What results.json says of one system, as Markdown for its model card."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence

from speech_affect import DIMENSIONS

from .scores import KEYS, SMALLEST_GROUP


# up to it two systems count as told apart
SIGNIFICANT = 0.05


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that may hold any text."""
    lines = ["| " + " | ".join(" ".join(c.split()).replace("|", r"\|") for c in row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def folds_of(split: str) -> int | None:
    """Folds behind a split of cross-validation (`cv5`: 5); None for a given split."""
    found = re.fullmatch(r"cv(\d+)", split)
    return int(found[1]) if found else None


def speakers_of(split: str, corpus: dict) -> int:
    """How many known speakers a split has; cross-validation has those of all."""
    if folds_of(split):
        return sum(size["speakers"] for size in corpus["splits"].values())
    return corpus["splits"][split]["speakers"]


def corpus_table(corpus: dict) -> str:
    """Clips and speakers of each split."""
    rows = [[name, f"{size['clips']:,}", f"{size['speakers']:,}"] for name, size in corpus["splits"].items()]
    return markdown_table(["split", "clips", "speakers"], rows)


def score_table(scores: dict, seeds: Sequence[int], own: int | None) -> str:
    """
    CCC of each dimension and their mean.

    Args:
        scores: of one split.
        seeds: in the order of `ccc_per_seed`.
        own: seed of the weights in the checkpoint, None where the split scores others.
    """
    head = ["", "CCC", "95% interval"]
    rows = []
    for key in KEYS:
        low, high = scores["ci95"][key]
        row = [key, f"{scores['ccc'][key]:.2f} ± {scores['ccc_std_over_seeds'][key]:.2f}", f"{low:.2f} to {high:.2f}"]
        rows.append(row + ([f"{scores['ccc_per_seed'][key][seeds.index(own)]:.2f}"] if own is not None else []))
    return markdown_table([*head, "these weights"] if own is not None else head, rows)


def gender_table(splits: dict[str, dict]) -> str | None:
    """CCC by the speaker's gender, with its 95% interval; None where no clip has one."""
    rows = []
    for split, scores in splits.items():
        for gender, group in scores["by_gender"].items():
            cells = []
            for dimension in DIMENSIONS:
                low, high = group["ci95"][dimension]
                cells.append(f"{group['ccc'][dimension]:.2f} [{low:.2f}, {high:.2f}]")
            rows.append([split, gender, str(group["n"]), *cells])
    return markdown_table(["split", "gender", "clips", *DIMENSIONS], rows) if rows else None


def speaker_table(splits: dict[str, dict]) -> str | None:
    """The range of CCC over speakers; None where no speaker has clips enough."""
    rows = []
    for split, scores in splits.items():
        groups = [group["ccc"] for group in scores["by_speaker"].values()]
        if groups:
            ranges = []
            for dimension in DIMENSIONS:
                values = [ccc[dimension] for ccc in groups]
                ranges.append(f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}")
            rows.append([split, str(len(groups)), *ranges])
    if not rows:
        return None
    title = f"Lowest / median / highest CCC among speakers with {SMALLEST_GROUP} clips or more:"
    return f"{title}\n\n{markdown_table(['split', 'speakers', *DIMENSIONS], rows)}"


def comparison_table(comparisons: Sequence[dict]) -> str:
    """Differences in CCC to other systems, with their paired intervals and p-values, and what they amount to."""
    rows, verdicts = [], []
    for row in comparisons:
        cells = []
        for key in KEYS:
            share = "" if row["relative"][key] is None else f", {row['relative'][key]:+.0%}"
            low, high = row["ci95"][key]
            difference = f"{row['difference'][key]:+.3f} [{low:+.3f}, {high:+.3f}]{share}"
            cells.append(f"{difference}, p {row['p_value'][key]:.3f}")
        rows.append([row["split"], row["against"], *cells])
        verdicts.append(f"- `{row['split']}`, against `{row['against']}`: {_verdict(row)}.")
    table = markdown_table(["split", "against", *KEYS], rows)
    return (
        "Difference in CCC, its 95% interval, the relative change, and the p-value of a paired bootstrap over clips, "
        f"not corrected for the number of tests:\n\n{table}\n\nTold apart at p ≤ {SIGNIFICANT:g}:\n\n"
        + "\n".join(verdicts)
    )


def _verdict(row: dict) -> str:
    sure = [key for key in KEYS if row["p_value"][key] <= SIGNIFICANT]
    found = {
        "better on": [key for key in sure if row["difference"][key] > 0],
        "worse on": [key for key in sure if row["difference"][key] < 0],
        "not told apart on": [key for key in KEYS if key not in sure],
    }
    return "; ".join(f"{what} {_listed(keys)}" for what, keys in found.items() if keys)


def _listed(keys: Sequence[str]) -> str:
    names = ["the mean" if key == "mean" else key for key in keys]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def condition_name(name: str) -> str:
    """`white_5db` as `white noise at 5 dB`."""
    kind, amount = name.split("_", 1)
    found = re.fullmatch(r"(-?[\d.]+)(db|s)", amount)
    if not found:
        return name.replace("_", " ")
    if found[2] == "s":
        return f"a {kind} of {found[1]} s reverberation"
    return f"{kind}{' noise' if kind == 'white' else ''} at {found[1]} dB"


def condition_table(system: dict) -> str | None:
    """CCC under noise and in rooms beside the clean one; None where the system was not tested so."""
    rows = []
    for split, conditions in system["conditions"].items():
        every = {"clean": system["splits"][split], **conditions}
        for name, scores in every.items():
            shown = name if name == "clean" else condition_name(name)
            rows.append([split, shown, *(f"{scores['ccc'][key]:.2f}" for key in KEYS)])
    return f"Mean over seeds:\n\n{markdown_table(['split', 'condition', *KEYS], rows)}" if rows else None


def coverage_table(splits: dict[str, dict]) -> str | None:
    """Share of labels inside the predicted intervals; None where the model predicts none."""
    rows = [
        [split, f"{float(level):.0%}", *(f"{shares[d]:.1%}" for d in DIMENSIONS)]
        for split, scores in splits.items()
        for level, shares in scores.get("coverage", {}).items()
    ]
    title = "Share of labels inside the central interval that the model gives:"
    return f"{title}\n\n{markdown_table(['split', 'interval', *DIMENSIONS], rows)}" if rows else None
