"""Tables of one system's results for its model card."""

import statistics
from collections.abc import Sequence

from speech_affect import DIMENSIONS

from ..settings.conditions import Condition
from .scores import KEYS, SMALLEST_GROUP
from .tables import LISTENER, NOT_RATED, heading, markdown_table, number


# largest p-value at which a difference counts
SIGNIFICANT = 0.05


def score_table(
    scores: dict, seeds: Sequence[int], own: int | None, corpus: dict, listeners: dict[str, float | None] | None = None
) -> str:
    """Return the CCC of each dimension and their mean.

    Args:
        scores: Of the split.
        seeds: Of the system.
        own: The seed of the checkpoint's weights, if they are among what was scored.
        corpus: Of the results, as the split shows it.
        listeners: What one further listener reaches.
    """
    rows = []
    for key in KEYS:
        if scores["ccc"][key] is None:
            rows.append([heading(key, corpus), NOT_RATED])
            continue
        low, high = scores["ci95"][key]
        spread = f" ± {scores['ccc_std_over_seeds'][key]:.2f}" if len(seeds) > 1 else ""
        row = [
            heading(key, corpus),
            f"{scores['ccc'][key]:.2f}{spread}",
            f"{low:.2f} to {high:.2f}",
        ]
        if own is not None:
            row.append(f"{scores['ccc_per_seed'][key][seeds.index(own)]:.2f}")
        if listeners:
            row.append(number(listeners[key], ".2f"))
        rows.append(row)
    head = ["", "CCC", "95% interval"]
    head += ["these weights"] * (own is not None) + [LISTENER] * bool(listeners)
    return markdown_table(head, [row + [""] * (len(head) - len(row)) for row in rows])


def group_table(splits: dict[str, dict], kind: str, corpus: dict) -> str | None:
    """Return the CCC of each corpus, language or gender, with its 95% interval; None where no clip has one."""
    rows = []
    for split, scores in splits.items():
        for name, group in scores.get(f"by_{kind}", {}).items():
            cells = []
            for dimension in DIMENSIONS:
                low, high = group["ci95"][dimension] or (None, None)
                interval = "" if low is None else f" [{low:.2f}, {high:.2f}]"
                cells.append(number(group["ccc"][dimension], ".2f") + interval)
            rows.append([split, name, str(group["n"]), *cells])
    head = ["split", kind, "clips", *(heading(d, corpus) for d in DIMENSIONS)]
    return markdown_table(head, rows) if rows else None


def speaker_table(splits: dict[str, dict], corpus: dict) -> str | None:
    """Return the range of CCC over speakers; None where no speaker has enough clips."""
    rows = []
    for split, groups in ((split, scores["by_speaker"].values()) for split, scores in splits.items()):
        if groups:
            by_dimension = ([g["ccc"][d] for g in groups if g["ccc"][d] is not None] for d in DIMENSIONS)
            ranges = [
                f"{min(v):.2f} / {statistics.median(v):.2f} / {max(v):.2f}" if v else NOT_RATED for v in by_dimension
            ]
            rows.append([split, str(len(groups)), *ranges])
    title = f"Lowest / median / highest CCC among speakers with {SMALLEST_GROUP} clips or more:"
    head = ["split", "speakers", *(heading(d, corpus) for d in DIMENSIONS)]
    return f"{title}\n\n{markdown_table(head, rows)}" if rows else None


def verdict_list(comparisons: Sequence[dict]) -> str:
    """Return in words on which dimensions a system differs from the others."""
    lines = []
    for row in comparisons:
        tested = [key for key in KEYS if row["p_value"][key] is not None]
        clear = [key for key in tested if row["p_value"][key] <= SIGNIFICANT]
        found = {
            "better on": [key for key in clear if row["difference"][key] > 0],
            "worse on": [key for key in clear if row["difference"][key] < 0],
            "no clear difference on": [key for key in tested if key not in clear],
        }
        verdict = "; ".join(
            f"{what} {list_of(['the mean' if key == 'mean' else key for key in keys])}"
            for what, keys in found.items()
            if keys
        )
        lines.append(f"- `{row['split']}`, against `{row['against']}`: {verdict}.")
    return f"In words, with p ≤ {SIGNIFICANT:g} as a clear difference:\n\n" + "\n".join(lines)


def list_of(names: Sequence[str]) -> str:
    """Return names as a sentence has them: `a, b and c`."""
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


def condition_text(name: str) -> str:
    """Return `white noise at 5 dB` for `white_5db`."""
    condition = Condition.parse(name)
    if condition.kind == "room":
        return f"a room of {condition.value:g} s reverberation"
    return f"{condition.kind}{' noise' if condition.kind == 'white' else ''} at {condition.value:g} dB"


def condition_table(splits: dict[str, dict], conditions: dict[str, dict], corpus: dict) -> str | None:
    """Return the CCC under noise and in rooms beside the clean one; None where the system was not tested so."""
    rows = []
    for split, tested in conditions.items():
        named = {"clean": splits[split], **{condition_text(name): c for name, c in tested.items()}}
        for name, scores in named.items():
            rows.append([split, name, *(number(scores["ccc"][key], ".2f") for key in KEYS)])
    head = ["split", "condition", *(heading(key, corpus) for key in KEYS)]
    return f"Mean over seeds:\n\n{markdown_table(head, rows)}" if rows else None
