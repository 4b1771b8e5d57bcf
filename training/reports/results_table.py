"""The results as `results.md`, laid out like the paper's tables: a row for each system, a table for each split."""

from collections.abc import Sequence

from speech_affect import DIMENSIONS

from ..settings.finished import ROLE
from .scores import KEYS
from .tables import (
    LISTENER,
    LISTENER_NOTE,
    NOT_RATED,
    all_dimensions,
    as_shown,
    clips_text,
    comparison_table,
    corpus_table,
    coverage_table,
    heading,
    listener_ccc,
    markdown_table,
    number,
    split_name,
    spread_table,
)


# more groups than this stand in results.json alone
MOST_GROUPS = 20


def render_markdown(results: dict) -> str:
    """Return `results.md` for the content of `results.json`."""
    corpus, systems, environment = results["corpus"], results["systems"], results["environment"]
    parts = [f"# Results on {corpus['name']}", corpus["note"], _finished_models(systems)]
    for split in dict.fromkeys(split for system in systems for split in system["splits"]):
        scores = {system["name"]: system["splits"][split] for system in systems if split in system["splits"]}
        shown = as_shown(corpus, split)
        parts.append(_split_table([system for system in systems if system["name"] in scores], split, shown))
        compared = [row for row in results["comparisons"] if row["split"] == split]
        parts.append(comparison_table("system", compared, shown))
        parts += [table("system", scores, shown) for table in (coverage_table, spread_table)]
        parts += [_group_table(scores, kind, shown) for kind in ("corpus", "language", "gender", "speaker")]
    for split in dict.fromkeys(split for system in systems for split in system["conditions"]):
        tested = [system for system in systems if split in system["conditions"]]
        parts.append(_condition_table(tested, split, as_shown(corpus, split)))
    parts.append(_cost_table(systems))
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    parts += ["## Corpus", corpus_table(corpus), f"Code {environment['git_commit']}; {packages}."]
    return "\n\n".join(part for part in parts if part) + "\n"


def _finished_models(systems: Sequence[dict]) -> str | None:
    """Return where each finished model is from, and what its reader should know; None without any."""
    lines = []
    for name, about, warnings in ((s["name"], s["checkpoint"], s["warnings"]) for s in systems if s["role"] == ROLE):
        low, high = about["output_range"]
        licence = f", licence {about['license']}" if about["license"] else ""
        lines.append(
            f"- `{name}` is {about['id']} at {about['revision']}{licence}: {', '.join(about['outputs'])} in "
            f"{low:g} to {high:g}, moved to the labels' range; not trained here."
        )
        lines += [f"- **`{name}` {warning}.**" for warning in warnings]
    return "\n".join(lines) or None


def _split_table(systems: Sequence[dict], split: str, corpus: dict) -> str:
    rows = []
    for system in systems:
        scores = system["splits"][split]
        row = [system["name"], system["role"], " + ".join(system["inputs"]), f"{system['parameters']:,}"]
        row.append(str(len(system["seeds"]) or ""))
        for key in KEYS:
            if scores["ccc"][key] is None:
                row.append(NOT_RATED)
                continue
            low, high = scores["ci95"][key]
            spread = f" ± {scores['ccc_std_over_seeds'][key]:.3f}" if len(system["seeds"]) > 1 else ""
            row.append(f"{scores['ccc'][key]:.3f}{spread} [{low:.3f}, {high:.3f}]")
        rows.append(row)
    scores = systems[0]["splits"][split]
    title = f"## {split_name(split, corpus)}: CCC on {clips_text(scores)}"
    about = "CCC and its 95% bootstrap interval over clips."
    if any(len(system["seeds"]) > 1 for system in systems):
        about = "Mean over seeds ± standard deviation over seeds, and the 95% bootstrap interval over clips."
    if len(scores.get("by_corpus", {})) > 1:
        about += " CCC is the mean over corpora of that within each."
    if listeners := listener_ccc(split, corpus):
        about += f" {LISTENER_NOTE}"
        rows.append([LISTENER, "", "", "", "", *(number(listeners[key], ".3f") for key in KEYS)])
    table = markdown_table(
        ["system", "role", "inputs", "parameters", "seeds", *(heading(key, corpus) for key in KEYS)], rows
    )
    return f"{title}\n\n{about}\n\n{table}"


def _group_table(scores: dict[str, dict], kind: str, corpus: dict) -> str | None:
    """Return the CCC of each corpus, language, gender or speaker; None without groups or with too many of them."""
    groups = next(iter(scores.values())).get(f"by_{kind}", {})
    if not 0 < len(groups) <= MOST_GROUPS:
        return None
    rows = [[name, *(all_dimensions(one[f"by_{kind}"][group]) for group in groups)] for name, one in scores.items()]
    head = ["system", *(f"{name} ({group['n']} clips)" for name, group in groups.items())]
    return f"CCC by {kind}, {_dimensions(corpus)}:\n\n{markdown_table(head, rows)}"


def _condition_table(systems: Sequence[dict], split: str, corpus: dict) -> str:
    names = list(systems[0]["conditions"][split])
    rows = []
    for system in systems:
        conditions = system["conditions"][split]
        scores = (system["splits"][split], *(conditions[name] for name in names))
        rows.append([system["name"], *map(all_dimensions, scores)])
    head = ["system", "clean", *(name.replace("_", " ") for name in names)]
    about = f"CCC, mean over seeds, {_dimensions(corpus)}:"
    return f"## {split_name(split, corpus)} under noise and in rooms\n\n{about}\n\n{markdown_table(head, rows)}"


def _cost_table(systems: Sequence[dict]) -> str | None:
    """Return what the trainings of each system took; None for results that do not say it."""
    rows = [
        [
            one["name"],
            f"{one['trained_parameters']:,}",
            str(one["trainings"]),
            number(one["training_seconds"] / one["trainings"], ",.1f"),
            number(one["peak_memory_mb"], ",.0f"),
        ]
        for one in systems
        if one.get("peak_memory_mb")
    ]
    head = ["system", "trained parameters", "trainings", "seconds each", "most memory (MB)"]
    return f"## Time and memory of training\n\n{markdown_table(head, rows)}" if rows else None


def _dimensions(corpus: dict) -> str:
    return " / ".join(heading(dimension, corpus) for dimension in DIMENSIONS)
