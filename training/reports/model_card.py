"""The model card of a system, filled from results.json: every figure in it stands there.

python training/model_card.py --results RESULTS.json --system NAME --output FILE_OR_CHECKPOINT_FOLDER
    [--repo_id USER/NAME] [--contact TEXT]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import jinja2
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.utils import HFValidationError, validate_repo_id

from ..settings.corpus_facts import CorpusFacts
from .card_metadata import card_data, encoders_of, senses
from .card_tables import corpus_table
from .card_text import (
    branch_text,
    compute_lines,
    further_parts,
    limit_lines,
    role,
    split_parts,
    teachers_of,
    training_lines,
)


logger = logging.getLogger(__name__)

TEMPLATE = Path(__file__).resolve().parents[2] / "model_cards" / "template.md"
# all headings of the template but the contact's
SECTIONS = (
    "What it is",
    "How to use it",
    "Training data",
    "Licence",
    "Training",
    "Results",
    "Limits",
    "Intended and excluded uses",
    "Compute and energy",
    "Versions",
    "Citation",
)


def build_card(
    results: dict,
    system: str,
    *,
    repo_id: str | None = None,
    contact: str | None = None,
    checkpoint: Path | None = None,
) -> ModelCard:
    """
    The card of one system.

    Args:
        results: what is in results.json.
        system: name of the system.
        repo_id: Hub id (user/name) that the examples load; without it they load the system's folder.
        contact: whom to write to.
        checkpoint: the system's folder, to make sure that the results are its own.

    Returns:
        the card; `content` is the text of the README.

    Raises:
        ValueError: a section would be empty (it is named), the results lack the system, the folder is of another run,
            or `repo_id` is no Hub id.
    """
    by_name = {entry["name"]: entry for entry in results["systems"]}
    if system not in by_name:
        raise ValueError(f"the results have no system {system!r}; they have {', '.join(by_name)}")
    entry = by_name[system]
    _check_filled(results, entry)
    if checkpoint is not None:
        _check_same_run(checkpoint, entry)
    if repo_id is not None:
        _check_repo_id(repo_id)
    facts = _facts(results["corpus"])
    teachers = [by_name[name] for name in teachers_of(entry)]
    encoders = encoders_of(results, entry, teachers)
    data = card_data(results, entry, facts, encoders, repo_id)
    template = _environment().from_string(TEMPLATE.read_text(encoding="utf-8"))
    content = template.render(
        card_data=data.to_yaml().strip(),
        model=json.dumps(repo_id or system),
        contact=contact,
        facts=facts,
        encoders=encoders,
        weights=_weights(data, facts),
        role=role(entry, by_name),
        compute=compute_lines(entry, teachers, results["environment"]),
        **_described(results, entry, facts),
    )
    _check_sections(content)
    return ModelCard(content)


def write_card(card: ModelCard, path: Path) -> Path:
    """Write a card to a file, at once or not at all; into a folder as its README.md. Returns the file."""
    path = path / "README.md" if path.is_dir() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(card.content, encoding="utf-8")
    os.replace(temporary, path)
    return path


def write_cards(results: dict, output: Path, repo_id: Callable[[str], str] | None = None) -> list[Path]:
    """
    Write the card of every system into its checkpoint.

    A card that cannot be built is left out with a warning, and one of an earlier run is taken away: a run is not lost
    for want of a licence.

    Args:
        results: of the run.
        output: folder of the run, with a folder per system.
        repo_id: per system the Hub id that its examples load; ids without an owner are not shown.

    Returns:
        the files written.
    """
    written, refused = [], {}
    for entry in results["systems"]:
        folder = output / entry["name"]
        name = repo_id(entry["name"]) if repo_id else ""
        try:
            card = build_card(results, entry["name"], repo_id=name if "/" in name else None, checkpoint=folder)
            written.append(write_card(card, folder))
        except ValueError as error:
            (folder / "README.md").unlink(missing_ok=True)
            refused.setdefault(str(error), []).append(entry["name"])
    for reason, names in refused.items():
        logger.warning("no model card for %s: %s", ", ".join(names), reason)
    return written


def _described(results: dict, entry: dict, facts: CorpusFacts) -> dict:
    """What the template takes of the system itself, its corpus and its results."""
    corpus, checkpoint = results["corpus"], entry["checkpoint"]
    hears, reads = senses(entry)
    low, high = (f"{bound:g}" for bound in corpus["label_range"])
    return {
        "system": entry,
        "checkpoint": checkpoint,
        "branches": [branch_text(branch, results["encoders"]) for branch in checkpoint["branches"]],
        "hears": hears,
        "reads": reads,
        "low": low,
        "high": high,
        "corpus": {**corpus, "note": " ".join(corpus["note"].split())},
        "corpus_table": corpus_table(corpus),
        "training": training_lines(entry),
        "splits": split_parts(entry, corpus),
        "parts": further_parts(entry, results["comparisons"]),
        "limits": limit_lines(entry, corpus, facts),
        "python": results["environment"]["python"],
        "packages": ", ".join(f"{name} {v}" for name, v in results["environment"]["packages"].items()),
        "commit": _commit(results["environment"]["git_commit"]),
    }


def _weights(data: ModelCardData, facts: CorpusFacts) -> str:
    if data.license != "other":
        return f"{data.license}."
    if facts.weights_license:
        return f"`other` ({data.license_name}): an encoder allows less than the training data do."
    return f"no open licence, `other` ({data.license_name}): the terms of the training data decide."


def _commit(commit: str | None) -> str:
    if not commit:
        return "commit not known"
    clean = commit.removesuffix("-dirty")
    return f"commit {clean}" + (", with changes that were not committed" if clean != commit else "")


def _facts(corpus: dict) -> CorpusFacts:
    try:
        return CorpusFacts(**corpus["facts"])
    except TypeError as error:
        raise ValueError(
            f"the corpus's facts in the results are not as training/settings/corpus_facts.py has them: {error}"
        ) from error


def _check_filled(results: dict, entry: dict) -> None:
    """That all is there which a section cannot do without."""
    corpus, environment = results.get("corpus") or {}, results.get("environment") or {}
    facts = corpus.get("facts") or {}
    ask = "give the run --corpus_facts (a mapping with labels, license, terms, or `msp_podcast`)"
    again = "run training/run.py again: earlier versions did not note it"
    needed = [
        ("What it is", "checkpoint", entry.get("checkpoint"), again),
        ("What it is", "parameters", entry.get("parameters"), again),
        ("What it is", "encoders", results.get("encoders") is not None, again),
        ("Training data", "corpus.note", (corpus.get("note") or "").strip(), "give the run --corpus_note"),
        ("Training data", "corpus.facts.labels", (facts.get("labels") or "").strip(), ask),
        ("Training data", "corpus.splits", corpus.get("splits"), again),
        ("Licence", "corpus.facts.license", (facts.get("license") or "").strip(), ask),
        ("Licence", "corpus.facts.terms", (facts.get("terms") or "").strip(), ask),
        ("Results", "splits", entry.get("splits"), "the corpus has no test split with labels: add one, or --folds"),
        ("Compute and energy", "training_seconds", entry.get("training_seconds"), again),
        ("Compute and energy", "environment.stage_workers", environment.get("stage_workers"), again),
        ("Versions", "environment.packages", environment.get("packages"), again),
        ("Versions", "corpus.fingerprint", corpus.get("fingerprint"), again),
    ]
    for section, name, value, remedy in needed:
        if not value:
            raise ValueError(f"section {section!r} of the model card would be empty: there is no {name}; {remedy}")


def _check_sections(content: str) -> None:
    """That every section has a body, whatever the template says."""
    bodies = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", content, flags=re.MULTILINE | re.DOTALL))
    for section in SECTIONS:
        if not re.sub(r"^###.*$", "", bodies.get(section, ""), flags=re.MULTILINE).strip():
            raise ValueError(f"section {section!r} of the model card is empty; fill it in {TEMPLATE.name}")


def _check_same_run(folder: Path, entry: dict) -> None:
    """That a checkpoint is the one that the results are of."""
    try:
        own = json.loads((folder / "run.json").read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is no checkpoint that training/run.py wrote ({error!r})") from error
    if own != entry["checkpoint"]["fingerprint"]:
        raise ValueError(f"{folder} was not trained in the run of these results; give the results of its own run")


def _check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
        complete = "/" in repo_id
    except HFValidationError:
        complete = False
    if not complete:
        raise ValueError(f"repo_id is {repo_id!r}; give a Hub id such as user/name")


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )


def main(argv: list[str]) -> Path:
    """Write one card; returns its file."""
    parser = argparse.ArgumentParser(description="Write the model card of a system.")
    parser.add_argument("--results", type=Path, required=True, help="results.json of the run.")
    parser.add_argument("--system", required=True, help="Name of the system.")
    parser.add_argument("--output", type=Path, required=True, help="A file, or the system's checkpoint folder.")
    parser.add_argument("--repo_id", help="Hub id of the model, user/name.")
    parser.add_argument("--contact", help="Whom to write to.")
    given = parser.parse_args(argv)
    try:
        results = json.loads(given.results.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{given.results} cannot be read as results: {error}") from error
    folder = given.output if given.output.is_dir() else None
    card = build_card(results, given.system, repo_id=given.repo_id, contact=given.contact, checkpoint=folder)
    return write_card(card, given.output)


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"error: {error}")
