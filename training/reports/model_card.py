"""Write the model card of a system from results.json.

python -m speech_affect_training.reports.model_card --results RESULTS.json --system NAME
    --output FILE_OR_CHECKPOINT_FOLDER [--repo_id USER/NAME] [--contact TEXT]
"""

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

import jinja2
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id

from speech_affect import DIMENSIONS

from ..files import read_json, write_text
from ..jobs.provenance import by_word_of, shown_twice
from ..settings.corpus_facts import CorpusFacts
from ..settings.finished import ROLE
from .card_metadata import card_data, encoders_of
from .card_tables import list_of
from .card_text import (
    branch_text,
    compute_facts,
    further_parts,
    limit_lines,
    output_texts,
    role,
    split_parts,
    teachers_of,
    training_lines,
)
from .tables import LISTENER_NOTE, corpus_table


logger = logging.getLogger(__name__)

TEMPLATE = Path(__file__).with_name("card_template.md")
FACTS = "give the run --corpus_facts (a mapping with labels, license, terms, or `msp_podcast`)"
AGAIN = "run training/run.py again: earlier versions did not record it"
# what a section cannot do without, by its path in the results -> the section, and what to do
NEEDED = {
    "system.checkpoint": ("What it is", AGAIN),
    "system.parameters": ("What it is", AGAIN),
    "encoders": ("What it is", AGAIN),
    "corpus.note": ("Training data", "give the run --corpus_note"),
    "corpus.facts.labels": ("Training data", FACTS),
    "corpus.splits": ("Training data", AGAIN),
    "corpus.facts.license": ("Licence", FACTS),
    "corpus.facts.terms": ("Licence", FACTS),
    "system.splits": ("Results", "the corpus has no test split with labels: add one, or --folds"),
    "system.training_seconds": ("Compute and energy", AGAIN),
    "environment.stage_workers": ("Compute and energy", AGAIN),
    "environment.packages": ("Versions", AGAIN),
    "corpus.fingerprint": ("Versions", AGAIN),
}


def build_card(
    results: dict,
    system: str,
    *,
    repo_id: str | None = None,
    contact: str | None = None,
    checkpoint: Path | None = None,
    released: str | None = None,
) -> ModelCard:
    """Return the card of one system.

    Args:
        results: Content of results.json.
        system: Name of the system.
        repo_id: Hub id (user/name) that the examples load; without it they load the system's folder.
        contact: Whom to write to.
        checkpoint: The system's folder, to make sure that the results are its own.
        released: The name by which the model comes with the package; None if it does not.

    Returns:
        The card; `content` is the text of the README.

    Raises:
        ValueError: A section would be empty (the error names it), the results lack the system, the folder is of
            another run, or `repo_id` is not a Hub id.
    """
    by_name = {entry["name"]: entry for entry in results["systems"]}
    if system not in by_name:
        raise ValueError(f"the results have no system {system!r}; they have {', '.join(by_name)}")
    entry = by_name[system]
    if entry["role"] == ROLE:
        raise ValueError(f"system {system!r} was not trained in this run; it has the card of its own repository")
    _check_filled({**results, "system": entry})
    if checkpoint is not None:
        _check_same_run(checkpoint, entry)
    if repo_id is not None:
        validate_repo_id(repo_id)
        if "/" not in repo_id:
            raise ValueError(f"repo_id is {repo_id!r}; give a Hub id such as user/name")
    template = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    ).from_string(TEMPLATE.read_text(encoding="utf-8"))
    content = template.render(
        model=json.dumps(repo_id or system),
        contact=contact,
        released=released,
        **_provenance(results, entry, by_name, repo_id),
        **_description(results, entry, by_name),
    )
    for section, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", content, flags=re.MULTILINE | re.DOTALL):
        if not re.sub(r"^###.*$", "", body, flags=re.MULTILINE).strip():
            raise ValueError(f"section {section!r} of the model card is empty; fill it in {TEMPLATE.name}")
    return ModelCard(content)


def write_card(card: ModelCard, path: Path) -> Path:
    """Write a card to a file, or into a folder as its README.md; returns the file."""
    path = path / "README.md" if path.is_dir() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, card.content)
    return path


