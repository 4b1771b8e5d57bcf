"""The results as tables for reading, laid out like the paper's: a row per system, a table per split."""

from __future__ import annotations

from speech_affect import DIMENSIONS

from .scores import KEYS


def render_markdown(results: dict) -> str:
    """`results.md` out of what is in `results.json`."""
    corpus = results["corpus"]
    lines = [f"# Results on {corpus['name']}", "", corpus["note"], ""]
    for split in _splits(results["systems"]):
        rows = [system for system in results["systems"] if split in system["splits"]]
        lines += _split_table(rows, split)
        lines += _comparison_table([c for c in results["comparisons"] if c["split"] == split])
        lines += _coverage_table(rows, split) + _group_table(rows, split)
    lines += _condition_tables(results["systems"])
    lines += ["## Corpus", "", "| split | clips | speakers |", "|---|---|---|"]
    lines += [f"| {split} | {size['clips']} | {size['speakers']} |" for split, size in corpus["splits"].items()]
    packages = ", ".join(f"{k} {v}" for k, v in results["environment"]["packages"].items())
    lines += ["", f"Code {results['environment']['git_commit']}; {packages}.", ""]
    return "\n".join(lines)


def _splits(systems: list[dict]) -> list[str]:
    return list(dict.fromkeys(split for system in systems for split in system["splits"]))


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    first, *others = ("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in (head, *rows))
    return [first, "|---" * len(head) + "|", *others, ""]


def _split_table(systems: list[dict], split: str) -> list[str]:
    rows = []
    for system in systems:
        scores = system["splits"][split]
        cells = [
            f"{scores['ccc'][k]:.3f} ± {scores['ccc_std_over_seeds'][k]:.3f} "
            f"[{scores['ci95'][k][0]:.3f}, {scores['ci95'][k][1]:.3f}]"
            for k in KEYS
        ]
        head = [system["name"], system["role"], " + ".join(system["inputs"]), f"{system['parameters']:,}"]
        rows.append([*head, str(len(system["seeds"])), *cells])
    return [
        f"## {split}: CCC on {systems[0]['splits'][split]['n']} clips",
        "",
        "Mean over seeds ± standard deviation over seeds, and the 95% bootstrap interval over clips.",
        "",
        *_table(["system", "role", "inputs", "parameters", "seeds", *KEYS], rows),
    ]


def _comparison_table(comparisons: list[dict]) -> list[str]:
    if not comparisons:
        return []
    rows = []
    for row in comparisons:
        cells = []
        for key in KEYS:
            relative = row["relative"][key]
            share = "" if relative is None else f", {relative:+.0%}"
            cells.append(f"{row['difference'][key]:+.3f}{share} (p {row['p_value'][key]:.3f})")
        rows.append([row["system"], row["against"], *cells])
    return [
        "Differences in CCC, relative improvements, and the p-value of a paired bootstrap over clips:",
        "",
        *_table(["system", "against", *KEYS], rows),
    ]


def _coverage_table(systems: list[dict], split: str) -> list[str]:
    rows = [
        [system["name"], f"{float(level):.0%}", *(f"{shares[d]:.1%}" for d in DIMENSIONS)]
        for system in systems
        for level, shares in system["splits"][split].get("coverage", {}).items()
    ]
    if not rows:
        return []
    title = "Predicted uncertainty: share of labels inside the central interval:"
    return [title, "", *_table(["system", "interval", *DIMENSIONS], rows)]


def _group_table(systems: list[dict], split: str) -> list[str]:
    lines = []
    for key, title in (("by_gender", "gender"), ("by_speaker", "speaker")):
        groups = list(systems[0]["splits"][split][key])
        if not 0 < len(groups) <= 20:  # the rest is in results.json
            continue
        sizes = [systems[0]["splits"][split][key][group]["n"] for group in groups]
        rows = []
        for system in systems:
            scores = system["splits"][split][key]
            cells = [" / ".join(f"{scores[group]['ccc'][d]:.2f}" for d in DIMENSIONS) for group in groups]
            rows.append([system["name"], *cells])
        head = ["system", *(f"{group} ({n} clips)" for group, n in zip(groups, sizes, strict=True))]
        lines += [f"CCC by {title}, activation / valence / dominance:", "", *_table(head, rows)]
    return lines


def _condition_tables(systems: list[dict]) -> list[str]:
    lines = []
    for split in dict.fromkeys(split for system in systems for split in system["conditions"]):
        tested = [system for system in systems if split in system["conditions"]]
        names = list(tested[0]["conditions"][split])
        rows = []
        for system in tested:
            every = [system["splits"][split], *(system["conditions"][split][name] for name in names)]
            cells = [" / ".join(f"{scores['ccc'][d]:.2f}" for d in DIMENSIONS) for scores in every]
            rows.append([system["name"], *cells])
        head = ["system", "clean", *(name.replace("_", " ") for name in names)]
        title = "CCC, mean over seeds, activation / valence / dominance:"
        lines += [f"## {split} under noise and in rooms", "", title, "", *_table(head, rows)]
    return lines