def write_cards(results: dict, output: Path, repo_id: Callable[[str], str] | None = None) -> list[Path]:
    """Write the card of every system into its checkpoint.

    A card that cannot be built is left out with a warning, and one of an earlier run is removed: a run is not lost
    because a licence is missing.

    Args:
        results: Of the run.
        output: Folder of the run, with a folder for each system.
        repo_id: Returns the Hub id that the examples of a system load; ids without an owner are not shown.
    """
    written, failed = [], {}
    for entry in [entry for entry in results["systems"] if entry["role"] != ROLE]:
        folder = output / entry["name"]
        name = repo_id(entry["name"]) if repo_id else ""
        try:
            card = build_card(results, entry["name"], repo_id=name if "/" in name else None, checkpoint=folder)
            written.append(write_card(card, folder))
        except ValueError as error:
            (folder / "README.md").unlink(missing_ok=True)
            failed.setdefault(str(error), []).append(entry["name"])
    for reason, names in failed.items():
        logger.warning("no model card for %s: %s", ", ".join(names), reason)
    return written


def _description(results: dict, entry: dict, by_name: dict[str, dict]) -> dict:
    """Return what the template says about the system itself and its results."""
    corpus, checkpoint = results["corpus"], entry["checkpoint"]
    low, high = (f"{bound:g}" for bound in corpus["label_range"])
    return {
        "system": entry,
        "checkpoint": checkpoint,
        "role": role(entry, by_name),
        "outputs": output_texts(checkpoint["outputs"]),
        "by_word": list_of(corpus["word_labelled"]),
        "listened_to": _listened_to(corpus) if shown_twice(corpus) else "",
        "listener_note": LISTENER_NOTE,
        "branches": [
            branch_text(branch, results["encoders"], checkpoint.get("train_encoders", {}))
            for branch in checkpoint["branches"]
        ],
        "takes_audio": not all(branch["text"] for branch in checkpoint["branches"]),
        "takes_text": any(branch["text"] for branch in checkpoint["branches"]),
        "low": low,
        "high": high,
        "training": training_lines(entry, results["encoders"]),
        "splits": split_parts(entry, corpus),
        "parts": further_parts(entry, results["comparisons"], corpus),
    }


def _listened_to(corpus: dict) -> str:
    """Return what listeners rated of several corpora, such as `activation and valence of emodb`; empty for nothing."""
    rated = {name: [d for d in DIMENSIONS if d not in words] for name, words in by_word_of(corpus).items()}
    return list_of([f"{list_of(dimensions)} of {name}" for name, dimensions in rated.items() if dimensions])


def _provenance(results: dict, entry: dict, by_name: dict[str, dict], repo_id: str | None) -> dict:
    """Return what the template says about corpus, licences, limits, compute and versions."""
    corpus, environment = results["corpus"], results["environment"]
    try:
        facts = CorpusFacts(**corpus["facts"])
    except TypeError as error:
        raise ValueError(
            f"the corpus's facts in the results are not as training/settings/corpus_facts.py has them: {error}"
        ) from error
    teachers = [by_name[name] for name in teachers_of(entry)]
    encoders = encoders_of(results, entry, teachers)
    data = card_data(results, entry, facts, encoders, repo_id)
    return {
        "card_data": data.to_yaml().strip(),
        "facts": facts,
        "corpus": {**corpus, "note": " ".join(corpus["note"].split())},
        "corpus_table": corpus_table(corpus),
        "encoders": encoders,
        "weights": data,
        "limits": limit_lines(entry, corpus, facts),
        "teachers": teachers,
        "compute": compute_facts(entry, teachers, environment),
        "environment": environment,
    }


def _check_filled(results: dict) -> None:
    for path, (section, remedy) in NEEDED.items():
        value = results
        for name in path.split("."):
            value = (value or {}).get(name)
        empty = value is None if path == "encoders" else not (value.strip() if isinstance(value, str) else value)
        if empty:
            raise ValueError(f"section {section!r} of the model card would be empty: there is no {path}; {remedy}")


def _check_same_run(folder: Path, entry: dict) -> None:
    own = read_json(folder / "run.json").get("fingerprint")
    if own is None:
        raise ValueError(f"{folder} is no checkpoint that training/run.py wrote: run.json lacks its fingerprint")
    if own != entry["checkpoint"]["fingerprint"]:
        raise ValueError(f"{folder} was not trained in the run of these results; give the results of its own run")


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
